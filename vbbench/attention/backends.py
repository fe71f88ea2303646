"""Ways to compute attention. Each takes (..., L, N, D) tensors with equal leading axes and returns the queries' layout.

Shape suffixes: L queries, M keys, N heads, D head dimension; leading axes (batch, frames, pixels) are not named.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Backend = Callable[[Tensor, Tensor, Tensor], Tensor]


def plain(q_LND: Tensor, k_MND: Tensor, v_MND: Tensor) -> Tensor:
    """Explicit softmax between two batched products; its backward is the fastest one on CPUs in bfloat16."""
    # Scaling the queries touches D numbers a row, scaling the logits would touch M.
    q_NLD = (q_LND * q_LND.shape[-1] ** -0.5).transpose(-3, -2)
    weights_NLM = torch.matmul(q_NLD, k_MND.movedim(-3, -1)).softmax(-1)
    return torch.matmul(weights_NLM, v_MND.transpose(-3, -2)).transpose(-3, -2)


def sdpa(q_LND: Tensor, k_MND: Tensor, v_MND: Tensor) -> Tensor:
    """PyTorch's fused attention; the logits are never stored."""
    # The fused kernels want exactly one leading axis.
    q_BNLD, k_BNMD, v_BNMD = (x.flatten(0, -4).transpose(1, 2) for x in (q_LND, k_MND, v_MND))
    return F.scaled_dot_product_attention(q_BNLD, k_BNMD, v_BNMD).transpose(1, 2).unflatten(0, q_LND.shape[:-3])


BACKENDS: dict[str, Backend] = {"plain": plain, "sdpa": sdpa}


def choose_backend(q: Tensor) -> str:
    """Name of the backend that suits these queries: ``plain`` for training on a CPU, else ``sdpa``."""
    training = torch.is_grad_enabled() and q.requires_grad
    return "plain" if training and q.device.type == "cpu" else "sdpa"


def resolve(backend: str | None, q: Tensor) -> Backend:
    """The function called ``backend``, or the one that suits ``q`` if None.

    Raises:
        ValueError: no backend of that name.
    """
    name = choose_backend(q) if backend is None else backend
    if name not in BACKENDS:
        raise ValueError(f"unknown attention backend {name!r}; there are {', '.join(sorted(BACKENDS))}")
    return BACKENDS[name]
