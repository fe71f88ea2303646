"""The Triton kernels of the backward pass of `vbbench.attention.triton_forward`, which defines the
lists and ``SCALE``.

Probabilities are computed again from the kept log-sum-exp, with one kernel for the queries'
gradients and one for a list's.
"""

from __future__ import annotations

import triton
import triton.language as tl

from vbbench.attention.triton_pieces import (
    add_product,
    head_base,
    pieces,
    products,
    store_pieces,
    zeros,
)

# Triton gives its own meaning to annotations, and compiles only the branch of an `if` that its
# constants choose.
# ruff: noqa: ANN001, ANN201, ANN202


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
        k0, k1 = pieces(k, k_stride, rows, left, D, D0, D1, EVEN)
        v0, v1 = pieces(v, v_stride, rows, left, D, D0, D1, EVEN)
        logits = products(q0, q1, k0, k1, D1, ACC)
        if not EVEN:
            logits = tl.where((rows < left)[None, :], logits, float("-inf"))
        weights = tl.exp2(logits * SCALE - lse[:, None])
        d_logits = weights * (products(do0, do1, v0, v1, D1, ACC) - delta[:, None])
        dq0, dq1 = add_product(dq0, dq1, d_logits, k0, k1, D1, ACC)
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
    """Gradients of the queries (laid out as ``out``), and delta = sum over D of d_out * out. Grid
    as in `forward`."""
    block, t, b, n = (
        tl.program_id(0),
        tl.program_id(1),
        tl.program_id(2) // heads,
        tl.program_id(2) % heads,
    )
    rows = block * ROWS + tl.arange(0, ROWS)
    q0, q1 = pieces(
        head_base(q, q_strides, b, t, n, ALIGN), q_strides[2], rows, tokens, D, D0, D1, EVEN_ROWS
    )
    do0, do1 = pieces(
        head_base(d_out, d_out_strides, b, t, n, ALIGN),
        d_out_strides[2],
        rows,
        tokens,
        D,
        D0,
        D1,
        EVEN_ROWS,
    )
    o0, o1 = pieces(
        head_base(out, out_strides, b, t, n, ALIGN),
        out_strides[2],
        rows,
        tokens,
        D,
        D0,
        D1,
        EVEN_ROWS,
    )
    own_delta = tl.sum(o0.to(ACC) * do0.to(ACC), 1)
    if D1 > 0:
        own_delta += tl.sum(o1.to(ACC) * do1.to(ACC), 1)
    at = ((b.to(tl.int64) * heads + n) * tl.num_programs(1) + t) * tokens
    tl.store(delta + at + rows, own_delta, mask=rows < tokens)
    own_lse = tl.load(lse + at + rows, mask=rows < tokens, other=0.0)
    dq0, dq1 = zeros(ROWS, D0, D1, ACC)
    dq0, dq1 = _read_back(
        dq0, dq1, q0, q1, do0, do1, own_lse, own_delta,
        head_base(k_a, k_a_strides, b, t, n, ALIGN), head_base(v_a, v_a_strides, b, t, n, ALIGN), k_a_strides[2], v_a_strides[2], keys_a,
        D, D0, D1, SCALE, KEYS, EVEN_A, ACC,
    )  # fmt: skip
    own = tl.maximum(t - first, 0)
    dq0, dq1 = _read_back(
        dq0, dq1, q0, q1, do0, do1, own_lse, own_delta,
        head_base(k_b, k_b_strides, b, own, n, ALIGN), head_base(v_b, v_b_strides, b, own, n, ALIGN), k_b_strides[2], v_b_strides[2],
        tl.where(t >= first, keys_b, 0), D, D0, D1, SCALE, KEYS, EVEN_B, ACC,
    )  # fmt: skip
    to_natural: tl.constexpr = SCALE * 0.6931471805599453  # the logits' own scale, 1 / sqrt(D)
    dq0 = dq0 * to_natural
    if D1 > 0:
        dq1 = dq1 * to_natural
    store_pieces(
        head_base(d_q, out_strides, b, t, n, ALIGN),
        out_strides[2],
        rows,
        tokens,
        dq0,
        dq1,
        D,
        D0,
        D1,
        EVEN_ROWS,
    )


@triton.jit(do_not_specialize=["frames", "slot_frames", "lse_from", "lse_frames"])
def backward_keys(
    q, k, v, d_out, lse, delta, d_k, d_v,
    q_strides, k_strides, v_strides, d_out_strides, d_k_strides, d_v_strides,
    tokens, keys, heads, frames, slot_frames, lse_from, lse_frames,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
    EVEN_ROWS: tl.constexpr, EVEN_KEYS: tl.constexpr,
    ALIGN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Gradients of one list's keys and values, as ``slot_frames`` query frames from slot x
    slot_frames on give them.

    Grid: key blocks, slots, batch x heads. Query frame f is frame ``lse_from`` + f of ``lse`` and
    ``delta``. A list of one set of keys a frame has a slot a frame; a shared list has frame stride
    0 and leaves one partial sum a slot, added up by the caller.
    """
    block, slot, b, n = (
        tl.program_id(0),
        tl.program_id(1),
        tl.program_id(2) // heads,
        tl.program_id(2) % heads,
    )
    own = block * KEYS + tl.arange(0, KEYS)
    rows = tl.arange(0, ROWS)
    k0, k1 = pieces(
        head_base(k, k_strides, b, slot, n, ALIGN), k_strides[2], own, keys, D, D0, D1, EVEN_KEYS
    )
    v0, v1 = pieces(
        head_base(v, v_strides, b, slot, n, ALIGN), v_strides[2], own, keys, D, D0, D1, EVEN_KEYS
    )
    dk0, dk1 = zeros(KEYS, D0, D1, ACC)
    dv0, dv1 = zeros(KEYS, D0, D1, ACC)
    f = slot * slot_frames
    q_frame = head_base(q, q_strides, b, f, n, ALIGN)
    do_frame = head_base(d_out, d_out_strides, b, f, n, ALIGN)
    at_frame = ((b.to(tl.int64) * heads + n) * lse_frames + lse_from + f) * tokens
    for _ in range(0, tl.minimum(frames - f, slot_frames)):
        q_at, do_at, lse_at, delta_at = q_frame, do_frame, lse + at_frame, delta + at_frame
        for start in range(0, tokens, ROWS):
            left = tokens - start
            q0, q1 = pieces(q_at, q_strides[2], rows, left, D, D0, D1, EVEN_ROWS)
            do0, do1 = pieces(do_at, d_out_strides[2], rows, left, D, D0, D1, EVEN_ROWS)
            # Rows that do not exist have no d_out and no delta, so they add nothing whatever their
            # weight.
            row_lse = tl.load(lse_at + rows, mask=rows < left, other=0.0)
            row_delta = tl.load(delta_at + rows, mask=rows < left, other=0.0)
            weights = tl.exp2(products(k0, k1, q0, q1, D1, ACC) * SCALE - row_lse[None, :])
            dv0, dv1 = add_product(dv0, dv1, weights, do0, do1, D1, ACC)
            d_logits = weights * (products(v0, v1, do0, do1, D1, ACC) - row_delta[None, :])
            dk0, dk1 = add_product(dk0, dk1, d_logits, q0, q1, D1, ACC)
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
    store_pieces(
        head_base(d_k, d_k_strides, b, slot, n, ALIGN),
        d_k_strides[2],
        own,
        keys,
        dk0,
        dk1,
        D,
        D0,
        D1,
        EVEN_KEYS,
    )
    store_pieces(
        head_base(d_v, d_v_strides, b, slot, n, ALIGN),
        d_v_strides[2],
        own,
        keys,
        dv0,
        dv1,
        D,
        D0,
        D1,
        EVEN_KEYS,
    )
