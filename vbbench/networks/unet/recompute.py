"""Gradient checkpointing: a block's inner results are dropped after its forward pass and computed
again when gradients are wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """A block whose children say in ``compute`` what it does.

    Attributes:
        recompute: whether its inner results are computed twice instead of kept: the same numbers
            for less memory and about a third more time.
    """

    recompute = False
    compute: Callable[..., Tensor]

    def forward(self, *arguments: Any) -> Tensor:
        """What ``compute`` gives."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(
                self.compute, *arguments, use_reentrant=False, preserve_rng_state=False
            )  # nothing here is random
        return self.compute(*arguments)
