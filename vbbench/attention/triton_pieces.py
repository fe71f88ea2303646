"""What the Triton kernels are made of: rows that are read, written and multiplied in two pieces.

A row of D numbers is cut into two pieces of a power of two, D0 + D1 (40 = 32 + 8 of 16), because
tl.dot takes powers of two and padding 40 to 64 would waste a third of the work; D1 is 0 where one
piece will do. Pieces are named x0 and x1.

Strides are those of batch, frames, tokens and heads; the last axis is contiguous. Offsets within
one frame fit int32 (the caller sees to it); where a frame begins is computed in 64 bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Triton gives its own meaning to annotations, and compiles only the branch of an `if` that its
# constants choose.
# ruff: noqa: ANN001, ANN201, ANN202, SIM108


@triton.jit
def head_base(x, strides, b, t, n, ALIGN: tl.constexpr):
    """Where row 0 of one head of one frame begins; ``ALIGN`` numbers divide every such place, which
    allows wide loads."""
    offset = b.to(tl.int64) * strides[0] + t.to(tl.int64) * strides[1] + n.to(tl.int64) * strides[3]
    return x + tl.multiple_of(offset, ALIGN)


@triton.jit
def _mask(rows, columns, left, D: tl.constexpr, LAST: tl.constexpr, EVEN: tl.constexpr):
    """Which places of a tile exist, or None if all do."""
    mask = None
    if not EVEN:
        mask = (rows < left)[:, None]
    if LAST > D:
        inside = (columns < D)[None, :]
        mask = inside if EVEN else mask & inside
    return mask


@triton.jit
def _load(
    base,
    stride,
    rows,
    left,
    D: tl.constexpr,
    FROM: tl.constexpr,
    WIDTH: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Columns FROM to FROM + WIDTH of rows; zeros where there is nothing."""
    columns = FROM + tl.arange(0, WIDTH)
    at = base + rows[:, None] * stride + columns[None, :]
    mask = _mask(rows, columns, left, D, FROM + WIDTH, EVEN)
    if EVEN and FROM + WIDTH <= D:
        tile = tl.load(at)
    else:
        tile = tl.load(at, mask=mask, other=0.0)
    return tile


@triton.jit
def _store(
    base,
    stride,
    rows,
    left,
    tile,
    D: tl.constexpr,
    FROM: tl.constexpr,
    WIDTH: tl.constexpr,
    EVEN: tl.constexpr,
):
    """The inverse of `_load`, in the type of what is written to."""
    columns = FROM + tl.arange(0, WIDTH)
    mask = _mask(rows, columns, left, D, FROM + WIDTH, EVEN)
    tl.store(
        base + rows[:, None] * stride + columns[None, :], tile.to(base.dtype.element_ty), mask=mask
    )


@triton.jit
def pieces(
    base,
    stride,
    rows,
    left,
    D: tl.constexpr,
    D0: tl.constexpr,
    D1: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Both pieces of some rows; the second is the first again where D1 is 0, and then nobody reads
    it."""
    x0 = _load(base, stride, rows, left, D, 0, D0, EVEN)
    if D1 > 0:
        x1 = _load(base, stride, rows, left, D, D0, D1, EVEN)
    else:
        x1 = x0
    return x0, x1


@triton.jit
def store_pieces(
    base,
    stride,
    rows,
    left,
    x0,
    x1,
    D: tl.constexpr,
    D0: tl.constexpr,
    D1: tl.constexpr,
    EVEN: tl.constexpr,
):
    """The inverse of `pieces`."""
    _store(base, stride, rows, left, x0, D, 0, D0, EVEN)
    if D1 > 0:
        _store(base, stride, rows, left, x1, D, D0, D1, EVEN)


@triton.jit
def zeros(ROWS: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, ACC: tl.constexpr):
    """Both pieces of rows to add to."""
    x0 = tl.zeros((ROWS, D0), ACC)
    if D1 > 0:
        x1 = tl.zeros((ROWS, D1), ACC)
    else:
        x1 = x0
    return x0, x1


@triton.jit
def products(x0, x1, y0, y1, D1: tl.constexpr, ACC: tl.constexpr):
    """x y^T, rows against rows."""
    z = tl.dot(x0, tl.trans(y0), input_precision="ieee", out_dtype=ACC)
    if D1 > 0:
        z = tl.dot(x1, tl.trans(y1), z, input_precision="ieee", out_dtype=ACC)
    return z


@triton.jit
def add_product(x0, x1, weights, y0, y1, D1: tl.constexpr, ACC: tl.constexpr):
    """x + weights y; the weights are rounded to y's type, as tensor cores want them."""
    rounded = weights.to(y0.dtype)
    x0 = tl.dot(rounded, y0, x0, input_precision="ieee", out_dtype=ACC)
    if D1 > 0:
        x1 = tl.dot(rounded, y1, x1, input_precision="ieee", out_dtype=ACC)
    else:
        x1 = x0
    return x0, x1
