"""Models: what turns prompt items into videos, and the networks they are made of."""
