"""Weights files: published formats, download, conversion, verification."""
