"""The tiny weights for this folder."""

from tests.models.tiny import items, tiny_weights, weights_root

__all__ = ["items", "tiny_weights", "weights_root"]
