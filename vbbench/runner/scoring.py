"""Scores of a run's videos: for every video, one for every metric spec that it has none of yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vbbench.core.names import names_in
from vbbench.core.paths import cache_dir
from vbbench.errors import UsageError, one_line
from vbbench.runner.store import Record, RunStore
from vbbench.types import MetricSpec, PromptItem, PromptSuite, Score

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric
    from vbbench.metrics.encoders.setting import Setting
    from vbbench.metrics.scoring import ClipToScore


class Scorer(Protocol):
    """What a run needs to know of metrics."""

    @property
    def specs(self) -> Sequence[MetricSpec]:
        """One a metric."""
        ...

    def score(self, clips: Iterable[ClipToScore]) -> Iterator[Sequence[Score]]:
        """For each clip, in their order, one score a spec; a metric that cannot be computed gives a
        score with a reason."""
        ...


def _twins(specs: Sequence[MetricSpec]) -> list[str]:
    names = [spec.name for spec in specs]
    return [name for name in names if names.count(name) > 1]


class MetricScorer:
    """Scores by the metrics of `vbbench.metrics`.

    Args:
        names: of metrics, or their folders.
        setting: scale, encoders, and what the videos are like.
        device: ``cpu`` or ``cuda``.
        batch_size: frames that an encoder sees at once; None for the usual number.
        cache: folder that keeps embeddings; None keeps none.
    Raises:
        UsageError, WeightsError: a name is wrong, or an encoder cannot be had.
    """

    def __init__(
        self,
        names: Iterable[str],
        setting: Setting,
        device: str,
        *,
        batch_size: int | None = None,
        cache: Path | None = None,
    ) -> None:
        from vbbench import metrics
        from vbbench.metrics.analysis import Encoders
        from vbbench.metrics.cache import EmbeddingCache

        self._metrics: list[Metric] = [metrics.get_metric(name, setting) for name in names]
        if twins := _twins(self.specs):
            raise UsageError(f"two metrics are called {twins[0]!r}: rename one of them.")
        self._encoders = Encoders(setting, device, batch_size)
        self._cache = EmbeddingCache(cache)

    @property
    def specs(self) -> Sequence[MetricSpec]:
        """One a metric, in the order in which they were named."""
        return [metric.spec for metric in self._metrics]

    def score(self, clips: Iterable[ClipToScore]) -> Iterator[Sequence[Score]]:
        """One list a clip, one score a metric; each video is embedded once an encoder, many at a
        time."""
        from vbbench.metrics.scoring import score_clips

        return score_clips(clips, self._metrics, self._encoders, self._cache)


@dataclass(frozen=True)
class ScoringRequest:
    """How videos are to be scored.

    Attributes:
        metrics: names of metrics; None for the suite's own.
        clip, dino: names of encoders in the place of the scale's usual ones.
        precision: of the scoring encoders: ``float32``, ``bfloat16`` or ``float16``.
        random_weights: score with untrained encoders, to try the plumbing; every spec id says so.
        batch_size: frames that an encoder sees at once; None for the device's usual number.
        cache: whether embeddings are read from, and kept in, the user's cache folder.
    """

    metrics: tuple[str, ...] | None = None
    clip: str | None = None
    dino: str | None = None
    precision: str = "float32"
    random_weights: bool = False
    batch_size: int | None = None
    cache: bool = True

    def setting(
        self,
        scale: str,
        *,
        num_frames: int | None = None,
        fps: float | None = None,
        storage: str = "lossless",
    ) -> Setting:
        """What the metrics' numbers depend on, for videos of the given kind.

        Args:
            num_frames, fps: of every video; None where they differ.
            storage: ``lossless`` or ``lossy``.
        Raises:
            UsageError: an unknown precision.
        """
        from vbbench.metrics.encoders.setting import Setting

        named = (("clip", self.clip), ("dino", self.dino))
        variants = tuple((role, name) for role, name in named if name is not None)
        weights = "random" if self.random_weights else "trained"
        return Setting(scale, variants, self.precision, weights, num_frames, fps, storage)

    def scorer(self, suite_metrics: Sequence[str], setting: Setting, device: str) -> MetricScorer:
        """The scorer; made before anything is sampled, so that a wrong name or a damaged encoder
        is an error at once.

        Args:
            suite_metrics: names of metrics where the request names none.
            device: ``cpu`` or ``cuda``.
        Raises:
            UsageError: no metric, or a wrong name.
            WeightsError: an encoder's weights cannot be had.
        """
        names = suite_metrics if self.metrics is None else self.metrics
        if self.metrics is not None and not names:
            raise UsageError("no metric was named.")
        cache = cache_dir() / "embeddings" if self.cache else None
        return MetricScorer(
            dict.fromkeys(names), setting, device, batch_size=self.batch_size, cache=cache
        )


def metric_names(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of metrics from one text with commas, or from a list; None stays None."""
    if names is None:
        return None
    return tuple(names_in(names) if isinstance(names, str) else names)


def setting_note(left_out: Sequence[str]) -> str:
    """A sentence on metrics that do not stay in a run folder (`RunStore.write_manifest`)."""
    return (
        f"Note: earlier scores of {', '.join(left_out)} were measured under another setting"
        " and are left out."
    )


def score_run(
    store: RunStore, suite: PromptSuite, scorer: Scorer, advance: Callable[[str], None]
) -> None:
    """Score what has no score yet, the videos of earlier runs into the folder too.

    Args:
        advance: called with the model's name once a video is scored.
    """
    items = {item.id: item for item in suite.items}
    waiting = []
    for record in videos_to_score(store, scorer.specs):
        if record["status"] == "failed":
            _keep_reason(store, record, items[record["item_id"]], scorer, record["reason"])
            advance(record["model"])
        else:
            waiting.append(record)
    while waiting:
        waiting = _score_until_error(store, waiting, items, scorer, advance)


def _score_until_error(
    store: RunStore,
    waiting: list[Record],
    items: Mapping[str, PromptItem],
    scorer: Scorer,
    advance: Callable[[str], None],
) -> list[Record]:
    """Score in order; an error of the scorer itself becomes the reason of the video it was at. What
    is left after that one."""
    done = 0
    try:
        for record, scores in zip(
            waiting, scorer.score(_clips(store, waiting, items)), strict=True
        ):
            store.keep_scores([_row(score, record) for score in scores])
            done += 1
            advance(record["model"])
        return []
    except Exception as error:
        record = waiting[done]
        _keep_reason(store, record, items[record["item_id"]], scorer, one_line(error))
        advance(record["model"])
        return waiting[done + 1 :]


def _clips(
    store: RunStore, records: Iterable[Record], items: Mapping[str, PromptItem]
) -> Iterator[ClipToScore]:
    from vbbench.metrics.scoring import ClipToScore

    for record in records:
        yield ClipToScore(record["model"], items[record["item_id"]], store.root / record["file"])


def _keep_reason(
    store: RunStore, record: Record, item: PromptItem, scorer: Scorer, reason: str
) -> None:
    model = record["model"]
    store.keep_scores(
        [
            _row(Score(model, item.id, spec.name, spec.id, None, reason), record)
            for spec in scorer.specs
        ]
    )


def videos_to_score(store: RunStore, specs: Sequence[MetricSpec]) -> list[Record]:
    """Records of the sample jobs of which a score is missing, has failed, or is of other pixels."""
    samples = [record for record in store.jobs.values() if record["kind"] == "sample"]
    return [
        record for record in samples if any(not _is_scored(store, record, spec) for spec in specs)
    ]


def _is_scored(store: RunStore, record: Record, spec: MetricSpec) -> bool:
    row = store.scores.get((record["model"], record["item_id"], spec.id))
    if row is None or row["video_digest"] != record["digest"]:
        return False
    return row["value"] is not None or (
        record["status"] == "failed" and row["reason"] == record["reason"]
    )


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
    return (
        None
        if values is None
        else [float(value) if math.isfinite(value) else None for value in values]
    )


def count_failures(
    store: RunStore,
    specs: Sequence[MetricSpec],
    models: Iterable[str],
    items: Collection[str | None] | None = None,
) -> dict[str, Any]:
    """How many videos of the given models, and items if given, are done, failed, and not wholly
    scored."""
    wanted = set(models)
    samples = [
        record
        for record in store.jobs.values()
        if record["kind"] == "sample" and record["model"] in wanted
    ]
    samples = [record for record in samples if items is None or record["item_id"] in items]
    failed = sum(record["status"] == "failed" for record in samples)
    unscored = sum(
        any(
            (row := store.scores.get((record["model"], record["item_id"], spec.id))) is None
            or row["value"] is None
            for spec in specs
        )
        for record in samples
        if record["status"] == "done"
    )
    return {"done": len(samples) - failed, "failed": failed, "unscored": unscored}
