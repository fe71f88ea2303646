"""Paired differences, the matrix of all pairs, and what the reference rows should show, as they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from vbbench.report import words
from vbbench.report.aggregate import check_references, competitors_compared, focus_model, paired_table
from vbbench.report.cells import Column, Difference, Matrix
from vbbench.report.comparisons import Comparison, Pair
from vbbench.report.costs import known
from vbbench.report.run_data import RunData

VERDICTS = {"better": "clearly better", "worse": "clearly worse", "same": "not told apart", "unknown": "too few individuals to tell"}


def differences_of(run: RunData, columns: tuple[Column, ...]) -> dict[str, list[Difference]]:
    """Other model -> one difference a column, of `focus_model` minus the other."""
    found = paired_table(run).set_index(["other", "metric"])
    others = dict.fromkeys(name for name, _ in found.index)
    return {other: [_difference(found.loc[(other, column.name)], column) for column in columns] for other in others}


def _difference(record: pd.Series, column: Column) -> Difference:
    difference, low, high, effect = (known(record[name]) for name in ("difference", "low", "high", "effect"))
    return _written(difference, low, high, effect, int(record["better"]), column)


def _written(
    difference: float | None, low: float | None, high: float | None, effect: float | None, better: int, column: Column
) -> Difference:
    """`better`: +1, -1 or 0."""
    verdict = "unknown" if low is None else {1: "better", -1: "worse", 0: "same"}[better]
    text, interval = words.number(difference, column.decimals, signed=True), words.interval(low, high, column.decimals, signed=True)
    return Difference(text, interval, words.effect_size(effect), verdict, VERDICTS[verdict])


def matrix_of(run: RunData, column: Column, order: Sequence[str]) -> Matrix:
    """All pairs of competitors under one metric.

    Args:
        order: names of rows; those of the run's competitors make the matrix, in this order.
    """
    titles = {model.name: model.title for model in run.models if not model.is_reference}
    models = tuple((name, titles[name]) for name in order if name in titles)
    compared = competitors_compared(run, column.name)
    rows = tuple(tuple(_pair(compared, ours, theirs, column) for theirs, _ in models) for ours, _ in models)
    return Matrix(column.title, column, models, rows)


def _pair(compared: Mapping[Pair, Comparison], ours: str, theirs: str, column: Column) -> Difference | None:
    """Ours - theirs, whichever way round it was compared; None of a model and itself."""
    if ours == theirs:
        return None
    turn = 1 if (ours, theirs) in compared else -1
    found = compared[(ours, theirs) if turn > 0 else (theirs, ours)]
    ends = [None if end is None else turn * end for end in (found.difference.low, found.difference.high)]
    low, high = ends if turn > 0 else ends[::-1]
    mean, effect = (None if number is None else turn * number for number in (found.difference.mean, found.effect))
    return _written(mean, low, high, effect, turn * found.sign * (1 if column.direction.startswith("higher") else -1), column)


def checks_of(run: RunData, columns: tuple[Column, ...]) -> list[dict[str, str]]:
    """What the reference rows should show, and whether they do."""
    titles = {model.name: model.title for model in run.models}
    by_name = {column.name: column for column in columns}
    shown = []
    for check, found in check_references(run):
        column = by_name[check.metric]
        sign = found.sign if column.direction.startswith("higher") else -found.sign
        answer = {1: "yes", -1: "no, the other way round", 0: "not shown"}[sign]
        shown.append(
            {
                "metric": column.title,
                "says": check.says,
                "pair": f"{titles[check.above]} {words.MINUS} {titles[check.below]}",
                "difference": words.number(found.mean, column.decimals, signed=True),
                "interval": words.interval(found.low, found.high, column.decimals, signed=True),
                "verdict": answer if found.low is not None else VERDICTS["unknown"],
                "kind": {1: "better", -1: "worse", 0: "same"}[sign] if found.low is not None else "unknown",
            }
        )
    return shown


def focus_title(run: RunData) -> str | None:
    """Title of the model that differences are taken from."""
    focus = focus_model(run)
    return next((model.title for model in run.models if model.name == focus), None)
