"""A run as an object: tables of what a run folder holds, for notebooks and programs."""

from __future__ import annotations

import os
import shutil
import weakref
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vbbench.core.names import nearest
from vbbench.errors import UsageError
from vbbench.results.aggregate import competitors_compared, failures, leaderboard_table
from vbbench.results.comparisons import Comparison, compare
from vbbench.results.gate.check import Held, hold
from vbbench.results.run_data import RunData
from vbbench.results.run_folder import load_run

if TYPE_CHECKING:
    from collections.abc import Collection

    from vbbench.results.statistics import Estimate
    from vbbench.types import MetricSpec

SCORE_COLUMNS = ("model", "item", "subject", "metric", "value", "reason", "spec")
FAILURE_COLUMNS = ("model", "item", "what", "reason", "missing")
COMPARISON_COLUMNS = (
    "metric",
    "difference",
    "low",
    "high",
    "effect",
    "p",
    "corrected",
    "items",
    "individuals",
    "better",
)
VERDICT_COLUMNS = (
    "model",
    "metric",
    "verdict",
    "recorded",
    "now",
    "change",
    "low",
    "high",
    "tolerance",
    "noise",
    "counts",
    "why",
)


class Run:
    """What a run folder held when it was read; the folder may change afterwards, this does not.

    Tables are worked out when they are first asked for. A number that does not exist is NA.

    Args:
        folder: the run folder.
        temporary: whether the folder is removed with this object.
    Raises:
        RunFolderError: it is none, or damaged.
    """

    def __init__(self, folder: Path | str, *, temporary: bool = False) -> None:
        self._folder = Path(folder)
        self._data = load_run(self._folder)
        if temporary:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self._folder

    @property
    def data(self) -> RunData:
        """All records, as reports take them."""
        return self._data

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order in which they were run."""
        return [model.name for model in self._data.models]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        return [spec.name for spec in self._data.metrics]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The leaderboard, a row a model: see
        `vbbench.results.aggregate.leaderboard_table` for its columns."""
        return leaderboard_table(self._data)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row for each model, item and metric.

        Columns: model, item, subject, metric; value, in the metric's unit; reason, why there is no
        value; spec, the id of the metric spec: only values of one spec are comparable.
        """
        specs = {spec.name: spec.id for spec in self._data.metrics}
        subjects = self._data.subject_of
        rows = [
            (model, item, subjects[item], metric, found.value, found.reason, specs[metric])
            for (model, item, metric), found in self._data.results.items()
        ]
        made = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
        return made.astype({"value": "Float64", "reason": "string"})

    @cached_property
    def failures(self) -> pd.DataFrame:
        """A row for everything that has no number.

        Columns: model, item; what: ``video`` or a metric's name; reason; missing (bool): nothing
        went wrong, it was not done yet.
        """
        rows = []
        for failure in failures(self._data):
            for item in failure.items:
                rows.append((failure.model, item, failure.what, failure.reason, failure.missing))
        return pd.DataFrame(rows, columns=list(FAILURE_COLUMNS)).astype({"missing": "bool"})

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """Paired differences a - b over the items that both models have, a row a metric.

        Columns: metric; difference, low, high: mean, in the metric's unit, and its 95 % interval
        over individuals; effect: Hedges' g in standard deviations of the individuals' differences;
        p: of this pair alone; corrected: after Holm's correction over all pairs of competitors, as
        in the leaderboard's ranks (p itself where a or b is a reference row); items, individuals;
        better: name of the model that is clearly better after the correction, NA where they are
        not told apart. With fewer than 5 individuals there is no interval and no p.

        Raises:
            UsageError: a model that the run does not hold, or twice the same one.
        """
        for name in (a, b):
            if name not in self.models:
                raise UsageError(
                    f"the run {self._folder} has no model {name!r}: {nearest(name, self.models)}"
                )
        if a == b:
            raise UsageError(f"a model is compared with another one, not {a!r} with itself.")
        rows = [self._comparison(spec, a, b) for spec in self._data.metrics]
        made = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
        numbers = ("difference", "low", "high", "effect", "p", "corrected")
        return made.astype({**dict.fromkeys(numbers, "Float64"), "better": "string"})

    def _comparison(self, spec: MetricSpec, a: str, b: str) -> dict[str, Any]:
        found = _compared(self._data, spec.name, a, b)
        difference = found.difference
        sign = found.sign * spec.sign
        return {
            "metric": spec.name,
            "difference": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "effect": found.effect,
            "p": found.p,
            "corrected": found.corrected,
            "items": difference.items,
            "individuals": difference.clusters,
            "better": {1: a, -1: b}.get(sign),
        }

    @property
    def _summary(self) -> str:
        suite, clips = self._data.suite, self._data.clips
        done = sum(clip.status == "done" for clip in clips.values())
        return (
            f"suite {suite.name} {suite.version} at scale {suite.scale},"
            f" {len(self.models)} models, {len(self.metrics)} metrics,"
            f" {done} of {len(clips)} videos"
        )

    def __repr__(self) -> str:
        return f"<Run {os.fspath(self._folder)}: {self._summary}>"

    def _repr_html_(self) -> str:
        """The leaderboard as a notebook shows it: mean and half the width of its 95 % interval."""
        rows: list[dict[str, Any]] = self.table.to_dict("records")
        heads = ["model", *(escape(metric) for metric in self.metrics), "videos"]
        lines = [_html_row("th", heads)]
        for row in rows:
            cells = [_interval(row, metric) for metric in self.metrics]
            videos = f"{row['sampled']}/{row['items']}"
            lines.append(_html_row("td", [escape(str(row["title"])), *cells, videos]))
        caption = f"{escape(os.fspath(self._folder))}: {escape(self._summary)}"
        return f"<table><caption>{caption}</caption>{''.join(lines)}</table>"


class GateCheck:
    """A run held against recorded scores.

    Attributes:
        ok: whether every row that counts is as recorded, or better.
        exit_code: of ``vbbench gate``: 0; 1 where something drifted or got slower; 3 where
            something was not measured or cannot be compared.
    """

    def __init__(self, held: Held) -> None:
        self._held = held
        self.exit_code: int = held.outcome.exit_code
        self.ok: bool = self.exit_code == 0

    @property
    def held(self) -> Held:
        """The outcome and everything that it came from, as reports take it."""
        return self._held

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """A row for each model and metric, and for its costs.

        Columns: model, metric; verdict: ``same``, ``better``, ``drifted``, ``slower``,
        ``not measured`` or ``not comparable``; recorded, now: means, in the metric's unit; change,
        low, high: of the mean, and its interval over individuals; tolerance, noise: what the
        change was held against; counts (bool): whether the row decides; why.
        """
        rows = []
        for verdict in self._held.outcome.verdicts:
            change = verdict.change
            interval: tuple[float | None, ...] = (None, None, None)
            if change is not None:
                interval = (change.mean, change.low, change.high)
            rows.append(
                (
                    verdict.model,
                    verdict.metric,
                    str(verdict.kind),
                    verdict.old,
                    verdict.new,
                    *interval,
                    verdict.tolerance,
                    verdict.noise,
                    verdict.counts,
                    verdict.sentence,
                )
            )
        numbers = VERDICT_COLUMNS[3:10]
        made = pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))
        return made.astype({**dict.fromkeys(numbers, "Float64"), "counts": "bool"})

    def __repr__(self) -> str:
        counts = self.verdicts["verdict"].value_counts(sort=False)
        words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"<GateCheck {'ok' if self.ok else 'not ok'}: {words}>"

    def _repr_html_(self) -> str:
        heads = ["model", "metric", "verdict", "recorded", "now", "why"]
        lines = [_html_row("th", heads)]
        for row in self.verdicts.to_dict("records"):
            words = [escape(str(row[name])) for name in heads[:3]]
            numbers = ["" if pd.isna(row[name]) else f"{row[name]:.4f}" for name in heads[3:5]]
            lines.append(_html_row("td", [*words, *numbers, escape(row["why"])]))
        caption = f"The gate is {'open' if self.ok else 'shut'}"
        return f"<table><caption>{caption}</caption>{''.join(lines)}</table>"


def check_gate(
    run: Run | Path | str,
    against: Path | str | None = None,
    *,
    models: Collection[str] | str | None = None,
    items: Collection[str] | str | None = None,
    tolerances: Path | str | None = None,
) -> GateCheck:
    """Hold a run against recorded scores; see `vbbench.check_gate`."""
    folder = run.folder if isinstance(run, Run) else run
    return GateCheck(hold(folder, against, models=models, items=items, tolerances=tolerances))


def _compared(data: RunData, metric: str, a: str, b: str) -> Comparison:
    """The comparison a - b. Competitors are compared as one family, as in the leaderboard, so that
    the two never contradict each other."""
    references = {model.name for model in data.models if model.is_reference}
    if references & {a, b}:
        values = {name: data.values(name, metric) for name in (a, b)}
        return compare(values, data.subject_of, [(a, b)])[a, b]
    family = competitors_compared(data, metric)
    if (a, b) in family:
        return family[a, b]
    return _reversed(family[b, a])


def _reversed(found: Comparison) -> Comparison:
    """b - a from a - b."""
    difference: Estimate = found.difference
    turned = type(difference)(
        _negative(difference.mean),
        _negative(difference.high),
        _negative(difference.low),
        difference.items,
        difference.clusters,
    )
    return Comparison(turned, _negative(found.effect), found.p, found.corrected)


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def _html_row(tag: str, cells: Collection[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _interval(row: dict[str, Any], metric: str) -> str:
    mean, low, high = (row[key] for key in (metric, f"{metric}.low", f"{metric}.high"))
    if pd.isna(mean):
        return "-"
    if pd.isna(low) or pd.isna(high):
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {(high - low) / 2:.3f}"
