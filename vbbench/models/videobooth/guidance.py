"""Classifier-free guidance, and what it needs of a network."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Denoiser(Protocol):
    """A network in a sampling loop, its conditions bound."""

    def __call__(self, latents: Tensor, timestep_B: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        """(B, C, ...) latents -> predictions of that shape: with text and image prompt and, if ``both``, without."""
        ...


def guided(cond: Tensor, uncond: Tensor, scale: float, channels: int | None = None) -> Tensor:
    """Classifier-free guidance, ``uncond + scale * (cond - uncond)`` (Ho and Salimans 2022).

    Args:
        cond: prediction with text and image prompt, (B, C, ...).
        uncond: prediction without.
        scale: 1 is no guidance.
        channels: guide the first so many channels only and leave the others conditional (the released code guides 3 of
            4); None: all.
    Returns:
        (B, C, ...).
    """
    if channels is None:
        return torch.lerp(uncond, cond, scale)
    return torch.cat([torch.lerp(uncond[:, :channels], cond[:, :channels], scale), cond[:, channels:]], dim=1)
