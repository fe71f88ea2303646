"""The tiny weights of tests/models, for this folder too."""

from tests.models.tiny import items, tiny_weights, weights_root
from tests.models.tiny_sd14 import sd14_weights_root

__all__ = ["items", "sd14_weights_root", "tiny_weights", "weights_root"]
