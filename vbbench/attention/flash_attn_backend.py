"""Injection attention by the kernels of flash-attn, where it is installed; for sampling.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

from torch import Tensor

from vbbench.attention.merge import forward_across_frames, forward_inject
from vbbench.attention.package_parts import package_refusal


def refusal(q: Tensor, needs_grad: bool = False) -> str | None:
    """Why it cannot take such queries, or None."""
    return package_refusal("flash_attn", q, needs_grad)


def inject(
    q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor
) -> Tensor:
    """Frame 0's new values, (B, L, N, D)."""
    return forward_inject(q_BLND, k_BLND, v_BLND, k_image_BMND, v_image_BMND, _part)[0]


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """What every frame reads, (B, T, L, N, D)."""
    return forward_across_frames(q_BTLND, k_BTLND, v_BTLND, v_first_BLND, _part)[0]


def _part(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> tuple[Tensor, Tensor]:
    from flash_attn import flash_attn_func

    out, lse, _ = flash_attn_func(q_BLND, k_BMND, v_BMND, return_attn_probs=True)
    return out, lse
