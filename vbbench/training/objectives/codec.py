"""The latent codec: principal components of the world's patches; computed, not trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbbench.data.world.pictures import Split, TrainingData
from vbbench.networks.codec import PatchCodec, to_unit

FIT_PICTURES, CHECK_PICTURES = 3000, 400
PATCH, COMPONENTS = 8, 96  # 48, which earlier weights have, keep 24 dB on the subject, 96 keep 30


def _pictures(split: Split, count: int, seed: int) -> Tensor:
    """Stills, and one image prompt for every four of them, as (B, 1, 3, H, W) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    kinds = ((split.stills, count), (split.prompts, count // 4))
    parts = [
        kind.frames[np.sort(rng.choice(len(kind), min(n, len(kind)), replace=False))]
        for kind, n in kinds
    ]
    return to_unit(torch.from_numpy(np.concatenate(parts)))[:, None]


class Codec:
    """Fits a ``PatchCodec``."""

    name = "codec"

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.seed = data, seed
        self.codec = PatchCodec(patch=PATCH, components=COMPONENTS)

    def solve(self) -> Mapping[str, float]:
        """Fit; returns the peak signal-to-noise ratio (dB) on validation individuals."""
        self.codec.fit(_pictures(self.data.train, FIT_PICTURES, self.seed))
        pixels = _pictures(self.data.val, CHECK_PICTURES, self.seed)
        error = (self.codec.decode(self.codec.encode(pixels)) - pixels) / 2
        return {"psnr_db": float(-10 * torch.log10(error.square().mean()))}

    def export(self, module: None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The codec's tensors and sizes."""
        return self.codec.state_dict(), {
            "patch": self.codec.factor,
            "components": self.codec.latent_channels,
        }
