"""Operations of PyTorch's fused attention kernels, by our own formulas.

Which kernels PyTorch's own counter has a formula for changes with its version: before 2.15 it counted nothing for the CPU's fused
attention. These formulas stand for all of them, on every device, and replace the counter's own.

Shapes: query (B, N, Q, D), key (B, N, K, D), value (B, N, K, E); B batch, N heads, Q queries, K keys, D and E head dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Formula = Callable[..., int]

FORWARD = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
"""Operators that compute softmax(q k^T) v; their arguments begin with query, key, value."""

BACKWARD = tuple(f"{name}_backward" for name in FORWARD)
"""Operators of their gradients; their arguments begin with the output's gradient, query, key, value."""


def forward_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of the two products of an attention: scores (Q x D x K) and weighted values (Q x K x E); 2 a multiply-add.

    Args:
        query, key, value: shapes, see the module.
    """
    batch, heads, queries, head_dim = query
    keys, value_dim = value[-2], value[-1]
    return 2 * batch * heads * queries * keys * (head_dim + value_dim)


def backward_flops(_: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *__: Any, **___: Any) -> int:
    """Operations of the five products of a fused attention's gradients.

    The kernels do not store the scores: they compute them again (D), and then the gradients of values and of probabilities (E each), of
    queries and of keys (D each).

    Args:
        query, key, value: shapes, see the module.
    """
    batch, heads, queries, head_dim = query
    keys, value_dim = value[-2], value[-1]
    return 2 * batch * heads * queries * keys * (3 * head_dim + 2 * value_dim)


def attention_formulas() -> Mapping[Any, Formula]:
    """Operator -> formula of shapes, for the operators that this version of PyTorch has; a ``custom_mapping`` of its counter."""
    named = {**dict.fromkeys(FORWARD, forward_flops), **dict.fromkeys(BACKWARD, backward_flops)}
    return {getattr(torch.ops.aten, name): formula for name, formula in named.items() if hasattr(torch.ops.aten, name)}
