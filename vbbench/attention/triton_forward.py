"""The Triton kernel of the forward pass: attention over two lists of keys that are read where they
lie.

Queries of T frames read list A, which all frames of a clip share, and from frame ``first`` on also
list B, which holds one set of keys a frame. The softmax runs over both lists together, block by
block (Milakov and Gimelshein 2018; Dao et al. 2022), in base 2: exp(x) = exp2(x log2 e), so
``SCALE`` is log2(e) / sqrt(D) and applies to logits in the accumulator's type.
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
def _read(
    acc0, acc1, top, total, q0, q1, k, v, k_stride, v_stride, keys,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, SCALE: tl.constexpr,
    KEYS: tl.constexpr, EVEN: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Goes on with the softmax over ``keys`` more keys: ``top`` is the largest logit so far,
    ``total`` the sum of weights."""
    rows = tl.arange(0, KEYS)
    for start in range(0, keys, KEYS):
        left = keys - start
        k0, k1 = pieces(k, k_stride, rows, left, D, D0, D1, EVEN)
        logits = products(q0, q1, k0, k1, D1, ACC)
        if not EVEN:
            logits = tl.where((rows < left)[None, :], logits, float("-inf"))
        new_top = tl.maximum(top, tl.max(logits, 1) * SCALE)
        weights = tl.exp2(logits * SCALE - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(weights, 1)
        acc0 = acc0 * shrink[:, None]
        if D1 > 0:
            acc1 = acc1 * shrink[:, None]
        v0, v1 = pieces(v, v_stride, rows, left, D, D0, D1, EVEN)
        acc0, acc1 = add_product(acc0, acc1, weights, v0, v1, D1, ACC)
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
    """Output and, with KEEP_LSE, log2 of the sum of exponentials, (B, N, T, L). Grid: query blocks,
    frames, batch x heads.

    Blocks of one frame are launched one after another, and frames of one head likewise: they read
    the same keys from L2.
    """
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
    acc0, acc1 = zeros(ROWS, D0, D1, ACC)
    top = tl.full((ROWS,), float("-inf"), ACC)
    total = tl.zeros((ROWS,), ACC)
    acc0, acc1, top, total = _read(
        acc0, acc1, top, total, q0, q1,
        head_base(k_a, k_a_strides, b, t, n, ALIGN), head_base(v_a, v_a_strides, b, t, n, ALIGN), k_a_strides[2], v_a_strides[2], keys_a,
        D, D0, D1, SCALE, KEYS, EVEN_A, ACC,
    )  # fmt: skip
    # Frames before the first one read no key of list B, and form no address in it.
    own = tl.maximum(t - first, 0)
    acc0, acc1, top, total = _read(
        acc0, acc1, top, total, q0, q1,
        head_base(k_b, k_b_strides, b, own, n, ALIGN), head_base(v_b, v_b_strides, b, own, n, ALIGN), k_b_strides[2], v_b_strides[2],
        tl.where(t >= first, keys_b, 0), D, D0, D1, SCALE, KEYS, EVEN_B, ACC,
    )  # fmt: skip
    acc0 = acc0 / total[:, None]
    if D1 > 0:
        acc1 = acc1 / total[:, None]
    store_pieces(
        head_base(out, out_strides, b, t, n, ALIGN),
        out_strides[2],
        rows,
        tokens,
        acc0,
        acc1,
        D,
        D0,
        D1,
        EVEN_ROWS,
    )
    if KEEP_LSE:
        at = ((b.to(tl.int64) * heads + n) * tl.num_programs(1) + t) * tokens
        tl.store(lse + at + rows, top + tl.log2(total), mask=rows < tokens)
