"""The leaderboard as the page shows it: every number already written out. Its companions are in `vbbench.report.differences`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from vbbench.report import words
from vbbench.report.aggregate import primary_metric
from vbbench.report.cells import Cell, Column, Difference, Matrix, Row
from vbbench.report.costs import known
from vbbench.report.differences import VERDICTS, checks_of, differences_of, focus_title, matrix_of
from vbbench.report.run_data import RunData
from vbbench.report.scaled import Scale, scales_of
from vbbench.report.statistics import FEW_CLUSTERS, FEWEST_CLUSTERS
from vbbench.types import MetricSpec

__all__ = [
    "COSTS", "VERDICTS", "Cell", "Column", "Difference", "Matrix", "Row", "checks_of", "columns_of", "differences_of", "focus_title",
    "interval_note", "matrix_of", "rows_of",
]  # fmt: skip

COSTS = (
    ("fit_seconds", "Fit", "s / subject", words.seconds),
    ("sample_seconds", "Sample", "s / clip", words.seconds),
    ("peak_memory_mb", "Memory", "MB, peak", words.megabytes),
)
SCALED_DECIMALS = 2


def columns_of(run: RunData, table: pd.DataFrame) -> tuple[Column, ...]:
    """One column a metric, on an axis that holds every interval of the table; the metric that orders the table comes first."""
    primary = primary_metric(run)
    scales, titles = scales_of(run, table), {model.name: model.title for model in run.models}
    specs = sorted(run.metrics, key=lambda spec: spec.name != primary)
    return tuple(_column(spec, table, scales[spec.name], titles) for spec in specs)


def _column(spec: MetricSpec, table: pd.DataFrame, scale: Scale, titles: Mapping[str, str]) -> Column:
    names = [spec.name, f"{spec.name}.low", f"{spec.name}.high"]
    numbers = [float(number) for number in table[names].to_numpy(dtype=object).ravel() if not pd.isna(number)]
    real = table.loc[table["model"] == "real-video", spec.name].dropna()
    column = Column(
        name=spec.name,
        title=words.metric_title(spec.name),
        arrow="\N{UPWARDS ARROW}" if spec.higher_is_better else "\N{DOWNWARDS ARROW}",
        direction="higher is better" if spec.higher_is_better else "lower is better",
        spec_id=spec.id,
        decimals=words.decimals_for(numbers),
        axis_low=min(numbers, default=0.0),
        axis_high=max(numbers, default=1.0),
        ceiling=None,
        scale=scale,
        scale_says=scale.says(titles),
    )
    return column if real.empty else replace(column, ceiling=column.position(float(real.iloc[0])))


def rows_of(table: pd.DataFrame, columns: tuple[Column, ...], primary: str | None) -> tuple[list[Row], list[Row]]:
    """The table's rows: competitors, references."""
    rows = [(_row(record, columns, primary), record["reference"]) for record in table.to_dict("records")]
    return [row for row, reference in rows if not reference], [row for row, reference in rows if reference]


def _row(record: dict[str, object], columns: tuple[Column, ...], primary: str | None) -> Row:
    lost = [f"{record[what]} {word}" for what, word in (("failed", "failed"), ("missing", "not run yet")) if record[what]]
    rank = known(record.get(f"{primary}.rank"))
    return Row(
        model=str(record["model"]),
        title=str(record["title"]),
        role=words.reference_role(str(record["model"])) if record["reference"] else "",
        rank=None if rank is None else int(rank),
        sampled=int(record["sampled"]),  # type: ignore[call-overload]
        items=int(record["items"]),  # type: ignore[call-overload]
        lost=", ".join(lost),
        cells=tuple(_cell(record, column) for column in columns),
        costs=tuple((known(record[name]), write(known(record[name]))) for name, _, _, write in COSTS),
    )


def _cell(record: dict[str, object], column: Column) -> Cell:
    value, low, high, rank = (known(record[f"{column.name}{suffix}"]) for suffix in ("", ".low", ".high", ".rank"))
    scaled, scaled_low, scaled_high = (known(record[f"{column.name}.scaled{suffix}"]) for suffix in ("", "_low", "_high"))
    scored = int(record[f"{column.name}.scored"])  # type: ignore[call-overload]
    return Cell(
        value=value,
        text=words.number(value, column.decimals),
        interval=words.interval(low, high, column.decimals),
        low=column.position(low),
        middle=column.position(value),
        high=column.position(high),
        rank=None if rank is None else int(rank),
        note="" if scored == record["items"] else f"{scored} of {record['items']} scored",
        scaled=scaled,
        scaled_text=words.number(scaled, SCALED_DECIMALS),
        scaled_interval=words.interval(scaled_low, scaled_high, SCALED_DECIMALS),
    )


def interval_note(individuals: int) -> str:
    """The sentence beside intervals when there are few individuals; empty when there are enough."""
    if individuals >= FEW_CLUSTERS:
        return ""
    if individuals < FEWEST_CLUSTERS:
        return f"Too few individuals: with {individuals}, no 95 % interval can be given, and models cannot be ranked."
    return f"Too few individuals for fine distinctions: with {individuals} (fewer than {FEW_CLUSTERS}), read intervals and ranks as rough."
