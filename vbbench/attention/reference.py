"""The formulas of the injection attention, written plainly: what every backend is held against, in
any float type.

Shape suffixes: B batch, T frames, L tokens of a frame (pixels), M tokens of the image prompt, N
heads, D head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attention(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> Tensor:
    """Scaled dot-product attention, ``softmax(q k^T / sqrt(D)) v``, head by head (Vaswani et al.
    2017, equation 1).

    Args:
        q_BLND: queries, any float type.
        k_BMND: keys.
        v_BMND: values.
    Returns:
        (B, L, N, D), of the queries' type.
    """
    logits_BNLM = torch.einsum("blnd,bmnd->bnlm", q_BLND, k_BMND) * q_BLND.shape[-1] ** -0.5
    return torch.einsum("bnlm,bmnd->blnd", logits_BNLM.softmax(-1), v_BMND)


def inject(
    q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor
) -> Tensor:
    """Frame 0's new values: what it reads from [image prompt; frame 0] (VideoBooth, section
    3.3)."""
    return attention(
        q_BLND, torch.cat([k_image_BMND, k_BLND], dim=1), torch.cat([v_image_BMND, v_BLND], dim=1)
    )


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """What every frame reads from [frame 0; previous frame]; ``v_first_BLND`` are the values of
    frame 0.

    Frame 0 has no predecessor and takes itself, so frames 0 and 1 both read frame 0 twice.
    """
    values = [v_first_BLND, *v_BTLND.unbind(1)[1:]]
    frames = []
    for frame in range(q_BTLND.shape[1]):
        previous = max(frame - 1, 0)
        keys = torch.cat([k_BTLND[:, 0], k_BTLND[:, previous]], dim=1)
        frames.append(
            attention(q_BTLND[:, frame], keys, torch.cat([values[0], values[previous]], dim=1))
        )
    return torch.stack(frames, dim=1)


def refusal(q: Tensor, needs_grad: bool = False) -> str | None:
    """Takes everything."""
    return None
