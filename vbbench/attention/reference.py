"""The formulas of the injection attention, written plainly: the yardstick for every backend.

Shape suffixes: B batch, T frames, L tokens of a frame (pixels), M tokens of the image prompt, N heads, D head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attention(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> Tensor:
    """Scaled dot-product attention, ``softmax(q k^T / sqrt(D)) v``, head by head (Vaswani et al. 2017, equation 1).

    Args:
        q_BLND: queries, any float type.
        k_BMND: keys.
        v_BMND: values.
    Returns:
        (B, L, N, D), of the queries' type.
    """
    logits_BNLM = torch.einsum("blnd,bmnd->bnlm", q_BLND, k_BMND) * q_BLND.shape[-1] ** -0.5
    return torch.einsum("bnlm,bmnd->blnd", logits_BNLM.softmax(-1), v_BMND)


def cross_frame_attention(
    q_BTLND: Tensor,
    k_BTLND: Tensor,
    v_BTLND: Tensor,
    k_image_BMND: Tensor | None = None,
    v_image_BMND: Tensor | None = None,
) -> Tensor:
    """Attention of every frame to [first frame; previous frame], with or without an injected image prompt.

    Frame 0 has no predecessor and takes itself, so frames 0 and 1 both read frame 0 twice. With an image prompt, frame
    0 first attends to [image prompt; frame 0]; the result replaces frame 0's values (its keys stay) for every frame that
    reads them, frame 0 included (VideoBooth, section 3.3).

    Args:
        q_BTLND: queries, any float type.
        k_BTLND: keys.
        v_BTLND: values.
        k_image_BMND: keys of the image prompt, or None.
        v_image_BMND: values of the image prompt, or None.
    Returns:
        (B, T, L, N, D), of the queries' type.
    """
    values = list(v_BTLND.unbind(1))
    if k_image_BMND is not None and v_image_BMND is not None:
        keys_first = torch.cat([k_image_BMND, k_BTLND[:, 0]], dim=1)
        values_first = torch.cat([v_image_BMND, v_BTLND[:, 0]], dim=1)
        values[0] = attention(q_BTLND[:, 0], keys_first, values_first)
    frames = []
    for frame in range(q_BTLND.shape[1]):
        previous = max(frame - 1, 0)
        keys = torch.cat([k_BTLND[:, 0], k_BTLND[:, previous]], dim=1)
        frames.append(attention(q_BTLND[:, frame], keys, torch.cat([values[0], values[previous]], dim=1)))
    return torch.stack(frames, dim=1)
