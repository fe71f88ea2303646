"""Reference rows of a leaderboard: not models, but what ceiling and floor of each metric are
(METRICS: reference rows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.errors import InputError
from vbbench.media.video import load_image_prompt, read_video
from vbbench.types import PromptItem, SamplingParams, Video

FLICKER_GAIN = 0.2


class _Reference:
    """Needs no weights and no device."""

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        self.settings = settings

    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One video an item."""
        return [self._one(item, params) for item in items]

    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        raise NotImplementedError


def _read(path: Path | None, item: PromptItem, what: str) -> Video:
    if path is None:
        raise InputError(f"the item {item.id} has no {what}")
    return read_video(path)


class RealVideo(_Reference):
    """The subject itself, doing what the text says: the ceiling."""

    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        return _read(item.reference_video, item, "real video")


class OtherIndividual(_Reference):
    """Another individual of the class, doing what the text says: the floor of identity."""

    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        return _read(item.other_video, item, "video of another individual")


class StillImage(_Reference):
    """The image prompt, held still: what copying scores."""

    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        picture, _ = load_image_prompt(item.image, params.size)
        return Video(np.repeat(picture[None], params.num_frames, axis=0), params.fps)


class ShuffledFrames(_Reference):
    """The real video with its frames in another order: what temporal metrics must see."""

    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        video = _read(item.reference_video, item, "real video")
        order = np.random.default_rng(item.seed).permutation(len(video.frames))
        if len(order) > 1 and (order == np.arange(len(order))).all():
            order = np.roll(order, 1)
        return Video(video.frames[order], video.fps)


class Flicker(_Reference):
    """The real video with the brightness of each frame multiplied by 1 + `FLICKER_GAIN` n, n drawn
    from a standard normal: unsteady."""

    def _one(self, item: PromptItem, params: SamplingParams) -> Video:
        video = _read(item.reference_video, item, "real video")
        gain_T = 1 + FLICKER_GAIN * np.random.default_rng(item.seed).standard_normal(
            len(video.frames)
        )
        frames = np.clip(np.round(video.frames * gain_T[:, None, None, None]), 0, 255).astype(
            np.uint8
        )
        return Video(frames, video.fps)
