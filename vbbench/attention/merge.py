"""Injection attention without copies: attentions to frame 0 and to the previous frame, merged by
their log-sum-exp.

All frames read frame 0 as one batch, and each frame reads its predecessor through a shifted view.
Keys and values are never gathered, scores never stored, forward or backward; on a CPU large frames
are laid out head by head once, a few at a time.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# PyTorch's own attention kernels as parts of a larger softmax: they return the log-sum-exp beside
# the output.
#
# Public functions hide it, so these are the operators underneath, the same in PyTorch 2.6 to 2.15.
# What they return carries no
# gradient through the log-sum-exp: only `vbbench.attention.merge`, which calls their backward with
# the merged numbers, may use them.
#
# Shape suffixes: B batch, L queries, M keys, N heads, D head dimension.

_CPU_TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_CUDA_TYPES = (torch.bfloat16, torch.float16)


def refusal(q: Tensor, needs_grad: bool = False) -> str | None:
    """Why there is no such kernel for these queries, or None."""
    if q.device.type == "cpu":
        return None if q.dtype in _CPU_TYPES else f"there is no kernel for {q.dtype} on a CPU"
    if q.device.type != "cuda":
        return f"there is no kernel for the device {q.device.type!r}"
    if q.dtype not in _CUDA_TYPES:
        return f"on CUDA it takes float16 and bfloat16, not {q.dtype}"
    if torch.cuda.get_device_capability(q.device) < (8, 0):
        return "it needs a GPU of compute capability 8.0 or newer"
    return (
        None
        if q.shape[-1] % 8 == 0 and q.shape[-1] <= 256
        else "on CUDA its head dimension is a multiple of 8, at most 256"
    )


def forward(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> tuple[Tensor, Tensor]:
    """Output (B, L, N, D), contiguous, and log-sum-exp (B, N, L), float32 or wider."""
    q, k, v = (x.transpose(1, 2) for x in (q_BLND, k_BMND, v_BMND))
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
    else:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)
    return out.transpose(1, 2), lse


def backward(
    grad_BLND: Tensor,
    q_BLND: Tensor,
    k_BMND: Tensor,
    v_BMND: Tensor,
    out_BLND: Tensor,
    lse_BNL: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to queries, keys and values of one part, from the whole softmax's output and
    log-sum-exp.

    A part's probabilities are exp(logit - log-sum-exp) and its logits' gradients p * (grad . v -
    grad . out), so with the whole's numbers in the place of the part's own the kernel computes this
    part of the whole's gradient.
    """
    grad, q, k, v, out = (x.transpose(1, 2) for x in (grad_BLND, q_BLND, k_BMND, v_BMND, out_BLND))
    if q.device.type == "cpu":
        grads = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse_BNL, 0.0, False
        )
    else:
        unused = torch.zeros(2, dtype=torch.uint64, device=q.device)  # the dropout's random state
        lengths = (None, None, q.shape[2], k.shape[2])
        grads = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            grad, q, k, v, out, lse_BNL.contiguous(), *lengths, 0.0, False, unused, unused[0]
        )
    dq, dk, dv = (x.transpose(1, 2) for x in grads)
    return dq, dk, dv


__all__ = ["Part", "across_frames", "forward_across_frames", "forward_inject", "inject", "refusal"]

Part = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Queries (B, L, N, D), keys and values -> what they read, contiguous, and the log-sum-exp (B, N,
L)."""
WHOLE_BYTES = 8 << 20
"""On a CPU, queries of more bytes than these are worked on in groups of frames."""
CACHED_BYTES = 2 << 20
"""Bytes of such a group: its output stays in the cache until the previous frames' part is merged
into it."""
HEADS_FIRST_TOKENS = 512
"""Of so many tokens a frame, a group is laid out head by head first: the kernel gains more than
that costs."""


def inject(
    q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor
) -> Tensor:
    """Frame 0's new values, (B, L, N, D)."""
    tensors = (q_BLND, k_BLND, v_BLND, k_image_BMND, v_image_BMND)
    return _Inject.apply(*tensors) if _needs_grad(*tensors) else forward_inject(*tensors)[0]


def across_frames(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """What every frame reads, (B, T, L, N, D)."""
    tensors = (q_BTLND, k_BTLND, v_BTLND, v_first_BLND)
    return (
        _AcrossFrames.apply(*tensors)
        if _needs_grad(*tensors)
        else forward_across_frames(*tensors)[0]
    )


def _needs_grad(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def forward_inject(
    q: Tensor, k: Tensor, v: Tensor, k_image: Tensor, v_image: Tensor, part: Part = forward
) -> tuple[Tensor, Tensor]:
    """`inject` without gradients, by any kernel that tells its log-sum-exp: output and log-sum-exp
    (B, N, L)."""
    out, lse = part(q, k_image, v_image)
    _merge_into(out, lse, *part(q, k, v))
    return out, lse


def forward_across_frames(
    q: Tensor, k: Tensor, v: Tensor, v_first: Tensor, part: Part = forward
) -> tuple[Tensor, Tensor]:
    """`across_frames` without gradients, by any kernel that tells its log-sum-exp: output and
    log-sum-exp (B, N, T, L)."""
    if q.device.type != "cpu" or q.numel() * q.element_size() <= WHOLE_BYTES:
        return _frames(q, k[:, 0], v_first, k[:, 1:-1], v[:, 1:-1], part)
    batch, frames, tokens, heads, _ = q.shape
    out = q.new_empty(q.shape)
    lse = q.new_empty(
        batch, heads, frames, tokens, dtype=torch.promote_types(q.dtype, torch.float32)
    )
    step = max(1, CACHED_BYTES // (q[0, 0].numel() * q.element_size()))
    lay = _heads_first if tokens >= HEADS_FIRST_TOKENS else _as_it_is
    for clip in range(batch):
        one = slice(clip, clip + 1)
        first = lay(k[one, :1]).squeeze(1), lay(v_first[one].unsqueeze(1)).squeeze(1)
        for start in range(0, frames, step):
            now, before = (
                slice(start, start + step),
                slice(max(start, 2) - 1, min(start + step, frames) - 1),
            )
            out[one, now], lse[one, :, now] = _frames(
                lay(q[one, now]), *first, lay(k[one, before]), lay(v[one, before]), part
            )
    return out, lse


def _frames(
    q: Tensor, k_first: Tensor, v_first: Tensor, k_before: Tensor, v_before: Tensor, part: Part
) -> tuple[Tensor, Tensor]:
    """All frames read the first, and the last ones, as many as there are in ``k_before``, also a
    frame of their own."""
    batch, frames = q.shape[:2]
    out, lse = part(q.flatten(1, 2), k_first, v_first)
    out, lse = out.unflatten(1, (frames, -1)), lse.unflatten(2, (frames, -1))
    late = frames - k_before.shape[1]
    # Clip by clip: clips and frames cannot be one axis of a view that leaves frames out.
    for clip in range(batch if late < frames else 0):
        read = part(q[clip, late:], k_before[clip], v_before[clip])
        _merge_into(out[clip, late:], lse[clip, :, late:].transpose(0, 1), *read)
    return out, lse


def _heads_first(x_BTLND: Tensor) -> Tensor:
    """The same tensor, head after head in memory."""
    return (
        x_BTLND.flatten(1, 2)
        .transpose(1, 2)
        .contiguous()
        .transpose(1, 2)
        .unflatten(1, x_BTLND.shape[1:3])
    )


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _merge_into(out_BLND: Tensor, lse_BNL: Tensor, part_BLND: Tensor, part_lse_BNL: Tensor) -> None:
    """Make an attention and its log-sum-exp, in place, those to its own and the part's keys
    together."""
    weight = torch.sigmoid(part_lse_BNL - lse_BNL).transpose(1, 2).unsqueeze(-1)
    if weight.dtype == out_BLND.dtype:
        out_BLND.lerp_(part_BLND, weight)
    else:  # rounding the weight to the output's type would add an error of its own
        out_BLND.copy_(torch.lerp(out_BLND.to(weight.dtype), part_BLND.to(weight.dtype), weight))
    lse_BNL.copy_(torch.logaddexp(lse_BNL, part_lse_BNL))


class _Inject(torch.autograd.Function):
    """`inject` with gradients."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, k_image: Tensor, v_image: Tensor
    ) -> Tensor:
        out, lse = forward_inject(q, k, v, k_image, v_image)
        ctx.save_for_backward(q, k, v, k_image, v_image, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        q, k, v, k_image, v_image, out, lse = ctx.saved_tensors
        dq_own, dk, dv = backward(grad, q, k, v, out, lse)
        dq, dk_image, dv_image = backward(grad, q, k_image, v_image, out, lse)
        return dq + dq_own, dk, dv, dk_image, dv_image


class _AcrossFrames(torch.autograd.Function):
    """`across_frames` with gradients."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, v_first: Tensor) -> Tensor:
        out, lse = forward_across_frames(q, k, v, v_first)
        ctx.save_for_backward(q, k, v, v_first, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        q, k, v, v_first, out, lse = ctx.saved_tensors
        frames = q.shape[1]
        dq, dk_first, dv_first = backward(
            grad.flatten(1, 2),
            q.flatten(1, 2),
            k[:, 0],
            v_first,
            out.flatten(1, 2),
            lse.flatten(2, 3),
        )
        dq = dq.unflatten(1, (frames, -1))
        dk, dv = torch.zeros_like(k), torch.zeros_like(v)  # the last frame is nobody's predecessor
        dk[:, 0] = dk_first
        for clip in range(len(q) if frames > 2 else 0):
            part = backward(
                grad[clip, 2:],
                q[clip, 2:],
                k[clip, 1:-1],
                v[clip, 1:-1],
                out[clip, 2:],
                lse[clip, :, 2:].transpose(0, 1).contiguous(),
            )
            dq[clip, 2:] += part[0]
            dk[clip, 1:-1], dv[clip, 1:-1] = part[1:]
        return dq, dk, dv, dv_first
