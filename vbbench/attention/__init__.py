"""Attention of the video networks: plain, across frames, and with an injected image prompt.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vbbench.attention.backends import BACKENDS, Backend, load_backend
from vbbench.attention.dispatch import choose_backend
from vbbench.attention.dot_product import attention
from vbbench.attention.inputs import prepared

__all__ = [
    "BACKENDS",
    "Backend",
    "attention",
    "choose_backend",
    "injection_attention",
    "load_backend",
]


def injection_attention(
    q_BTLND: Tensor,
    k_BTLND: Tensor,
    v_BTLND: Tensor,
    k_image_BMND: Tensor | None = None,
    v_image_BMND: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Attention of every frame to [first frame; previous frame], frame 0's values updated by an
    image prompt if given.

    Frame 0 has no predecessor and takes itself. With an image prompt, frame 0 first attends to
    [image prompt; frame 0]; the result replaces frame 0's values (its keys stay) for every frame
    that reads them, frame 0 included (VideoBooth, section 3.3). Every backend gives the numbers of
    `vbbench.attention.reference`.

    Args:
        q_BTLND: queries.
        k_BTLND: keys.
        v_BTLND: values.
        k_image_BMND: keys of the image prompt, any number of tokens. Its rows may be fewer than B:
            the first so many clips have an image prompt, the others none. None: no clip has one.
        v_image_BMND: values of the image prompt; given exactly when its keys are.
        backend: a name in `BACKENDS`, or None for the one that measured fastest
            (`vbbench.attention.dispatch`).
    Returns:
        (B, T, L, N, D), of the tensors' type; under autocast of autocast's.
    Raises:
        ValueError: unknown backend, or one that cannot take these tensors; tensors that do not fit
            each other, or that are empty; only one of the image prompt's keys and values, or more
            rows of them than clips.
    """
    q, k, v, k_image, v_image = prepared(q_BTLND, k_BTLND, v_BTLND, k_image_BMND, v_image_BMND)
    needs_grad = torch.is_grad_enabled() and any(
        x is not None and x.requires_grad for x in (q, k, v, k_image, v_image)
    )
    module = load_backend(backend if backend is not None else choose_backend(q, needs_grad))
    if backend is not None and (reason := module.refusal(q, needs_grad)) is not None:
        raise ValueError(f"the attention backend {backend!r} cannot take these queries: {reason}")
    v_first = v[:, 0]
    if k_image is not None and v_image is not None:
        clips = len(k_image)
        injected = module.inject(q[:clips, 0], k[:clips, 0], v_first[:clips], k_image, v_image)
        v_first = injected if clips == len(q) else torch.cat([injected, v_first[clips:]])
    return module.across_frames(q, k, v, v_first)
