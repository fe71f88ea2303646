"""A run held against recorded scores."""
