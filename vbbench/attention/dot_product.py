"""Attention to one list of keys, in two ways.

Shape suffixes: L queries, M keys, N heads, D head dimension; leading axes (batch, frames, pixels)
are not named.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(q_LND: Tensor, k_MND: Tensor, v_MND: Tensor) -> Tensor:
    """Scaled dot-product attention, ``softmax(q k^T / sqrt(D)) v``, head by head, the way that
    suits device and gradients.

    Args:
        q_LND: queries; one or more leading axes, the same in all three.
        k_MND: keys.
        v_MND: values.
    Returns:
        (..., L, N, D).
    """
    training = torch.is_grad_enabled() and (
        q_LND.requires_grad or k_MND.requires_grad or v_MND.requires_grad
    )
    return (
        explicit(q_LND, k_MND, v_MND)
        if training and q_LND.device.type == "cpu"
        else fused(q_LND, k_MND, v_MND)
    )


def explicit(q_LND: Tensor, k_MND: Tensor, v_MND: Tensor) -> Tensor:
    """A softmax between two batched products; its backward is the fastest one on CPUs in
    bfloat16."""
    # Scaling the queries touches D numbers a row, scaling the logits would touch M.
    q_NLD = (q_LND * q_LND.shape[-1] ** -0.5).transpose(-3, -2)
    weights_NLM = torch.matmul(q_NLD, k_MND.movedim(-3, -1)).softmax(-1)
    return torch.matmul(weights_NLM, v_MND.transpose(-3, -2)).transpose(-3, -2)


def fused(q_LND: Tensor, k_MND: Tensor, v_MND: Tensor) -> Tensor:
    """PyTorch's fused attention; the logits are never stored."""
    # The fused kernels want exactly one leading axis.
    q_BNLD, k_BNMD, v_BNMD = (x.flatten(0, -4).transpose(1, 2) for x in (q_LND, k_MND, v_MND))
    return (
        F.scaled_dot_product_attention(q_BNLD, k_BNMD, v_BNMD)
        .transpose(1, 2)
        .unflatten(0, q_LND.shape[:-3])
    )
