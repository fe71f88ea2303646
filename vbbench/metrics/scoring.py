"""From a video to its scores: decoded once, embedded once an encoder; what cannot be scored is a score with the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vbbench.errors import InputError, VBBenchError
from vbbench.metrics.base import EmbeddedClip, Measurement
from vbbench.types import PromptItem, Score, Video
from vbbench.video import read_video

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric


def score_video(
    video: Video | Path | str,
    item: PromptItem,
    metrics: Sequence[Metric],
    *,
    model: str,
    scale: str = "mini",
    device: str = "cpu",
    num_frames: int | None = None,
) -> list[Score]:
    """One score a metric, in the order of the metrics.

    Args:
        video: decoded, or a file.
        item: what the video was made from.
        model: whose video it is; goes into the scores.
        num_frames: how many frames the suite asks for; None takes any number.
    Returns:
        Scores; where a video is missing, unreadable, of the wrong length, or a metric cannot be computed or is not finite, with the reason.
    """
    try:
        decoded = video if isinstance(video, Video) else read_video(video)
        if num_frames is not None and len(decoded.frames) != num_frames:
            raise InputError(f"the video has {len(decoded.frames)} frames; the suite asks for {num_frames}.")
    except VBBenchError as error:
        return [_without_value(metric, item, model, str(error)) for metric in metrics]
    clip = EmbeddedClip(decoded, item, scale=scale, device=device)
    return [_score(metric, clip, model) for metric in metrics]


def _score(metric: Metric, clip: EmbeddedClip, model: str) -> Score:
    try:
        measured: Measurement = metric.score(clip)
    except (VBBenchError, ValueError) as error:
        return _without_value(metric, clip.item, model, str(error))
    if not math.isfinite(measured.value):
        return _without_value(metric, clip.item, model, f"the value is {measured.value}, not a finite number")
    return Score(model, clip.item.id, metric.spec.name, metric.spec.id, measured.value, None, measured.per_frame)


def _without_value(metric: Metric, item: PromptItem, model: str, reason: str) -> Score:
    return Score(model, item.id, metric.spec.name, metric.spec.id, None, reason)
