"""A scorer of numpy alone, for runs without encoders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from vbbench.media.video import read_video
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scoring import ClipToScore
from vbbench.metrics.spec import make_spec
from vbbench.types import MetricSpec, Score


def spec(name: str, version: str = "1") -> MetricSpec:
    known = {
        "name": name,
        "version": version,
        "formula": "mean",
        "unit": "levels",
        "higher_is_better": True,
    }
    return replace(
        make_spec(Setting(), **known, bounds=(0.0, 255.0), reads_text=False), id=f"{name}-{version}"
    )


class MeanScorer:
    """Mean of all pixels, and of the red ones; fails where the item's text holds a given word."""

    def __init__(self, version: str = "1", fails_on: str = "\0") -> None:
        self.specs = [spec("mean", version), spec("red", version)]
        self.fails_on = fails_on
        self.calls: list[tuple[str, str]] = []

    def score(self, clips: Iterable[ClipToScore]) -> Iterator[Sequence[Score]]:
        for clip in clips:
            self.calls.append((clip.model, clip.item.id))
            if self.fails_on in clip.item.text:
                raise RuntimeError("no mean today")
            pixels = read_video(clip.video).frames
            values = [float(pixels.mean()), float(pixels[..., 0].mean())]
            frames = tuple(float(np.mean(frame)) for frame in pixels)
            yield [
                Score(clip.model, clip.item.id, s.name, s.id, value, None, frames)
                for s, value in zip(self.specs, values, strict=True)
            ]
