"""Attention of the video networks: plain, across frames, and with an injected image prompt.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt or text, N heads, D head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vbbench.attention.backends import BACKENDS, Backend, choose_backend, resolve

__all__ = ["BACKENDS", "attention", "choose_backend", "cross_frame_attention"]


def attention(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor, *, backend: str | None = None) -> Tensor:
    """Scaled dot-product attention, ``softmax(q k^T / sqrt(D)) v``, head by head.

    Args:
        q_BLND: queries; one or more leading axes, the same in all three.
        k_BMND: keys.
        v_BMND: values.
        backend: a name in `BACKENDS`, or None for the one that suits the device.
    Returns:
        (B, L, N, D).
    Raises:
        ValueError: unknown backend.
    """
    return resolve(backend, q_BLND)(q_BLND, k_BMND, v_BMND)


def cross_frame_attention(
    q_BTLND: Tensor,
    k_BTLND: Tensor,
    v_BTLND: Tensor,
    k_image_BMND: Tensor | None = None,
    v_image_BMND: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Attention of every frame to [first frame; previous frame], frame 0's values updated by an image prompt if given.

    The same numbers as `vbbench.attention.reference.cross_frame_attention` (VideoBooth, section 3.3), without its double
    work: frames 0 and 1 read frame 0 twice there, and a softmax over every key twice is the softmax over every key once.

    Args:
        q_BTLND: queries.
        k_BTLND: keys.
        v_BTLND: values.
        k_image_BMND: keys of the image prompt, or None; any number of tokens.
        v_image_BMND: values of the image prompt; given exactly when its keys are.
        backend: a name in `BACKENDS`, or None for the one that suits the device.
    Returns:
        (B, T, L, N, D).
    Raises:
        ValueError: unknown backend, or only one of the image prompt's keys and values.
    """
    if (k_image_BMND is None) != (v_image_BMND is None):
        raise ValueError("the image prompt's keys and values must be given together")
    attend = resolve(backend, q_BTLND)
    k_first, v_first = k_BTLND[:, 0], v_BTLND[:, 0]
    if k_image_BMND is not None and v_image_BMND is not None:
        v_first = _inject(attend, q_BTLND[:, 0], k_first, v_first, k_image_BMND, v_image_BMND)
    frames = q_BTLND.shape[1]
    if frames <= 2:
        return attend(q_BTLND.flatten(1, 2), k_first, v_first).unflatten(1, (frames, -1))
    early = attend(q_BTLND[:, :2].flatten(1, 2), k_first, v_first).unflatten(1, (2, -1))
    late = attend(q_BTLND[:, 2:], _with_first(k_first, k_BTLND), _with_first(v_first, v_BTLND))
    return torch.cat([early, late], dim=1)


def _inject(attend: Backend, q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image: Tensor, v_image: Tensor) -> Tensor:
    """Frame 0's new values: what it reads from [image prompt; frame 0]."""
    return attend(q_BLND, torch.cat([k_image, k_BLND], dim=1), torch.cat([v_image, v_BLND], dim=1))


def _with_first(first_BLND: Tensor, x_BTLND: Tensor) -> Tensor:
    """[frame 0; previous frame] for the frames from the third on, (B, T - 2, 2L, N, D)."""
    previous = x_BTLND[:, 1:-1]
    return torch.cat([first_BLND.unsqueeze(1).expand_as(previous), previous], dim=2)
