"""Tiny weights, as the models' tests use them."""

from tests.models.tiny import items, tiny_weights, weights_root

__all__ = ["items", "tiny_weights", "weights_root"]
