"""The segmenter that true identity is read with: which part of a subject each pixel shows.

It sees frames blurred, grainy and tinted too, because generated ones are. Shape suffixes: B batch,
H/W pixels, S segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbbench.data.world.names import MARKINGS, MASK_DETAIL, MASK_MARKING
from vbbench.data.world.pictures import Pictures, Split, TrainingData
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.segmenter import DETAIL, FIRST_MARKING, SEGMENTS, UNet, decode
from vbbench.metrics.encoders.setting import Setting
from vbbench.training.objectives import augment
from vbbench.training.settings import TrainSettings

BATCH = 64
PROMPT_SHARE = 1 / 8
GROUND_WEIGHT, MARKING_WEIGHT = (
    0.4,
    2.0,
)  # of a background pixel in the loss (they are five in six) and of a marking's
VALIDATION_FRAMES = 540


def segments_of(masks_BHW: np.ndarray, marking_B: np.ndarray) -> np.ndarray:
    """The world's masks with the marking's value replaced by the segment of its kind: int64 (B, H,
    W).

    Args:
        masks_BHW: values ``world.names.MASK_*``.
        marking_B: index of each picture's kind of marking into MARKINGS.
    """
    segments = masks_BHW.astype(np.int64)
    segments = np.where(
        masks_BHW == MASK_MARKING, FIRST_MARKING + marking_B[:, None, None], segments
    )
    return np.where(masks_BHW == MASK_DETAIL, DETAIL, segments)


def intersection_over_union(found: np.ndarray, true: np.ndarray) -> float:
    """Of two boolean arrays; 1 where both are empty."""
    union = np.logical_or(found, true).sum()
    return float(np.logical_and(found, true).sum() / union) if union else 1.0


class Segmenter:
    """Per-pixel cross-entropy on stills and image prompts, damaged."""

    name = "segmenter"
    settings = TrainSettings(
        lr=3e-3, steps=2500, weight_decay=0.02, ema_decay=0.995, validate_every=500
    )

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.device = data, device
        self.config = encoder_config("segmenter", Setting())
        module = UNet(self.config.arch["widths"]).to(device)
        self.module = module.to(memory_format=torch.channels_last)
        weights = [GROUND_WEIGHT, 1.0, 1.0, *[MARKING_WEIGHT] * len(MARKINGS), 1.0]
        self.weights = torch.tensor(weights, device=device)

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Cross-entropy over all pixels of one batch."""
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        pictures, segments = self._batch(self.data.train, rng)
        pictures, moved = augment.affine(
            pictures, generator, zoom=(0.7, 1.3), shift=0.12, turn=0.15, flip=True, nearest=segments
        )
        pictures = augment.relight(pictures, generator, brightness=0.12, tint=0.06)
        pictures = augment.damage(
            augment.blur(pictures, generator, 1.2), generator, noise=18.0, blocks=14.0, share=0.7
        )
        logits = self.module(augment.normalised(pictures, self.config.mean, self.config.std))
        assert moved is not None
        loss = F.cross_entropy(logits.float(), moved, self.weights)
        return loss, {}

    def _batch(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) and their segments (B, H, W)."""
        prompts = round(PROMPT_SHARE * BATCH)
        parts = [
            self._rows(split, split.stills, rng.integers(len(split.stills), size=BATCH - prompts))
        ]
        parts.append(
            self._rows(split, split.prompts, rng.integers(len(split.prompts), size=prompts))
        )
        frames, segments = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return augment.to_pictures(frames, self.device), torch.from_numpy(segments).to(self.device)

    def _rows(
        self, split: Split, pictures: Pictures, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return pictures.frames[rows], segments_of(
            pictures.masks[rows], split.people.marking[pictures.subject[rows]]
        )

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """IoU of the whole subject and of each segment on undamaged frames of validation
        individuals, and the subject's on damaged ones."""
        split = self.data.val
        rows = np.linspace(
            0, len(split.stills) - 1, min(VALIDATION_FRAMES, len(split.stills))
        ).astype(int)
        frames, true = self._rows(split, split.stills, rows)
        pictures = augment.to_pictures(frames, self.device)
        generator = torch.Generator().manual_seed(0)
        damaged = augment.damage(
            augment.blur(pictures, generator, 1.2), generator, noise=18.0, blocks=14.0, share=1.0
        )
        found, found_damaged = (self._segment(module, x) for x in (pictures, damaged))
        figures = {
            "iou": intersection_over_union(found > 0, true > 0),
            "iou_damaged": intersection_over_union(found_damaged > 0, true > 0),
        }
        figures |= {
            f"iou_{name}": intersection_over_union(found == s, true == s)
            for s, name in enumerate(SEGMENTS)
            if s > 0
        }
        marked = [(x >= FIRST_MARKING) & (x < DETAIL) for x in (found, true)]
        figures["iou_marking"] = intersection_over_union(*marked)
        figures["iou_mean"] = float(np.mean([figures[f"iou_{name}"] for name in SEGMENTS[1:]]))
        return figures

    def _segment(self, module: nn.Module, pictures_B3HW: Tensor) -> np.ndarray:
        x = augment.normalised(pictures_B3HW, self.config.mean, self.config.std)
        return np.concatenate([decode(module(part)).cpu().numpy() for part in x.split(64)])

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The U-Net and its sizes."""
        return module.state_dict(), {"arch": dict(self.config.arch), "segments": list(SEGMENTS)}
