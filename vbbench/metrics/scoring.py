"""From videos to their scores: each is decoded once, embedded once an encoder, many at a time; what
cannot be scored is a score with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vbbench.errors import one_line
from vbbench.metrics.scored_clip import FACTS, EmbeddedClip, prepare
from vbbench.types import PromptItem, Score, Video

if TYPE_CHECKING:
    from vbbench.metrics.analysis import Analysis, Encoders
    from vbbench.metrics.base import Measurement, Metric
    from vbbench.metrics.cache import EmbeddingCache

WINDOW = 16
"""Videos whose prepared frames are held together. More would only cost memory: their frames already
fill several batches."""


@dataclass(frozen=True)
class ClipToScore:
    """A video (decoded, or a file), whose it is, and what it was made from."""

    model: str
    item: PromptItem
    video: Video | Path


def score_clips(
    clips: Iterable[ClipToScore],
    metrics: Sequence[Metric],
    encoders: Encoders,
    cache: EmbeddingCache | None = None,
) -> Iterator[list[Score]]:
    """One list a clip, in the order of the clips; in it one score a metric, in the order of the
    metrics.

    Where a video is missing, unreadable, of another length than the setting says, or a metric
    cannot be computed or is not finite, the score holds the reason. At most `WINDOW` videos are
    looked at together, so memory does not grow with their number.
    """
    analyses: list[Analysis] = list(
        dict.fromkeys([FACTS, *(analysis for metric in metrics for analysis in metric.reads)])
    )
    coming = iter(clips)
    while window := list(islice(coming, WINDOW)):
        embedded = [EmbeddedClip(clip.video, clip.item, encoders, cache) for clip in window]
        prepare(embedded, analyses, encoders)
        for clip, ready in zip(window, embedded, strict=True):
            yield _scores(clip, ready, metrics, encoders.setting.num_frames)


def _scores(
    clip: ClipToScore, ready: EmbeddedClip, metrics: Sequence[Metric], num_frames: int | None
) -> list[Score]:
    reason = _refusal(ready, num_frames)
    if reason is not None:
        return [_without_value(metric, clip, reason) for metric in metrics]
    return [_score(metric, clip, ready) for metric in metrics]


def _refusal(ready: EmbeddedClip, num_frames: int | None) -> str | None:
    """Why the video as a whole cannot be scored."""
    try:
        found = ready.num_frames
    except (Exception, SystemExit) as error:
        return one_line(error)
    if num_frames is not None and found != num_frames:
        return f"the video has {found} frames; the suite asks for {num_frames}."
    return "the video holds one frame: it is a picture." if found == 1 else None


def _score(metric: Metric, clip: ClipToScore, ready: EmbeddedClip) -> Score:
    try:
        measured: Measurement = metric.score(ready)
    except (Exception, SystemExit) as error:
        return _without_value(metric, clip, one_line(error))
    if not math.isfinite(measured.value):
        return _without_value(metric, clip, f"the value is {measured.value}, not a finite number")
    return Score(
        clip.model,
        clip.item.id,
        metric.spec.name,
        metric.spec.id,
        measured.value,
        None,
        measured.per_frame,
    )


def _without_value(metric: Metric, clip: ClipToScore, reason: str) -> Score:
    return Score(clip.model, clip.item.id, metric.spec.name, metric.spec.id, None, reason)
