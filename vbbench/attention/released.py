"""The formulation of the released VideoBooth code, written by ourselves: the yardstick of speed and
memory.

Frame 0 and the previous frame are gathered into new keys and values for every frame, frames 0 and 1
read frame 0 twice, heads are folded into the batch by copies, and the scores are stored whole,
before and after the softmax.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vbbench.attention.reference import refusal

__all__ = ["across_frames", "attend", "inject", "refusal"]


def inject(
    q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor
) -> Tensor:
    """Frame 0's new values, (B, L, N, D)."""
    return attend(
        q_BLND, torch.cat([k_image_BMND, k_BLND], dim=1), torch.cat([v_image_BMND, v_BLND], dim=1)
    )


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """What every frame reads, (B, T, L, N, D)."""
    batch, frames = q_BTLND.shape[:2]
    values = torch.cat([v_first_BLND.unsqueeze(1), v_BTLND[:, 1:]], dim=1)
    first = torch.zeros(frames, dtype=torch.long, device=q_BTLND.device)
    previous = torch.arange(-1, frames - 1, device=q_BTLND.device).clamp_min(0)
    k, v = (
        torch.cat([x[:, first], x[:, previous]], dim=2).flatten(0, 1) for x in (k_BTLND, values)
    )
    return attend(q_BTLND.flatten(0, 1), k, v).unflatten(0, (batch, frames))


def attend(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> Tensor:
    """Attention to one list of keys, (B, L, N, D), its scores stored."""
    heads = q_BLND.shape[2]
    q, k, v = (x.transpose(1, 2).flatten(0, 1).contiguous() for x in (q_BLND, k_BMND, v_BMND))
    no_bias = q.new_empty(q.shape[0], q.shape[1], k.shape[1])
    scores = torch.baddbmm(no_bias, q, k.transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5)
    out = torch.bmm(scores.softmax(-1).to(v.dtype), v)
    return out.unflatten(0, (-1, heads)).transpose(1, 2).contiguous()
