"""An explicit softmax on concatenated keys and values: the fastest backward on CPUs at small
shapes."""

from __future__ import annotations

from torch import Tensor

from vbbench.attention import concat
from vbbench.attention.dot_product import explicit
from vbbench.attention.reference import refusal

__all__ = ["across_frames", "inject", "refusal"]


def inject(
    q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor
) -> Tensor:
    """Frame 0's new values, (B, L, N, D)."""
    return concat.inject(q_BLND, k_BLND, v_BLND, k_image_BMND, v_image_BMND, attend=explicit)


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """What every frame reads, (B, T, L, N, D)."""
    return concat.across_frames(q_BTLND, k_BTLND, v_BTLND, v_first_BLND, attend=explicit)
