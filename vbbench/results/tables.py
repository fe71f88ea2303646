"""The leaderboard, paired differences and checks as every page and file shows them: each number
already written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from vbbench.results import formatting
from vbbench.results.aggregate import Check
from vbbench.results.comparisons import Comparison, Pair, is_told_apart
from vbbench.results.costs import known
from vbbench.results.normalised import Scale
from vbbench.results.run_data import RunData
from vbbench.results.statistics import FEW_CLUSTERS, FEWEST_CLUSTERS, Estimate
from vbbench.types import MetricSpec

# What the tables of a report are made of: numbers already written out.


@dataclass(frozen=True)
class Column:
    """A metric's column.

    `sign` is +1 where higher is better, -1 where lower is, 0 where neither is; `arrow` and
    `direction` say so. Positions of marks are in % of the width from `axis_low` to `axis_high`.

    `scale` leads from the metric's own unit to the scale of the reference rows; `scale_says` is
    that, or why there is none, in words.
    """

    name: str
    title: str
    kind: str
    sign: int
    arrow: str
    direction: str
    spec_id: str
    decimals: int
    axis_low: float
    axis_high: float
    ceiling: float | None
    scale: Scale
    scale_says: str

    def position(self, value: float | None) -> float | None:
        """Where on the axis a value lies, 0..100."""
        if value is None:
            return None
        return round(100 * (value - self.axis_low) / ((self.axis_high - self.axis_low) or 1), 1)


@dataclass(frozen=True)
class Cell:
    """One model's number under one metric."""

    value: float | None
    text: str
    interval: str
    low: float | None
    middle: float | None
    high: float | None
    rank: int | None
    note: str
    scaled: float | None = None
    scaled_text: str = formatting.NOTHING
    scaled_interval: str = ""


@dataclass(frozen=True)
class Row:
    """One model's line of the leaderboard."""

    model: str
    title: str
    role: str
    rank: int | None
    sampled: int
    items: int
    lost: str
    cells: tuple[Cell, ...]
    costs: tuple[tuple[float | None, str], ...]


@dataclass(frozen=True)
class Difference:
    """A paired difference as it is shown; `verdict` is better, worse, same, unknown, or, of a
    metric without direction, differs; corrected for the number of comparisons."""

    text: str
    interval: str
    effect: str
    verdict: str
    says: str


@dataclass(frozen=True)
class Matrix:
    """Every competitor against every other under one metric.

    Attributes:
        metric: its title.
        models: names and titles, in the order of rows and columns.
        rows: row minus column; None on the diagonal.
    """

    metric: str
    column: Column
    models: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Difference | None, ...], ...]


# Paired differences, the matrix of all pairs, and what the reference rows should show, as they are
# shown.

VERDICTS = {
    "better": "clearly better",
    "worse": "clearly worse",
    "same": "not told apart",
    "unknown": "too few individuals to tell",
    "differs": "clearly different",
}


def differences_of(
    paired: pd.DataFrame, columns: tuple[Column, ...]
) -> dict[str, list[Difference]]:
    """Other model -> one difference a column, of the focus minus the other.

    Args:
        paired: see `vbbench.results.aggregate.paired_table`.
    """
    found = paired.set_index(["other", "metric"])
    others = dict.fromkeys(name for name, _ in found.index)
    return {
        other: [_difference(found.loc[(other, column.name)], column) for column in columns]
        for other in others
    }


def _difference(record: pd.Series, column: Column) -> Difference:
    difference, low, high, effect = (
        known(record[name]) for name in ("difference", "low", "high", "effect")
    )
    told_apart = _sign(difference) if is_told_apart(known(record["corrected"])) else 0
    return _written(difference, low, high, effect, told_apart, column)


def _sign(number: float | None) -> int:
    return int((number or 0.0) > 0) - int((number or 0.0) < 0)


def _written(
    difference: float | None,
    low: float | None,
    high: float | None,
    effect: float | None,
    sign: int,
    column: Column,
) -> Difference:
    """`sign`: of the difference where the two are told apart, else 0."""
    verdict = "unknown" if low is None else _verdict(sign, column)
    text, interval = (
        formatting.number(difference, column.decimals, signed=True),
        formatting.interval(low, high, column.decimals, signed=True),
    )
    return Difference(text, interval, formatting.effect_size(effect), verdict, VERDICTS[verdict])


def _verdict(sign: int, column: Column) -> str:
    if sign == 0:
        return "same"
    if column.sign == 0:
        return "differs"
    return "better" if sign == column.sign else "worse"


def matrix_of(
    compared: Mapping[Pair, Comparison], column: Column, competitors: Sequence[Row]
) -> Matrix:
    """All pairs of competitors under one metric.

    Args:
        compared: each pair one way round.
        competitors: in the order of the matrix' rows and columns.
    """
    models = tuple((row.model, row.title) for row in competitors)
    rows = tuple(
        tuple(_pair(compared, ours, theirs, column) for theirs, _ in models) for ours, _ in models
    )
    return Matrix(column.title, column, models, rows)


def _pair(
    compared: Mapping[Pair, Comparison], ours: str, theirs: str, column: Column
) -> Difference | None:
    """Ours - theirs, whichever way round it was compared; None of a model and itself."""
    if ours == theirs:
        return None
    turn = 1 if (ours, theirs) in compared else -1
    found = compared[(ours, theirs) if turn > 0 else (theirs, ours)]
    ends = [
        None if end is None else turn * end for end in (found.difference.low, found.difference.high)
    ]
    low, high = ends if turn > 0 else ends[::-1]
    mean, effect = (
        None if number is None else turn * number
        for number in (found.difference.mean, found.effect)
    )
    return _written(
        mean,
        low,
        high,
        effect,
        turn * found.sign,
        column,
    )


def checks_of(
    checks: Sequence[tuple[Check, Estimate]],
    titles: Mapping[str, str],
    columns: tuple[Column, ...],
) -> list[dict[str, str]]:
    """What the reference rows should show, and whether they do.

    Args:
        checks: each with its paired difference, above minus below.
        titles: model -> title.
    """
    by_name = {column.name: column for column in columns}
    shown = []
    for check, found in checks:
        column = by_name[check.metric]
        # of a metric without direction more is what is expected of the row above
        sign = found.sign * (column.sign or 1)
        answer = {1: "yes", -1: "no, the other way round", 0: "not shown"}[sign]
        shown.append(
            {
                "metric": column.title,
                "says": check.says,
                "pair": f"{titles[check.above]} {formatting.MINUS} {titles[check.below]}",
                "difference": formatting.number(found.mean, column.decimals, signed=True),
                "interval": formatting.interval(
                    found.low, found.high, column.decimals, signed=True
                ),
                "verdict": answer if found.low is not None else VERDICTS["unknown"],
                "kind": {1: "better", -1: "worse", 0: "same"}[sign]
                if found.low is not None
                else "unknown",
            }
        )
    return shown


COSTS = (
    ("fit_seconds", "Fit", "s / subject", formatting.seconds),
    ("sample_seconds", "Sample", "s / clip", formatting.seconds),
    ("peak_memory_mb", "Memory", "MB, peak", formatting.megabytes),
)
SCALED_DECIMALS = 2


def columns_of(
    run: RunData, table: pd.DataFrame, scales: Mapping[str, Scale], primary: str | None
) -> tuple[Column, ...]:
    """One column a metric, on an axis that holds every interval of the table; the primary metric,
    which orders the table, comes first."""
    titles = {model.name: model.title for model in run.models}
    specs = sorted(run.metrics, key=lambda spec: spec.name != primary)
    ceiling = run.of_role("ceiling")
    return tuple(_column(spec, table, scales[spec.name], titles, ceiling) for spec in specs)


def _column(
    spec: MetricSpec,
    table: pd.DataFrame,
    scale: Scale,
    titles: Mapping[str, str],
    ceiling: str | None,
) -> Column:
    names = [spec.name, f"{spec.name}.low", f"{spec.name}.high"]
    numbers = [
        float(number)
        for number in table[names].to_numpy(dtype=object).ravel()
        if not pd.isna(number)
    ]
    real = table.loc[table["model"] == ceiling, spec.name].dropna()
    column = Column(
        name=spec.name,
        title=spec.title,
        kind=spec.kind,
        sign=spec.sign,
        arrow=formatting.arrow(spec),
        direction=formatting.better(spec),
        spec_id=spec.id,
        decimals=formatting.decimals_for(numbers),
        axis_low=min(numbers, default=0.0),
        axis_high=max(numbers, default=1.0),
        ceiling=None,
        scale=scale,
        scale_says=scale.says(titles),
    )
    return column if real.empty else replace(column, ceiling=column.position(float(real.iloc[0])))


def rows_of(
    table: pd.DataFrame, columns: tuple[Column, ...], primary: str | None, roles: Mapping[str, str]
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """The table's rows: competitors, references.

    Args:
        roles: of the reference rows, by name.
    """
    competitors: list[Row] = []
    references: list[Row] = []
    for record in table.to_dict("records"):
        side = references if record["reference"] else competitors
        side.append(_row(record, columns, primary, roles))
    return tuple(competitors), tuple(references)


def _row(
    record: dict[str, object],
    columns: tuple[Column, ...],
    primary: str | None,
    roles: Mapping[str, str],
) -> Row:
    role = formatting.reference_role(roles.get(str(record["model"]), ""))
    lost = [
        f"{record[what]} {word}"
        for what, word in (("failed", "failed"), ("missing", "not run yet"))
        if record[what]
    ]
    rank = known(record.get(f"{primary}.rank"))
    return Row(
        model=str(record["model"]),
        title=str(record["title"]),
        role=role if record["reference"] else "",
        rank=None if rank is None else int(rank),
        sampled=int(record["sampled"]),  # type: ignore[call-overload]
        items=int(record["items"]),  # type: ignore[call-overload]
        lost=", ".join(lost),
        cells=tuple(_cell(record, column) for column in columns),
        costs=tuple(
            (known(record[name]), write(known(record[name]))) for name, _, _, write in COSTS
        ),
    )


def _cell(record: dict[str, object], column: Column) -> Cell:
    value, low, high, rank = (
        known(record[f"{column.name}{suffix}"]) for suffix in ("", ".low", ".high", ".rank")
    )
    scaled, scaled_low, scaled_high = (
        known(record[f"{column.name}.scaled{suffix}"]) for suffix in ("", "_low", "_high")
    )
    scored = int(record[f"{column.name}.scored"])  # type: ignore[call-overload]
    return Cell(
        value=value,
        text=formatting.number(value, column.decimals),
        interval=formatting.interval(low, high, column.decimals),
        low=column.position(low),
        middle=column.position(value),
        high=column.position(high),
        rank=None if rank is None else int(rank),
        note="" if scored == record["items"] else f"{scored} of {record['items']} scored",
        scaled=scaled,
        scaled_text=formatting.number(scaled, SCALED_DECIMALS),
        scaled_interval=formatting.interval(scaled_low, scaled_high, SCALED_DECIMALS),
    )


def interval_note(individuals: int) -> str:
    """The sentence beside intervals when there are few individuals; empty when there are enough."""
    if individuals >= FEW_CLUSTERS:
        return ""
    if individuals < FEWEST_CLUSTERS:
        return (
            f"Too few individuals: with {individuals}, no 95 % interval can be given, "
            "and models cannot be ranked."
        )
    return (
        f"Too few individuals for fine distinctions: with {individuals} (fewer than "
        f"{FEW_CLUSTERS}), read intervals and ranks as rough."
    )
