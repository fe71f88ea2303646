"""Injection attention as Triton kernels: no copy of a key or value, no stored logits, forward and
backward.

`vbbench.attention.triton_forward` reads frame 0's keys and the previous frame's where they lie.
Half types multiply on tensor cores with float32 sums; float32 multiplies in float32 ("ieee":
exactness before speed, no TF32). Nothing is timed at run time: tiles come from a table
(`vbbench.attention.triton_tiles`) and gradients are summed in a fixed order without atomics, so one
machine gives the same numbers twice.

Triton is imported when a function here first needs it.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from vbbench.attention import triton_launches as launches
from vbbench.attention.triton_launches import Keys
from vbbench.attention.triton_tiles import LARGEST_HEAD, capability

OLDEST = (8, 0)  # compute capability; the first with asynchronous copies and bfloat16 tensor cores


def inject(
    q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor
) -> Tensor:
    """Frame 0's new values: what its queries read from [image prompt; frame 0] (VideoBooth, section
    3.3).

    Args:
        q_BLND: frame 0's queries, of a type and on a device that `refusal` does not name.
        k_BLND: frame 0's keys.
        v_BLND: frame 0's values.
        k_image_BMND: keys of the image prompt, M >= 1.
        v_image_BMND: values of the image prompt.
    Returns:
        (B, L, N, D), of the queries' type, contiguous.
    """
    return _call(_Inject, q_BLND, k_BLND, v_BLND, k_image_BMND, v_image_BMND)


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """Attention of every frame to [frame 0; previous frame], of frames 0 and 1 to frame 0 alone.

    Args:
        q_BTLND: queries, of a type and on a device that `refusal` does not name.
        k_BTLND: keys.
        v_BTLND: values; those of frame 0 are not read.
        v_first_BLND: what stands for frame 0's values.
    Returns:
        (B, T, L, N, D), of the queries' type, contiguous.
    """
    return _call(_AcrossFrames, q_BTLND, k_BTLND, v_BTLND, v_first_BLND)


def refusal(q: Tensor, needs_grad: bool = False) -> str | None:
    """Why these kernels cannot take such queries, as part of a sentence, or None if they can;
    gradients they can always give."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if q.shape[-1] > LARGEST_HEAD:
        return f"heads have {q.shape[-1]} dimensions, more than {LARGEST_HEAD}"
    if _interpreted():
        return (
            "Triton's interpreter multiplies bfloat16 numbers as if they were integers"
            if q.dtype is torch.bfloat16
            else None
        )
    if q.device.type != "cuda" or torch.version.hip is not None:
        return f"it needs an NVIDIA GPU, and the queries are on {q.device.type}"
    if capability(q.device) < OLDEST:
        return "the GPU is older than compute capability 8.0"
    if q.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"it computes in float32, float16 or bfloat16, not in {str(q.dtype).removeprefix('torch.')}"
    return None


def _interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, one operation after another: for tests, in any float
    type."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def _call(function: Any, *inputs: Tensor) -> Tensor:
    """Keeps what a backward pass needs only if there will be one."""
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        return function.apply(*inputs)
    q, (a, b), first = function.lists(*map(launches.lean, inputs))
    return launches.forward(q, a, b, first, keep_lse=False)[0].view(inputs[0].shape)


def _forward(ctx: FunctionCtx, function: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    """The output; inputs, output and log-sum-exp are kept for the backward pass."""
    inputs = tuple(map(launches.lean, inputs))
    q, (a, b), first = function.lists(*inputs)
    out, lse = launches.forward(q, a, b, first, keep_lse=True)
    assert lse is not None
    ctx.save_for_backward(*inputs, out, lse)
    return out


class _AcrossFrames(torch.autograd.Function):
    """`across_frames`."""

    @staticmethod
    def lists(
        q: Tensor, k: Tensor, v: Tensor, v_first: Tensor
    ) -> tuple[Tensor, tuple[Keys, Keys], int]:
        frames = q.shape[1]
        shared = _shared(k[:, 0], v_first, frames)
        # Frame t reads frame t - 1 from the third frame on. Without a third frame the second list
        # is read by nobody.
        return (
            (q, (shared, Keys(k[:, 1:-1], v[:, 1:-1])), 2)
            if frames > 2
            else (q, (shared, shared), frames)
        )

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Tensor) -> Tensor:
        return _forward(ctx, _AcrossFrames, inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, lse = ctx.saved_tensors
        q, lists, first = _AcrossFrames.lists(*inputs)
        d_out = launches.lean(d_out)
        d_q, delta = launches.backward_queries(q, *lists, first, out, d_out, lse)
        if not any(ctx.needs_input_grad[1:]):
            return d_q, None, None, None
        k, v, v_first = inputs[1:]
        d_k, d_v = launches.empty(k.shape, k), launches.empty(v.shape, v)
        d_k_first, d_v_first = launches.backward_shared(q, lists[0], d_out, lse, delta)
        d_k[:, 0] = d_k_first
        d_v[:, 0] = 0  # the new values stand in their place
        if q.shape[1] > 1:
            d_k[:, -1] = d_v[:, -1] = 0  # the last frame is nobody's predecessor
        if first < q.shape[1]:
            launches.backward_keys(
                q, lists[1], d_out, lse, delta, first, 1, Keys(d_k[:, 1:-1], d_v[:, 1:-1])
            )
        return d_q, d_k, d_v, d_v_first.to(v_first.dtype)


class _Inject(torch.autograd.Function):
    """`inject`."""

    @staticmethod
    def lists(
        q: Tensor, k: Tensor, v: Tensor, k_image: Tensor, v_image: Tensor
    ) -> tuple[Tensor, tuple[Keys, Keys], int]:
        return q.unsqueeze(1), (_shared(k_image, v_image, 1), _shared(k, v, 1)), 0

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Tensor) -> Tensor:
        return _forward(ctx, _Inject, inputs).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, lse = ctx.saved_tensors
        q, lists, first = _Inject.lists(*inputs)
        d_out = launches.lean(d_out).unsqueeze(1)
        d_q, delta = launches.backward_queries(q, *lists, first, out, d_out, lse)
        if not any(ctx.needs_input_grad[1:]):
            return d_q.squeeze(1), None, None, None, None
        gradients = [
            Keys(launches.empty(keys.k.shape, keys.k), launches.empty(keys.v.shape, keys.v))
            for keys in lists
        ]
        for keys, into in zip(lists, gradients, strict=True):
            launches.backward_keys(q, keys, d_out, lse, delta, 0, 1, into)
        image, frame = ((into.k.squeeze(1), into.v.squeeze(1)) for into in gradients)
        return d_q.squeeze(1), *frame, *image


def _shared(k_BMND: Tensor, v_BMND: Tensor, sets: int) -> Keys:
    """One set of keys for ``sets`` frames, without a copy."""
    return Keys(*(x.unsqueeze(1).expand(-1, sets, -1, -1, -1) for x in (k_BMND, v_BMND)))
