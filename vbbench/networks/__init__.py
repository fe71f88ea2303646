"""Torch modules and their weights: the video UNet, text and image encoders, autoencoders,
samplers."""
