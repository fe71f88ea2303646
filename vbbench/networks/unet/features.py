"""An approximation: features of the UNet's inner levels, kept from one step to the next (Ma et al.
2023, DeepCache)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class InnerFeatures:
    """What the last up block reads from below, as it was at the last full evaluation.

    Attributes:
        every: a full evaluation comes every so many evaluations.
        kept: (B * T, C, H, W), or None before the first evaluation.
    """

    every: int
    kept: Tensor | None = None
    _evaluations: int = 0

    def due(self) -> bool:
        """Whether this evaluation is a full one; counts it."""
        self._evaluations += 1
        return self.kept is None or (self._evaluations - 1) % self.every == 0
