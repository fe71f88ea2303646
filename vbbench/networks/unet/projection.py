"""Queries, keys and values of one input, one by one or as one product."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def project(x_C: Tensor, *layers: nn.Linear, fused: bool) -> tuple[Tensor, ...]:
    """What each of some linear layers without a bias makes of one input.

    Args:
        x_C: (..., C).
        layers: of one width.
        fused: as one matrix product. The weights are laid together each time: that is little beside
            the product, and can never be out of date.
    Returns:
        A tensor (..., C') for each layer; parts of one tensor if fused.
    """
    if not fused:
        return tuple(layer(x_C) for layer in layers)
    return F.linear(x_C, torch.cat([layer.weight for layer in layers])).chunk(len(layers), dim=-1)
