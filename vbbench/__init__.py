"""vbbench: evaluation and benchmarking of image-prompted video generation."""

from vbbench.core.version import __version__

__all__ = ["__version__"]
