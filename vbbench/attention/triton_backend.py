"""Injection attention as Triton kernels: no copy of a key or value, no stored logits, forward and backward.

`vbbench.attention.triton_kernels` reads frame 0's keys and the previous frame's where they lie. Half types multiply on tensor
cores with float32 sums; float32 multiplies in float32 ("ieee": exactness before speed, no TF32). Nothing is timed at run time:
tiles come from a table and gradients are summed in a fixed order without atomics, so one machine gives the same numbers twice.

The table is derived, not measured: from registers, spills and shared memory of the kernels compiled for compute capability
8.0 and 9.0 (tests/attention/test_triton.py holds their limits). Which entry is fastest only a GPU can tell.

Triton is imported when a function here first needs it.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D head dimension;
S sets of keys: one for every query frame that reads the list, all of them one set (stride 0) where the list is shared.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

LARGEST_HEAD = 256
OLDEST = (8, 0)  # compute capability; the first with asynchronous copies and bfloat16 tensor cores
LARGEST_OFFSET = 2**31  # within a frame; 32 bits spare registers
MOST_ROWS = 128  # of a tile: that many rows past the last one are addressed, though not read
ENOUGH_PROGRAMS = 1024  # per launch: several for each of a large GPU's 132 processors


class Tiles(NamedTuple):
    """How a kernel cuts its work: query rows and keys of a tile, warps of a program, stages of its software pipeline."""

    rows: int
    keys: int
    warps: int
    stages: int


class Keys(NamedTuple):
    """One list of keys and its values, both (B, S, M, N, D)."""

    k: Tensor
    v: Tensor


# kernel -> widest head -> tiles; the first entry wide enough counts.
Table = Mapping[str, Mapping[int, Tiles]]
HALF: Table = {  # 16-bit types; within the 99 KB of shared memory that a program has on the smaller GPUs (8.6, 8.9, 12.0)
    "forward": {48: Tiles(128, 32, 4, 3), 96: Tiles(64, 64, 4, 3), 160: Tiles(64, 32, 4, 2), 256: Tiles(64, 32, 8, 2)},
    "backward_queries": {48: Tiles(64, 64, 4, 2), 96: Tiles(64, 32, 4, 2), 160: Tiles(64, 32, 4, 2), 256: Tiles(64, 32, 8, 1)},
    "backward_keys": {48: Tiles(32, 64, 4, 2), 96: Tiles(32, 64, 4, 2), 160: Tiles(16, 64, 4, 2), 256: Tiles(32, 32, 8, 1)},
}
HALF_HOPPER: Table = {  # 9.0 and 10.x: 227 KB, and products of 64 rows that read shared memory spare registers
    "forward": {48: Tiles(128, 64, 8, 2), 96: Tiles(64, 64, 4, 3), 160: Tiles(64, 64, 4, 2), 256: Tiles(64, 32, 8, 2)},
    "backward_queries": {48: Tiles(64, 64, 4, 2), 96: Tiles(64, 64, 4, 2), 160: Tiles(64, 32, 4, 2), 256: Tiles(64, 32, 8, 2)},
    "backward_keys": {48: Tiles(64, 64, 4, 2), 96: Tiles(32, 64, 4, 2), 160: Tiles(32, 64, 8, 2), 256: Tiles(32, 32, 8, 1)},
}
SINGLE: Table = {  # without tensor cores operands sit in registers, so tiles are small
    "forward": {48: Tiles(64, 64, 8, 2), 96: Tiles(64, 32, 8, 2), 160: Tiles(32, 32, 8, 2), 256: Tiles(16, 16, 4, 2)},
    "backward_queries": {48: Tiles(64, 32, 8, 2), 96: Tiles(32, 16, 4, 1), 160: Tiles(16, 16, 4, 2), 256: Tiles(16, 16, 8, 2)},
    "backward_keys": {48: Tiles(32, 32, 8, 2), 96: Tiles(32, 32, 8, 1), 160: Tiles(16, 32, 8, 1), 256: Tiles(16, 16, 8, 1)},
}


def inject(q_BLND: Tensor, k_BLND: Tensor, v_BLND: Tensor, k_image_BMND: Tensor, v_image_BMND: Tensor) -> Tensor:
    """Frame 0's new values: what its queries read from [image prompt; frame 0] (VideoBooth, section 3.3).

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


def across_frames(q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor) -> Tensor:
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
    """Why these kernels cannot take such queries, as part of a sentence, or None if they can; gradients they can always give."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if q.shape[-1] > LARGEST_HEAD:
        return f"heads have {q.shape[-1]} dimensions, more than {LARGEST_HEAD}"
    if _interpreted():
        return "Triton's interpreter multiplies bfloat16 numbers as if they were integers" if q.dtype is torch.bfloat16 else None
    if q.device.type != "cuda" or torch.version.hip is not None:
        return f"it needs an NVIDIA GPU, and the queries are on {q.device.type}"
    if _capability(q.device) < OLDEST:
        return "the GPU is older than compute capability 8.0"
    if q.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"it computes in float32, float16 or bfloat16, not in {str(q.dtype).removeprefix('torch.')}"
    return None


def _interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, one operation after another: for tests, in any float type."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def _call(function: type[torch.autograd.Function], *inputs: Tensor) -> Tensor:
    """Keeps what a backward pass needs only if there will be one."""
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        return function.apply(*inputs)
    q, lists, first = function.lists(*map(_lean, inputs))
    return _forward(q, *lists, first, keep_lse=False)[0].view(inputs[0].shape)


class _AcrossFrames(torch.autograd.Function):
    """`across_frames`."""

    @staticmethod
    def lists(q: Tensor, k: Tensor, v: Tensor, v_first: Tensor) -> tuple[Tensor, tuple[Keys, Keys], int]:
        frames = q.shape[1]
        shared = _shared(k[:, 0], v_first, frames)
        # Frame t reads frame t - 1 from the third frame on. Without a third frame the second list is read by nobody.
        return (q, (shared, Keys(k[:, 1:-1], v[:, 1:-1])), 2) if frames > 2 else (q, (shared, shared), frames)

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Tensor) -> Tensor:
        inputs = tuple(map(_lean, inputs))
        q, lists, first = _AcrossFrames.lists(*inputs)
        out, lse = _forward(q, *lists, first, keep_lse=True)
        ctx.save_for_backward(*inputs, out, lse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, lse = ctx.saved_tensors
        q, lists, first = _AcrossFrames.lists(*inputs)
        d_out = _lean(d_out)
        d_q, delta = _backward_queries(q, *lists, first, out, d_out, lse)
        if not any(ctx.needs_input_grad[1:]):
            return d_q, None, None, None
        k, v, v_first = inputs[1:]
        d_k, d_v = _empty(k.shape, k), _empty(v.shape, v)
        d_k_first, d_v_first = _backward_shared(q, lists[0], d_out, lse, delta)
        d_k[:, 0] = d_k_first
        d_v[:, 0] = 0  # the new values stand in their place
        if q.shape[1] > 1:
            d_k[:, -1] = d_v[:, -1] = 0  # the last frame is nobody's predecessor
        if first < q.shape[1]:
            _backward_keys(q, lists[1], d_out, lse, delta, first, 1, Keys(d_k[:, 1:-1], d_v[:, 1:-1]))
        return d_q, d_k, d_v, d_v_first.to(v_first.dtype)


class _Inject(torch.autograd.Function):
    """`inject`."""

    @staticmethod
    def lists(q: Tensor, k: Tensor, v: Tensor, k_image: Tensor, v_image: Tensor) -> tuple[Tensor, tuple[Keys, Keys], int]:
        return q.unsqueeze(1), (_shared(k_image, v_image, 1), _shared(k, v, 1)), 0

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Tensor) -> Tensor:
        inputs = tuple(map(_lean, inputs))
        q, lists, first = _Inject.lists(*inputs)
        out, lse = _forward(q, *lists, first, keep_lse=True)
        ctx.save_for_backward(*inputs, out, lse)
        return out.squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, lse = ctx.saved_tensors
        q, lists, first = _Inject.lists(*inputs)
        d_out = _lean(d_out).unsqueeze(1)
        d_q, delta = _backward_queries(q, *lists, first, out, d_out, lse)
        if not any(ctx.needs_input_grad[1:]):
            return d_q.squeeze(1), None, None, None, None
        gradients = [Keys(_empty(keys.k.shape, keys.k), _empty(keys.v.shape, keys.v)) for keys in lists]
        for keys, into in zip(lists, gradients, strict=True):
            _backward_keys(q, keys, d_out, lse, delta, 0, 1, into)
        image, frame = ((into.k.squeeze(1), into.v.squeeze(1)) for into in gradients)
        return d_q.squeeze(1), *frame, *image


def _shared(k_BMND: Tensor, v_BMND: Tensor, sets: int) -> Keys:
    """One set of keys for ``sets`` frames, without a copy."""
    return Keys(*(x.unsqueeze(1).expand(-1, sets, -1, -1, -1) for x in (k_BMND, v_BMND)))


def _lean(x: Tensor) -> Tensor:
    """``x``, copied only if the kernels could not find their way through its strides (no view of a fused product is copied)."""
    reach = (x.shape[-3] + MOST_ROWS) * x.stride(-3) + x.shape[-1]
    return x if x.stride(-1) == 1 and reach < LARGEST_OFFSET else x.contiguous()


def _empty(shape: torch.Size | tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Memory that a kernel fills; all of it comes from here, so that a test may fill it with NaN first."""
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device)


def _forward(q: Tensor, a: Keys, b: Keys, first: int, *, keep_lse: bool) -> tuple[Tensor, Tensor | None]:
    """Output, (B, T, L, N, D), and log2 of the sums of exponentials, (B, N, T, L), or None."""
    batch, frames, tokens, heads, _ = q.shape
    tiles = _tiles("forward", q, a.k.shape[2], b.k.shape[2])
    out = _empty(q.shape, q)
    lse = _empty((batch, heads, frames, tokens), q, _accumulator(q.dtype)) if keep_lse else None
    tensors = (q, *a, *b, out)
    _launch(
        "forward",
        (_blocks(tokens, tiles.rows), frames, batch * heads),
        (*tensors, out if lse is None else lse, *map(_strides, tensors), tokens, a.k.shape[2], b.k.shape[2], heads, first),
        _constants(tensors, tiles) | _even(tiles, EVEN_ROWS=tokens, EVEN_A=a.k.shape[2], EVEN_B=b.k.shape[2]) | {"KEEP_LSE": keep_lse},
    )
    return out, lse


def _backward_queries(q: Tensor, a: Keys, b: Keys, first: int, out: Tensor, d_out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
    """The queries' gradients, (B, T, L, N, D), and delta, (B, N, T, L)."""
    batch, frames, tokens, heads, _ = q.shape
    tiles = _tiles("backward_queries", q, a.k.shape[2], b.k.shape[2])
    d_q, delta = _empty(q.shape, q), _empty(lse.shape, lse)
    tensors = (q, *a, *b, out, d_out)
    _launch(
        "backward_queries",
        (_blocks(tokens, tiles.rows), frames, batch * heads),
        (*tensors, lse, delta, d_q, *map(_strides, tensors), tokens, a.k.shape[2], b.k.shape[2], heads, first),
        _constants(tensors, tiles) | _even(tiles, EVEN_ROWS=tokens, EVEN_A=a.k.shape[2], EVEN_B=b.k.shape[2]),
    )
    return d_q, delta


def _backward_shared(q: Tensor, keys: Keys, d_out: Tensor, lse: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of keys and values that all frames share, (B, M, N, D) each, in the accumulator's type."""
    batch, frames, tokens, heads, dim = keys.k.shape
    blocks = _blocks(tokens, _tiles("backward_keys", q, tokens).keys)
    # Fewer partial sums mean less memory and more frames one after another; a large GPU must still be full.
    slot_frames = max(1, blocks * frames * batch * heads // ENOUGH_PROGRAMS)
    slots = _blocks(frames, slot_frames)
    partial = Keys(*(_empty((batch, slots, tokens, heads, dim), lse) for _ in range(2)))
    _backward_keys(q, keys, d_out, lse, delta, 0, slot_frames, partial)
    return partial.k.sum(1), partial.v.sum(1)


def _backward_keys(q: Tensor, keys: Keys, d_out: Tensor, lse: Tensor, delta: Tensor, first: int, slot_frames: int, into: Keys) -> None:
    """Writes the gradients of a list of keys that the frames from ``first`` on read, ``slot_frames`` frames a slot of ``into``."""
    tiles = _tiles("backward_keys", q, keys.k.shape[2])
    batch, slots, tokens, heads, _ = into.k.shape
    q, d_out, every = q[:, first:], d_out[:, first:], q.shape[1]
    tensors = (q, *keys, d_out, *into)
    _launch(
        "backward_keys",
        (_blocks(tokens, tiles.keys), slots, batch * heads),
        (*tensors[:4], lse, delta, *into, *map(_strides, tensors), q.shape[2], tokens, heads, q.shape[1], slot_frames, first, every),
        _constants(tensors, tiles) | _even(tiles, EVEN_ROWS=q.shape[2], EVEN_KEYS=tokens),
    )


def _launch(kernel: str, grid: tuple[int, int, int], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Runs a kernel on the device of its first argument, unless there is nothing to do."""
    if 0 in grid:
        return
    with torch.cuda.device_of(arguments[0]):
        _kernel(kernel)[grid](*arguments, **options)


def _kernel(name: str) -> Any:
    return getattr(importlib.import_module("vbbench.attention.triton_kernels"), name)


def _constants(tensors: tuple[Tensor, ...], tiles: Tiles) -> dict[str, Any]:
    """What a kernel is compiled for, apart from which edges are even."""
    language = importlib.import_module("triton.language")
    q = tensors[0]
    dim = q.shape[-1]
    d0, d1 = head_pieces(dim)
    return {
        "D": dim,
        "D0": d0,
        "D1": d1,
        "SCALE": dim**-0.5 * math.log2(math.e),
        "ROWS": tiles.rows,
        "KEYS": tiles.keys,
        "ALIGN": math.gcd(16 // q.element_size(), *(stride for x in tensors for stride in _strides(x))),
        "ACC": language.float64 if _accumulator(q.dtype) is torch.float64 else language.float32,
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
        "enable_fp_fusion": True,  # said, because Triton's own default changes between versions
    }


def head_pieces(dim: int) -> tuple[int, int]:
    """Two widths, powers of two or 0, that hold ``dim`` numbers together with the least padding: 40 = 32 + 16, 64 = 64 + 0."""
    whole = max(16, _power_of_two(dim))
    if whole == dim or dim < 16:
        return whole, 0
    rest = max(16, _power_of_two(dim - whole // 2))
    return (whole // 2, rest) if rest < whole // 2 else (whole, 0)


def _tiles(kernel: str, q: Tensor, *keys: int) -> Tiles:
    """The table's entry, no larger than the work."""
    table = _table(q)[kernel]
    tiles = next(table[width] for width in sorted(table) if q.shape[-1] <= width)
    rows, widest = (max(16, _power_of_two(length)) for length in (q.shape[2], max(keys)))
    return tiles._replace(rows=min(tiles.rows, rows), keys=min(tiles.keys, widest))


def _table(q: Tensor) -> Table:
    if q.element_size() != 2:
        return SINGLE
    return HALF_HOPPER if q.is_cuda and _capability(q.device)[0] in (9, 10) else HALF


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _even(tiles: Tiles, **lengths: int) -> dict[str, bool]:
    """Which lengths are whole numbers of tiles, and so need no mask."""
    return {name: length % (tiles.rows if name == "EVEN_ROWS" else tiles.keys) == 0 for name, length in lengths.items()}


def _strides(x: Tensor) -> tuple[int, ...]:
    return x.stride()[:4]


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32


def _blocks(length: int, size: int) -> int:
    return -(-length // size)


def _power_of_two(number: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << (number - 1).bit_length()
