"""The numbers of a report: leaderboard, paired differences, what the reference rows should show,
and what failed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from vbbench.metrics.meaning import of_kind, primary_of
from vbbench.results.comparisons import Comparison, Pair, all_pairs, compare, rank_groups
from vbbench.results.costs import costs_of
from vbbench.results.normalised import scaled_columns
from vbbench.results.run_data import ModelFacts, RunData, merge_runs
from vbbench.results.run_folder import load_run
from vbbench.results.statistics import Estimate, mean_with_interval, paired_difference
from vbbench.types import MetricSpec

__all__ = [
    "EXPECTATIONS", "Check", "Expectation", "Failure", "check_references", "failures", "focus_model",
    "leaderboard_table", "load_run", "merge_runs", "of_kind", "paired_table", "primary_metric", "primary_of",
]  # fmt: skip

FOCUS = "videobooth"
"""The model that paired differences are taken from, where it was run."""
PAIRED_COLUMNS = (
    "model", "other", "metric", "difference", "low", "high", "effect", "p", "corrected", "items", "individuals", "better",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """An order of two reference rows, by name, that a metric worth reading must show."""

    metric: str
    above: str
    below: str
    says: str


@dataclass(frozen=True)
class Expectation:
    """What all metrics of a kind should show: the reference row of one role better than that of
    another; of a kind without direction, larger."""

    kind: str
    above: str
    below: str
    says: str


EXPECTATIONS = (
    Expectation(
        "subject", "ceiling", "floor", "tell the subject from another individual of its class"
    ),
    Expectation("time", "ceiling", "shuffled", "notice frames in the wrong order"),
    Expectation("time", "ceiling", "flicker", "notice a flickering picture"),
    Expectation("motion", "ceiling", "copy", "tell a video from a still picture"),
)


@dataclass(frozen=True)
class Failure:
    """Items of one row that have no video, or no score, for one reason."""

    model: str
    what: str  # "video" or a metric's name
    reason: str
    missing: bool  # nothing went wrong, it has not been done yet
    items: tuple[str, ...]


def primary_metric(run: RunData) -> str | None:
    """Name of the metric that orders the table; None where nothing that ranks is measured."""
    return primary_of(run.metrics)


def leaderboard_table(run: RunData) -> pd.DataFrame:
    """One row a model: competitors from best to worst by `primary_metric`, then reference rows in
    the run's order.

    Columns:
        model, title, reference (bool); items, sampled, failed, missing: numbers of clips.
        ``<metric>``, ``<metric>.low``, ``<metric>.high``: mean over scored clips and its 95 %
        interval over individuals. ``<metric>.scored``, ``<metric>.spec``, ``<metric>.rank``: number
        of scored clips; id of the metric spec; rank among competitors, of whom all pairs are
        compared as one family (none for references). ``<metric>.scaled``, ``<metric>.scaled_low``,
        ``<metric>.scaled_high``: the mean and its interval on the scale from floor (0) to ceiling
        (1) of the reference rows: see `vbbench.results.normalised`. fit_seconds, sample_seconds and
        the other costs: see `vbbench.results.costs.costs_of`.
    A number that does not exist is NA.
    """
    ranks = {spec.name: _ranks(run, spec) for spec in run.metrics}
    rows = [
        {**_counts(run, model), **_scores(run, model, ranks), **costs_of(run, model)}
        for model in run.models
    ]
    table = pd.DataFrame(rows)
    for column in table.columns:
        if column.endswith((".rank", ".scored")) or column in (
            "items",
            "sampled",
            "failed",
            "missing",
            "fitted",
            "fits",
        ):
            table[column] = table[column].astype("Int64")
        elif column not in ("model", "title", "reference") and not column.endswith(".spec"):
            table[column] = table[column].astype("Float64")
    return _ordered(run, scaled_columns(run, table))


def paired_table(run: RunData) -> pd.DataFrame:
    """Differences of `focus_model` minus every other row, over the items both have.

    Columns (`PAIRED_COLUMNS`): model, other, metric; difference, low, high: mean and its 95 %
    interval, for this pair alone; effect: Hedges' g in standard deviations of the individuals'
    differences; p: of this pair alone; corrected: after Holm's correction over the pair's family
    (`competitors_compared`, or the focus against every reference row, within the metric); items,
    individuals; better: +1 the model is clearly better after the correction, -1 clearly worse, 0
    not told apart, or the metric has no direction.
    """
    focus = focus_model(run)
    pairs: list[Pair] = (
        [(focus, model.name) for model in run.models if model.name != focus] if focus else []
    )
    found = (
        {spec.name: _focus_compared(run, spec.name, focus) for spec in run.metrics} if focus else {}
    )
    rows = []
    for model_name, other in pairs:
        for spec in run.metrics:
            comparison = found[spec.name][model_name, other]
            difference = comparison.difference
            rows.append(
                {
                    "model": model_name,
                    "other": other,
                    "metric": spec.name,
                    "difference": difference.mean,
                    "low": difference.low,
                    "high": difference.high,
                    "effect": comparison.effect,
                    "p": comparison.p,
                    "corrected": comparison.corrected,
                    "items": difference.items,
                    "individuals": difference.clusters,
                    "better": comparison.sign * spec.sign,
                }
            )
    numbers = ("difference", "low", "high", "effect", "p", "corrected")
    return pd.DataFrame(rows, columns=list(PAIRED_COLUMNS)).astype(
        dict.fromkeys(numbers, "Float64")
    )


def competitors_compared(run: RunData, metric: str) -> dict[Pair, Comparison]:
    """Every pair of competitors under one metric, as one family; the pairs of `focus_model` begin
    with it.

    Ranks and differences are read from this one family, so that they never contradict each other.
    It is worked out once a run.
    """
    return run.remembered(("compared", metric), lambda: _compared(run, metric))


def _compared(run: RunData, metric: str) -> dict[Pair, Comparison]:
    competitors = [model.name for model in run.models if not model.is_reference]
    values = {name: run.values(name, metric) for name in competitors}
    return compare(values, run.subject_of, all_pairs(competitors, focus_model(run)))


def _focus_compared(run: RunData, metric: str, focus: str) -> dict[Pair, Comparison]:
    """Pairs of the focus: those with competitors from their family, and those with the reference
    rows as a family of their own."""
    references = [model.name for model in run.models if model.is_reference]
    values = {name: run.values(name, metric) for name in (focus, *references)}
    return competitors_compared(run, metric) | compare(
        values, run.subject_of, [(focus, name) for name in references]
    )


def focus_model(run: RunData) -> str | None:
    """`FOCUS` where it was run, else the first competitor; None where there is none."""
    competitors = [model.name for model in run.models if not model.is_reference]
    return FOCUS if FOCUS in competitors else next(iter(competitors), None)


def check_references(run: RunData) -> list[tuple[Check, Estimate]]:
    """Paired difference above - below of each of `EXPECTATIONS` whose metrics and rows the run
    has."""
    found = []
    for expectation in EXPECTATIONS:
        above, below = run.of_role(expectation.above), run.of_role(expectation.below)
        if above is None or below is None:
            continue
        for spec in run.metrics:
            if spec.kind == expectation.kind:
                check = Check(spec.name, above, below, expectation.says)
                values = run.values(above, spec.name), run.values(below, spec.name)
                found.append((check, paired_difference(*values, run.subject_of)))
    return found


def failures(run: RunData) -> list[Failure]:
    """Everything that has no number, with the reason; items that share one stand together."""
    found: list[Failure] = []
    for model in run.models:
        without_video = {item.id: run.clips[model.name, item.id] for item in run.items}
        lost = [
            (item, clip.reason or "", clip.status == "missing")
            for item, clip in without_video.items()
            if clip.status != "done"
        ]
        found += _grouped(model.name, "video", lost)
        for spec in run.metrics:
            results = {item.id: run.results[model.name, item.id, spec.name] for item in run.items}
            lost = [
                (item, result.reason or "", False)
                for item, result in results.items()
                if result.value is None and run.clips[model.name, item].status == "done"
            ]
            found += _grouped(model.name, spec.name, lost)
    return found


def _grouped(model: str, what: str, lost: list[tuple[str, str, bool]]) -> list[Failure]:
    def by_reason(entry: tuple[str, str, bool]) -> tuple[str, bool]:
        return entry[1], entry[2]

    return [
        Failure(model, what, reason, missing, tuple(item for item, _, _ in group))
        for (reason, missing), group in groupby(sorted(lost, key=by_reason), key=by_reason)
    ]


def _ranks(run: RunData, spec: MetricSpec) -> dict[str, int | None]:
    """Nobody is ranked by a metric without direction."""
    compared = competitors_compared(run, spec.name)
    if spec.sign == 0:
        return {}
    ranks = rank_groups(compared, higher_is_better=spec.sign > 0)
    return {model: rank if run.values(model, spec.name) else None for model, rank in ranks.items()}


def _counts(run: RunData, model: ModelFacts) -> dict[str, object]:
    statuses = [run.clips[model.name, item.id].status for item in run.items]
    counts = {
        "items": len(statuses),
        "sampled": statuses.count("done"),
        "failed": statuses.count("failed"),
        "missing": statuses.count("missing"),
    }
    return {"model": model.name, "title": model.title, "reference": model.is_reference, **counts}


def _scores(
    run: RunData, model: ModelFacts, ranks: dict[str, dict[str, int | None]]
) -> dict[str, object]:
    row: dict[str, object] = {}
    subject_of = run.subject_of
    for spec in run.metrics:
        values = run.values(model.name, spec.name)
        found = mean_with_interval(
            list(values.values()), [subject_of[item] for item in values], spec.bounds
        )
        row[spec.name] = found.mean
        row[f"{spec.name}.low"], row[f"{spec.name}.high"] = found.low, found.high
        row[f"{spec.name}.scored"] = found.items
        row[f"{spec.name}.spec"] = spec.id
        row[f"{spec.name}.rank"] = ranks[spec.name].get(model.name)
    return row


def _ordered(run: RunData, table: pd.DataFrame) -> pd.DataFrame:
    """Competitors best first (by name where nothing tells them apart), then references as the run
    lists them."""
    primary = primary_metric(run)
    competitors, references = table[~table["reference"]], table[table["reference"]]
    if primary is not None:
        higher = {spec.name: spec.sign > 0 for spec in run.metrics}[primary]
        competitors = competitors.sort_values("model").sort_values(
            primary, ascending=not higher, kind="stable", na_position="last"
        )
    return pd.concat([competitors, references], ignore_index=True)
