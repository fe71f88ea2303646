"""Launches of the Triton kernels: memory, grids, arguments, and what each is compiled for.

Triton is imported when a function here first needs it.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of a list of keys, N heads, D head
dimension; S sets of keys: one for every query frame that reads the list, all of them one set
(stride 0) where the list is shared.
"""

from __future__ import annotations

import importlib
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vbbench.attention.triton_tiles import MOST_ROWS, Tiles, blocks, even, head_pieces, tiles_for

LARGEST_OFFSET = 2**31  # within a frame; 32 bits spare registers
ENOUGH_PROGRAMS = 1024  # per launch: several for each of a large GPU's 132 processors
MODULES = {
    "forward": "vbbench.attention.triton_forward",
    "backward_queries": "vbbench.attention.triton_backward",
    "backward_keys": "vbbench.attention.triton_backward",
}


class Keys(NamedTuple):
    """One list of keys and its values, both (B, S, M, N, D)."""

    k: Tensor
    v: Tensor


def lean(x: Tensor) -> Tensor:
    """``x``, copied only if the kernels could not find their way through its strides (no view of a
    fused product is copied)."""
    reach = (x.shape[-3] + MOST_ROWS) * x.stride(-3) + x.shape[-1]
    return x if x.stride(-1) == 1 and reach < LARGEST_OFFSET else x.contiguous()


def empty(
    shape: torch.Size | tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """Memory that a kernel fills; all of it comes from here, so that a test may fill it with NaN
    first."""
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device)


def forward(
    q: Tensor, a: Keys, b: Keys, first: int, *, keep_lse: bool
) -> tuple[Tensor, Tensor | None]:
    """Output, (B, T, L, N, D), and log2 of the sums of exponentials, (B, N, T, L), or None."""
    batch, frames, tokens, heads, _ = q.shape
    tiles = tiles_for("forward", q, a.k.shape[2], b.k.shape[2])
    out = empty(q.shape, q)
    lse = empty((batch, heads, frames, tokens), q, _accumulator(q.dtype)) if keep_lse else None
    tensors = (q, *a, *b, out)
    launch(
        "forward",
        (blocks(tokens, tiles.rows), frames, batch * heads),
        (
            *tensors,
            out if lse is None else lse,
            *map(_strides, tensors),
            tokens,
            a.k.shape[2],
            b.k.shape[2],
            heads,
            first,
        ),
        _constants(tensors, tiles)
        | even(tiles, EVEN_ROWS=tokens, EVEN_A=a.k.shape[2], EVEN_B=b.k.shape[2])
        | {"KEEP_LSE": keep_lse},
    )
    return out, lse


def backward_queries(
    q: Tensor, a: Keys, b: Keys, first: int, out: Tensor, d_out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor]:
    """The queries' gradients, (B, T, L, N, D), and delta, (B, N, T, L)."""
    batch, frames, tokens, heads, _ = q.shape
    tiles = tiles_for("backward_queries", q, a.k.shape[2], b.k.shape[2])
    d_q, delta = empty(q.shape, q), empty(lse.shape, lse)
    tensors = (q, *a, *b, out, d_out)
    launch(
        "backward_queries",
        (blocks(tokens, tiles.rows), frames, batch * heads),
        (
            *tensors,
            lse,
            delta,
            d_q,
            *map(_strides, tensors),
            tokens,
            a.k.shape[2],
            b.k.shape[2],
            heads,
            first,
        ),
        _constants(tensors, tiles)
        | even(tiles, EVEN_ROWS=tokens, EVEN_A=a.k.shape[2], EVEN_B=b.k.shape[2]),
    )
    return d_q, delta


def backward_shared(
    q: Tensor, keys: Keys, d_out: Tensor, lse: Tensor, delta: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of keys and values that all frames share, (B, M, N, D) each, in the accumulator's
    type."""
    batch, frames, tokens, heads, dim = keys.k.shape
    key_blocks = blocks(tokens, tiles_for("backward_keys", q, tokens).keys)
    # Fewer partial sums mean less memory and more frames one after another; a large GPU must still
    # be full.
    slot_frames = max(1, key_blocks * frames * batch * heads // ENOUGH_PROGRAMS)
    slots = blocks(frames, slot_frames)
    partial = Keys(*(empty((batch, slots, tokens, heads, dim), lse) for _ in range(2)))
    backward_keys(q, keys, d_out, lse, delta, 0, slot_frames, partial)
    return partial.k.sum(1), partial.v.sum(1)


def backward_keys(
    q: Tensor,
    keys: Keys,
    d_out: Tensor,
    lse: Tensor,
    delta: Tensor,
    first: int,
    slot_frames: int,
    into: Keys,
) -> None:
    """Writes the gradients of a list of keys that the frames from ``first`` on read,
    ``slot_frames`` frames a slot of ``into``."""
    tiles = tiles_for("backward_keys", q, keys.k.shape[2])
    batch, slots, tokens, heads, _ = into.k.shape
    q, d_out, every = q[:, first:], d_out[:, first:], q.shape[1]
    tensors = (q, *keys, d_out, *into)
    launch(
        "backward_keys",
        (blocks(tokens, tiles.keys), slots, batch * heads),
        (
            *tensors[:4],
            lse,
            delta,
            *into,
            *map(_strides, tensors),
            q.shape[2],
            tokens,
            heads,
            q.shape[1],
            slot_frames,
            first,
            every,
        ),
        _constants(tensors, tiles) | even(tiles, EVEN_ROWS=q.shape[2], EVEN_KEYS=tokens),
    )


def launch(
    kernel: str, grid: tuple[int, int, int], arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Runs a kernel on the device of its first argument, unless there is nothing to do."""
    if 0 in grid:
        return
    with torch.cuda.device_of(arguments[0]):
        kernel_named(kernel)[grid](*arguments, **options)


def kernel_named(name: str) -> Any:
    """One of `MODULES`."""
    return getattr(importlib.import_module(MODULES[name]), name)


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
        "ALIGN": math.gcd(
            16 // q.element_size(), *(stride for x in tensors for stride in _strides(x))
        ),
        "ACC": language.float64 if _accumulator(q.dtype) is torch.float64 else language.float32,
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
        "enable_fp_fusion": True,  # said, because Triton's own default changes between versions
    }


def _strides(x: Tensor) -> tuple[int, ...]:
    return x.stride()[:4]


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32
