"""vbbench: evaluation and benchmarking of image-prompted video generation."""

__version__ = "0.1.0"
