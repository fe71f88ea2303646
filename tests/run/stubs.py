"""A scorer of numpy alone, for runs without encoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vbbench.types import MetricSpec, PromptItem, Score, Video


def spec(name: str, version: str = "1") -> MetricSpec:
    return MetricSpec(name, version, None, None, "none", "all", "mean", "levels", True, (0.0, 255.0), False, id=f"{name}-{version}")


class MeanScorer:
    """Mean of all pixels, and of the red ones; fails where the item's text holds a given word."""

    def __init__(self, version: str = "1", fails_on: str = "\0") -> None:
        self.specs = [spec("mean", version), spec("red", version)]
        self.fails_on = fails_on
        self.calls: list[tuple[str, str]] = []

    def score(self, model: str, video: Video, item: PromptItem) -> Sequence[Score]:
        self.calls.append((model, item.id))
        if self.fails_on in item.text:
            raise RuntimeError("no mean today")
        values = [float(video.frames.mean()), float(video.frames[..., 0].mean())]
        frames = tuple(float(np.mean(frame)) for frame in video.frames)
        return [Score(model, item.id, s.name, s.id, value, None, frames) for s, value in zip(self.specs, values, strict=True)]
