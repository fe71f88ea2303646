"""Scores of a run's videos: for every video, one for every metric spec that it has none of yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from vbbench.errors import VBBenchError
from vbbench.run.store import Record, RunStore
from vbbench.types import MetricSpec, PromptItem, PromptSuite, Score, Video

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric


class Scorer(Protocol):
    """What a run needs to know of metrics."""

    @property
    def specs(self) -> Sequence[MetricSpec]:
        """One a metric."""
        ...

    def score(self, model: str, video: Video, item: PromptItem) -> Sequence[Score]:
        """One a spec; a metric that cannot be computed gives a score with a reason."""
        ...


class MetricScorer:
    """Scores by the metrics of `vbbench.metrics`."""

    def __init__(self, names: Iterable[str], scale: str, device: str) -> None:
        from vbbench import metrics

        self._metrics: list[Metric] = [metrics.get_metric(name, scale) for name in names]
        self._scale, self._device = scale, device

    @property
    def specs(self) -> Sequence[MetricSpec]:
        """One a metric, in the order in which they were named."""
        return [metric.spec for metric in self._metrics]

    def score(self, model: str, video: Video, item: PromptItem) -> Sequence[Score]:
        """One a metric; the video is embedded once an encoder for all of them."""
        from vbbench.metrics.scoring import score_video

        return score_video(video, item, self._metrics, model=model, scale=self._scale, device=self._device)


def score_run(store: RunStore, suite: PromptSuite, scorer: Scorer, advance: Callable[[str], None]) -> None:
    """Score what has no score yet, the videos of earlier runs into the folder too.

    Args:
        advance: called with the model's name once a video is scored.
    """
    items = {item.id: item for item in suite.items}
    for record in videos_to_score(store, scorer.specs):
        store.keep_scores(_score_one(store, record, items[record["item_id"]], scorer))
        advance(record["model"])


def videos_to_score(store: RunStore, specs: Sequence[MetricSpec]) -> list[Record]:
    """Records of the sample jobs of which a score is missing, has failed, or is of other pixels."""
    samples = [record for record in store.jobs.values() if record["kind"] == "sample"]
    return [record for record in samples if any(not _is_scored(store, record, spec) for spec in specs)]


def _is_scored(store: RunStore, record: Record, spec: MetricSpec) -> bool:
    row = store.scores.get((record["model"], record["item_id"], spec.id))
    if row is None or row["video_digest"] != record["digest"]:
        return False
    return row["value"] is not None or (record["status"] == "failed" and row["reason"] == record["reason"])


def _score_one(store: RunStore, record: Record, item: PromptItem, scorer: Scorer) -> list[Record]:
    model = record["model"]
    if record["status"] == "failed":
        return [_row(_without_value(model, item, spec, record["reason"]), record) for spec in scorer.specs]
    try:
        scores = scorer.score(model, store.load_video(record), item)
    except Exception as error:
        scores = [_without_value(model, item, spec, one_line(error)) for spec in scorer.specs]
    return [_row(score, record) for score in scores]


def _without_value(model: str, item: PromptItem, spec: MetricSpec, reason: str) -> Score:
    return Score(model, item.id, spec.name, spec.id, None, reason)


def _row(score: Score, record: Record) -> Record:
    value, reason = score.value, score.reason
    if value is not None and not math.isfinite(value):
        value, reason = None, f"the value is {value}, not a finite number"
    return {
        "model": score.model,
        "item_id": score.item_id,
        "metric": score.metric,
        "spec_id": score.spec_id,
        "value": None if value is None else float(value),
        "reason": reason,
        "per_frame": _finite(score.per_frame),
        "video_digest": record["digest"],
    }


def _finite(values: Sequence[float] | None) -> list[float | None] | None:
    return None if values is None else [float(value) if math.isfinite(value) else None for value in values]


def one_line(error: BaseException) -> str:
    """An error as the reason in a record: our own as their sentence, others with their kind."""
    text = " ".join(str(error).split())
    if isinstance(error, VBBenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def count_failures(store: RunStore, specs: Sequence[MetricSpec], models: Iterable[str]) -> dict[str, Any]:
    """How many videos of the given models are done, failed, and not wholly scored."""
    wanted = set(models)
    samples = [record for record in store.jobs.values() if record["kind"] == "sample" and record["model"] in wanted]
    failed = sum(record["status"] == "failed" for record in samples)
    unscored = sum(
        any((row := store.scores.get((record["model"], record["item_id"], spec.id))) is None or row["value"] is None for spec in specs)
        for record in samples
        if record["status"] == "done"
    )
    return {"done": len(samples) - failed, "failed": failed, "unscored": unscored}
