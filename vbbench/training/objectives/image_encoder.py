"""The conditioning image encoder: tell individuals apart, and read class, colours and marking, on
image prompts and on stills.

It stands in for CLIP's image tower, which knows such things from captions of the web; here they
come from labels of the training individuals. It never meets the individuals that the scoring
encoders learn from, and shares no weights with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.data.world import CLASSES, COLOURS, MARKINGS
from vbbench.data.world.pictures import Split, TrainingData
from vbbench.networks.codec import to_unit
from vbbench.networks.image_encoder import MINI_IMAGE_ENCODER, ImageEncoder, mirrored
from vbbench.training.settings import TrainSettings

SUBJECTS = 40  # per step: an image prompt and a still of each
TEMPERATURE = 0.1
HEADS = {
    "class": len(CLASSES),
    "base": len(COLOURS),
    "secondary": len(COLOURS),
    "marking_colour": len(COLOURS),
    "marking": len(MARKINGS),
}


class _Reader(nn.Module):
    """The encoder with the heads it is trained through, which are not shipped."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ImageEncoder(MINI_IMAGE_ENCODER)
        width = MINI_IMAGE_ENCODER.width
        self.norm = nn.LayerNorm(width)
        self.identity = nn.Linear(width, width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in HEADS.items()})

    def forward(self, pixels_B3HW: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        token = self.norm(self.encoder.class_token(pixels_B3HW))
        return F.normalize(self.identity(token), dim=-1), {
            name: head(token) for name, head in self.heads.items()
        }


class ImageEncoderObjective:
    """Contrast of image prompts with stills of the same individual, and attribute reading."""

    name = "image-encoder"
    settings = TrainSettings(lr=1e-3, steps=1600, validate_every=400)

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.device = data, device
        self.module = _Reader().to(device)
        self._labels = {split.name: _labels(split) for split in (data.train, data.val)}

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """InfoNCE both ways plus cross-entropies, on one batch of individuals, half of them of one
        class."""
        rng = np.random.default_rng(seed)
        split = self.data.train
        per_class = split.counts.individuals
        one_class = rng.integers(len(CLASSES)) * per_class + rng.choice(
            per_class, SUBJECTS // 2, replace=False
        )
        subjects = np.unique(
            np.concatenate(
                [one_class, rng.choice(split.num_subjects, SUBJECTS // 2, replace=False)]
            )
        )
        prompts, stills = self._batch(split, subjects, rng)
        generator = torch.Generator().manual_seed(seed)
        return self._loss(
            self.module, mirrored(prompts, generator), mirrored(stills, generator), split, subjects
        )

    def _batch(
        self, split: Split, subjects: np.ndarray, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        pairs = ((kind, getattr(split, kind)) for kind in ("prompts", "stills"))
        return tuple(  # type: ignore[return-value]
            to_unit(
                torch.from_numpy(pictures.frames[split.rows_of(kind, subjects, rng)]).to(
                    self.device
                )
            )
            for kind, pictures in pairs
        )

    def _loss(
        self, module: nn.Module, prompts: Tensor, stills: Tensor, split: Split, subjects: np.ndarray
    ) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        identity, read = module(torch.cat([prompts, stills]))
        a, b = identity.float().chunk(2)
        similarity = a @ b.T / TEMPERATURE
        target = torch.arange(len(a), device=a.device)
        contrast = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
        reading = torch.stack(
            [
                F.cross_entropy(
                    read[name].float(),
                    self._labels[split.name][name][subjects].to(a.device).repeat(2),
                )
                for name in HEADS
            ]
        ).mean()
        return contrast + reading, {"contrast": contrast.detach(), "reading": reading.detach()}

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """On validation individuals: shares of attributes read right from image prompts, and of
        stills found within their class."""
        split, rng = self.data.val, np.random.default_rng(0)
        subjects = np.arange(split.num_subjects)
        prompts, stills = self._batch(split, subjects, rng)
        (a, read), (b, _) = module(prompts), module(stills)
        figures = {
            f"val_{name}": float(
                (read[name].argmax(-1).cpu() == self._labels[split.name][name]).float().mean()
            )
            for name in HEADS
        }
        same_class = torch.from_numpy(split.class_index[:, None] == split.class_index[None]).to(
            a.device
        )
        found = (a @ b.T).masked_fill(~same_class, -2).argmax(1).cpu() == torch.arange(len(a))
        return {**figures, "val_found_in_class": float(found.float().mean())}

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The encoder without its heads."""
        return module.encoder.state_dict(), MINI_IMAGE_ENCODER.as_dict()  # type: ignore[union-attr]


def _labels(split: Split) -> dict[str, Tensor]:
    """Each attribute of each individual as a class index, (S,) int64."""
    people = [split.individual(row) for row in range(split.num_subjects)]
    values = {
        "class": [CLASSES.index(p.class_name) for p in people],
        "base": [COLOURS.index(p.base_name) for p in people],
        "secondary": [COLOURS.index(p.secondary_name) for p in people],
        "marking_colour": [COLOURS.index(p.marking_name) for p in people],
        "marking": [MARKINGS.index(p.marking) for p in people],
    }
    return {name: torch.tensor(column) for name, column in values.items()}
