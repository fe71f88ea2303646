"""The version, which importing costs nothing."""

__version__ = "0.1.0"
