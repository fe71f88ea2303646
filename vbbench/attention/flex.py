"""Injection attention as one FlexAttention (PyTorch's compiled kernels, CUDA): a mask leaves only
frame 0 and the previous frame.

Frames are laid end to end, so nothing is copied but the values, once, to put in frame 0's new ones.
Blocks of keys that no query of a block may read are skipped.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from vbbench.attention.concat import inject

__all__ = ["across_frames", "inject", "refusal"]


def refusal(q: Tensor, needs_grad: bool = False) -> str | None:
    """Why it cannot take such queries, or None: the kernels are compiled for CUDA (a CPU has no
    backward)."""
    if q.device.type != "cuda":
        return f"it is compiled for CUDA, not for the device {q.device.type!r}"
    return None if q.dtype != torch.float64 else "it takes no float64"


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """What every frame reads, (B, T, L, N, D)."""
    frames, tokens = q_BTLND.shape[1:3]
    values = torch.cat([v_first_BLND.unsqueeze(1), v_BTLND[:, 1:]], dim=1)
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q_BTLND, k_BTLND, values))
    out = _compiled()(q, k, v, block_mask=first_and_previous(frames, tokens, str(q.device)))
    return out.transpose(1, 2).unflatten(1, (frames, tokens))


@lru_cache(maxsize=32)
def first_and_previous(frames: int, tokens: int, device: str) -> Any:
    """Which keys queries may read: frame 0's and the previous frame's."""
    from torch.nn.attention.flex_attention import create_block_mask

    def may_read(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key < tokens) | (key // tokens == query // tokens - 1)

    with torch.inference_mode(False):  # it is kept, and training may be next
        return create_block_mask(
            may_read, B=None, H=None, Q_LEN=frames * tokens, KV_LEN=frames * tokens, device=device
        )


@lru_cache(maxsize=1)
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)
