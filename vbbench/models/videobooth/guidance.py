"""Classifier-free guidance."""

from __future__ import annotations

import torch
from torch import Tensor


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
