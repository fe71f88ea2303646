"""Triton kernels: attention over two lists of keys that are read where they lie, forward and backward.

Queries of T frames read list A, which all frames of a clip share, and from frame ``first`` on also list B, which holds one
set of keys a frame. The softmax runs over both lists together, block by block (Milakov and Gimelshein 2018; Dao et al.
2022), in base 2: exp(x) = exp2(x log2 e), so ``SCALE`` is log2(e) / sqrt(D) and applies to logits in the accumulator's type.

A row of D numbers is cut into two pieces of a power of two, D0 + D1 (40 = 32 + 8 of 16), because tl.dot takes powers of two
and padding 40 to 64 would waste a third of the work; D1 is 0 where one piece will do. Pieces are named x0 and x1.

Strides are those of batch, frames, tokens and heads; the last axis is contiguous. Offsets within one frame fit int32 (the caller
sees to it); where a frame begins is computed in 64 bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Triton gives its own meaning to annotations, and compiles only the branch of an `if` that its constants choose.
# ruff: noqa: ANN001, ANN201, ANN202, SIM108


@triton.jit
def _base(x, strides, b, t, n, ALIGN: tl.constexpr):
    """Where row 0 of one head of one frame begins; ``ALIGN`` numbers divide every such place, which allows wide loads."""
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
def _load(base, stride, rows, left, D: tl.constexpr, FROM: tl.constexpr, WIDTH: tl.constexpr, EVEN: tl.constexpr):
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
def _store(base, stride, rows, left, tile, D: tl.constexpr, FROM: tl.constexpr, WIDTH: tl.constexpr, EVEN: tl.constexpr):
    """The inverse of `_load`, in the type of what is written to."""
    columns = FROM + tl.arange(0, WIDTH)
    mask = _mask(rows, columns, left, D, FROM + WIDTH, EVEN)
    tl.store(base + rows[:, None] * stride + columns[None, :], tile.to(base.dtype.element_ty), mask=mask)


@triton.jit
def _pieces(base, stride, rows, left, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, EVEN: tl.constexpr):
    """Both pieces of some rows; the second is the first again where D1 is 0, and then nobody reads it."""
    x0 = _load(base, stride, rows, left, D, 0, D0, EVEN)
    if D1 > 0:
        x1 = _load(base, stride, rows, left, D, D0, D1, EVEN)
    else:
        x1 = x0
    return x0, x1


@triton.jit
def _store_pieces(base, stride, rows, left, x0, x1, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, EVEN: tl.constexpr):
    _store(base, stride, rows, left, x0, D, 0, D0, EVEN)
    if D1 > 0:
        _store(base, stride, rows, left, x1, D, D0, D1, EVEN)


@triton.jit
def _zeros(ROWS: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, ACC: tl.constexpr):
    x0 = tl.zeros((ROWS, D0), ACC)
    if D1 > 0:
        x1 = tl.zeros((ROWS, D1), ACC)
    else:
        x1 = x0
    return x0, x1


@triton.jit
def _products(x0, x1, y0, y1, D1: tl.constexpr, ACC: tl.constexpr):
    """x y^T, rows against rows."""
    z = tl.dot(x0, tl.trans(y0), input_precision="ieee", out_dtype=ACC)
    if D1 > 0:
        z = tl.dot(x1, tl.trans(y1), z, input_precision="ieee", out_dtype=ACC)
    return z


@triton.jit
def _add_product(x0, x1, weights, y0, y1, D1: tl.constexpr, ACC: tl.constexpr):
    """x + weights y; the weights are rounded to y's type, as tensor cores want them."""
    rounded = weights.to(y0.dtype)
    x0 = tl.dot(rounded, y0, x0, input_precision="ieee", out_dtype=ACC)
    if D1 > 0:
        x1 = tl.dot(rounded, y1, x1, input_precision="ieee", out_dtype=ACC)
    else:
        x1 = x0
    return x0, x1


@triton.jit
def _read(
    acc0, acc1, top, total, q0, q1, k, v, k_stride, v_stride, keys,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr,
    KEYS: tl.constexpr, EVEN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Goes on with the softmax over ``keys`` more keys: ``top`` is the largest logit so far, ``total`` the sum of weights."""
    rows = tl.arange(0, KEYS)
    for start in range(0, keys, KEYS):
        left = keys - start
        k0, k1 = _pieces(k, k_stride, rows, left, D, D0, D1, EVEN)
        logits = _products(q0, q1, k0, k1, D1, ACC)
        if not EVEN:
            logits = tl.where((rows < left)[None, :], logits, float("-inf"))
        new_top = tl.maximum(top, tl.max(logits, 1) * SCALE)
        weights = tl.exp2(logits * SCALE - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(weights, 1)
        acc0 = acc0 * shrink[:, None]
        if D1 > 0:
            acc1 = acc1 * shrink[:, None]
        v0, v1 = _pieces(v, v_stride, rows, left, D, D0, D1, EVEN)
        acc0, acc1 = _add_product(acc0, acc1, weights, v0, v1, D1, ACC)
        top = new_top
        k += KEYS * k_stride
        v += KEYS * v_stride
    return acc0, acc1, top, total


@triton.jit(do_not_specialize=["first"])
def forward(
    q, k_a, v_a, k_b, v_b, out, lse,
    q_strides, k_a_strides, v_a_strides, k_b_strides, v_b_strides, out_strides,
    tokens, keys_a, keys_b, heads, first,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    EVEN_ROWS: tl.constexpr, EVEN_A: tl.constexpr, EVEN_B: tl.constexpr, KEEP_LSE: tl.constexpr,
    ALIGN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Output and, with KEEP_LSE, log2 of the sum of exponentials, (B, N, T, L). Grid: query blocks, frames, batch x heads.

    Blocks of one frame are launched one after another, and frames of one head likewise: they read the same keys from L2.
    """
    block, t, b, n = tl.program_id(0), tl.program_id(1), tl.program_id(2) // heads, tl.program_id(2) % heads
    rows = block * ROWS + tl.arange(0, ROWS)
    q0, q1 = _pieces(_base(q, q_strides, b, t, n, ALIGN), q_strides[2], rows, tokens, D, D0, D1, EVEN_ROWS)
    acc0, acc1 = _zeros(ROWS, D0, D1, ACC)
    top = tl.full((ROWS,), float("-inf"), ACC)
    total = tl.zeros((ROWS,), ACC)
    acc0, acc1, top, total = _read(
        acc0, acc1, top, total, q0, q1,
        _base(k_a, k_a_strides, b, t, n, ALIGN), _base(v_a, v_a_strides, b, t, n, ALIGN), k_a_strides[2], v_a_strides[2], keys_a,
        D, D0, D1, SCALE, KEYS, EVEN_A, ACC,
    )  # fmt: skip
    # Frames before the first one read no key of list B, and form no address in it.
    own = tl.maximum(t - first, 0)
    acc0, acc1, top, total = _read(
        acc0, acc1, top, total, q0, q1,
        _base(k_b, k_b_strides, b, own, n, ALIGN), _base(v_b, v_b_strides, b, own, n, ALIGN), k_b_strides[2], v_b_strides[2],
        tl.where(t >= first, keys_b, 0), D, D0, D1, SCALE, KEYS, EVEN_B, ACC,
    )  # fmt: skip
    acc0 = acc0 / total[:, None]
    if D1 > 0:
        acc1 = acc1 / total[:, None]
    _store_pieces(_base(out, out_strides, b, t, n, ALIGN), out_strides[2], rows, tokens, acc0, acc1, D, D0, D1, EVEN_ROWS)
    if KEEP_LSE:
        at = ((b.to(tl.int64) * heads + n) * tl.num_programs(1) + t) * tokens
        tl.store(lse + at + rows, top + tl.log2(total), mask=rows < tokens)


@triton.jit
def _read_back(
    dq0, dq1, q0, q1, do0, do1, lse, delta, k, v, k_stride, v_stride, keys,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr,
    KEYS: tl.constexpr, EVEN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Adds to the queries' gradients what comes through ``keys`` keys."""
    rows = tl.arange(0, KEYS)
    for start in range(0, keys, KEYS):
        left = keys - start
        k0, k1 = _pieces(k, k_stride, rows, left, D, D0, D1, EVEN)
        v0, v1 = _pieces(v, v_stride, rows, left, D, D0, D1, EVEN)
        logits = _products(q0, q1, k0, k1, D1, ACC)
        if not EVEN:
            logits = tl.where((rows < left)[None, :], logits, float("-inf"))
        weights = tl.exp2(logits * SCALE - lse[:, None])
        d_logits = weights * (_products(do0, do1, v0, v1, D1, ACC) - delta[:, None])
        dq0, dq1 = _add_product(dq0, dq1, d_logits, k0, k1, D1, ACC)
        k += KEYS * k_stride
        v += KEYS * v_stride
    return dq0, dq1


@triton.jit(do_not_specialize=["first"])
def backward_queries(
    q, k_a, v_a, k_b, v_b, out, d_out, lse, delta, d_q,
    q_strides, k_a_strides, v_a_strides, k_b_strides, v_b_strides, out_strides, d_out_strides,
    tokens, keys_a, keys_b, heads, first,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    EVEN_ROWS: tl.constexpr, EVEN_A: tl.constexpr, EVEN_B: tl.constexpr,
    ALIGN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Gradients of the queries (laid out as ``out``), and delta = sum over D of d_out * out. Grid as in `forward`."""
    block, t, b, n = tl.program_id(0), tl.program_id(1), tl.program_id(2) // heads, tl.program_id(2) % heads
    rows = block * ROWS + tl.arange(0, ROWS)
    q0, q1 = _pieces(_base(q, q_strides, b, t, n, ALIGN), q_strides[2], rows, tokens, D, D0, D1, EVEN_ROWS)
    do0, do1 = _pieces(_base(d_out, d_out_strides, b, t, n, ALIGN), d_out_strides[2], rows, tokens, D, D0, D1, EVEN_ROWS)
    o0, o1 = _pieces(_base(out, out_strides, b, t, n, ALIGN), out_strides[2], rows, tokens, D, D0, D1, EVEN_ROWS)
    own_delta = tl.sum(o0.to(ACC) * do0.to(ACC), 1)
    if D1 > 0:
        own_delta += tl.sum(o1.to(ACC) * do1.to(ACC), 1)
    at = ((b.to(tl.int64) * heads + n) * tl.num_programs(1) + t) * tokens
    tl.store(delta + at + rows, own_delta, mask=rows < tokens)
    own_lse = tl.load(lse + at + rows, mask=rows < tokens, other=0.0)
    dq0, dq1 = _zeros(ROWS, D0, D1, ACC)
    dq0, dq1 = _read_back(
        dq0, dq1, q0, q1, do0, do1, own_lse, own_delta,
        _base(k_a, k_a_strides, b, t, n, ALIGN), _base(v_a, v_a_strides, b, t, n, ALIGN), k_a_strides[2], v_a_strides[2], keys_a,
        D, D0, D1, SCALE, KEYS, EVEN_A, ACC,
    )  # fmt: skip
    own = tl.maximum(t - first, 0)
    dq0, dq1 = _read_back(
        dq0, dq1, q0, q1, do0, do1, own_lse, own_delta,
        _base(k_b, k_b_strides, b, own, n, ALIGN), _base(v_b, v_b_strides, b, own, n, ALIGN), k_b_strides[2], v_b_strides[2],
        tl.where(t >= first, keys_b, 0), D, D0, D1, SCALE, KEYS, EVEN_B, ACC,
    )  # fmt: skip
    to_natural: tl.constexpr = SCALE * 0.6931471805599453  # the logits' own scale, 1 / sqrt(D)
    dq0 = dq0 * to_natural
    if D1 > 0:
        dq1 = dq1 * to_natural
    _store_pieces(_base(d_q, out_strides, b, t, n, ALIGN), out_strides[2], rows, tokens, dq0, dq1, D, D0, D1, EVEN_ROWS)


@triton.jit(do_not_specialize=["frames", "slot_frames", "lse_from", "lse_frames"])
def backward_keys(
    q, k, v, d_out, lse, delta, d_k, d_v,
    q_strides, k_strides, v_strides, d_out_strides, d_k_strides, d_v_strides,
    tokens, keys, heads, frames, slot_frames, lse_from, lse_frames,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    EVEN_ROWS: tl.constexpr, EVEN_KEYS: tl.constexpr,
    ALIGN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Gradients of one list's keys and values, as ``slot_frames`` query frames from slot x slot_frames on give them.

    Grid: key blocks, slots, batch x heads. Query frame f is frame ``lse_from`` + f of ``lse`` and ``delta``. A list of one set
    of keys a frame has a slot a frame; a shared list has frame stride 0 and leaves one partial sum a slot, added up by the caller.
    """
    block, slot, b, n = tl.program_id(0), tl.program_id(1), tl.program_id(2) // heads, tl.program_id(2) % heads
    own = block * KEYS + tl.arange(0, KEYS)
    rows = tl.arange(0, ROWS)
    k0, k1 = _pieces(_base(k, k_strides, b, slot, n, ALIGN), k_strides[2], own, keys, D, D0, D1, EVEN_KEYS)
    v0, v1 = _pieces(_base(v, v_strides, b, slot, n, ALIGN), v_strides[2], own, keys, D, D0, D1, EVEN_KEYS)
    dk0, dk1 = _zeros(KEYS, D0, D1, ACC)
    dv0, dv1 = _zeros(KEYS, D0, D1, ACC)
    f = slot * slot_frames
    q_frame = _base(q, q_strides, b, f, n, ALIGN)
    do_frame = _base(d_out, d_out_strides, b, f, n, ALIGN)
    at_frame = ((b.to(tl.int64) * heads + n) * lse_frames + lse_from + f) * tokens
    for _ in range(0, tl.minimum(frames - f, slot_frames)):
        q_at, do_at, lse_at, delta_at = q_frame, do_frame, lse + at_frame, delta + at_frame
        for start in range(0, tokens, ROWS):
            left = tokens - start
            q0, q1 = _pieces(q_at, q_strides[2], rows, left, D, D0, D1, EVEN_ROWS)
            do0, do1 = _pieces(do_at, d_out_strides[2], rows, left, D, D0, D1, EVEN_ROWS)
            # Rows that do not exist have no d_out and no delta, so they add nothing whatever their weight.
            row_lse = tl.load(lse_at + rows, mask=rows < left, other=0.0)
            row_delta = tl.load(delta_at + rows, mask=rows < left, other=0.0)
            weights = tl.exp2(_products(k0, k1, q0, q1, D1, ACC) * SCALE - row_lse[None, :])
            dv0, dv1 = _add_product(dv0, dv1, weights, do0, do1, D1, ACC)
            d_logits = weights * (_products(v0, v1, do0, do1, D1, ACC) - row_delta[None, :])
            dk0, dk1 = _add_product(dk0, dk1, d_logits, q0, q1, D1, ACC)
            q_at += ROWS * q_strides[2]
            do_at += ROWS * d_out_strides[2]
            lse_at += ROWS
            delta_at += ROWS
        q_frame += q_strides[1]
        do_frame += d_out_strides[1]
        at_frame += tokens
    to_natural: tl.constexpr = SCALE * 0.6931471805599453
    dk0 = dk0 * to_natural
    if D1 > 0:
        dk1 = dk1 * to_natural
    _store_pieces(_base(d_k, d_k_strides, b, slot, n, ALIGN), d_k_strides[2], own, keys, dk0, dk1, D, D0, D1, EVEN_KEYS)
    _store_pieces(_base(d_v, d_v_strides, b, slot, n, ALIGN), d_v_strides[2], own, keys, dv0, dv1, D, D0, D1, EVEN_KEYS)
