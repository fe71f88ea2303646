"""Fused attention on concatenated keys and values; nothing is read twice, but keys and values are
copied for every frame.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vbbench.attention.dot_product import fused
from vbbench.attention.reference import refusal

__all__ = ["across_frames", "inject", "refusal"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def inject(
    q_BLND: Tensor,
    k_BLND: Tensor,
    v_BLND: Tensor,
    k_image_BMND: Tensor,
    v_image_BMND: Tensor,
    *,
    attend: Attend = fused,
) -> Tensor:
    """Frame 0's new values, (B, L, N, D)."""
    return attend(
        q_BLND, torch.cat([k_image_BMND, k_BLND], dim=1), torch.cat([v_image_BMND, v_BLND], dim=1)
    )


def across_frames(
    q_BTLND: Tensor,
    k_BTLND: Tensor,
    v_BTLND: Tensor,
    v_first_BLND: Tensor,
    *,
    attend: Attend = fused,
) -> Tensor:
    """What every frame reads, (B, T, L, N, D).

    Frames 0 and 1 read frame 0 twice by the formula, and a softmax over every key twice is the
    softmax over every key once.
    """
    frames, k_first = q_BTLND.shape[1], k_BTLND[:, 0]
    early = attend(q_BTLND[:, :2].flatten(1, 2), k_first, v_first_BLND).unflatten(
        1, (min(frames, 2), -1)
    )
    if frames <= 2:
        return early
    late = attend(q_BTLND[:, 2:], _with_first(k_first, k_BTLND), _with_first(v_first_BLND, v_BTLND))
    return torch.cat([early, late], dim=1)


def _with_first(first_BLND: Tensor, x_BTLND: Tensor) -> Tensor:
    """[frame 0; previous frame] for the frames from the third on, (B, T - 2, 2L, N, D)."""
    previous = x_BTLND[:, 1:-1]
    return torch.cat([first_BLND.unsqueeze(1).expand_as(previous), previous], dim=2)
