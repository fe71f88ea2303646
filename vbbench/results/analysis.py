"""Everything that was found in one or more runs, computed once: what pages and files show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from vbbench.results.aggregate import (
    Check,
    Failure,
    check_references,
    competitors_compared,
    failures,
    focus_model,
    leaderboard_table,
    paired_table,
    primary_metric,
)
from vbbench.results.comparisons import Comparison, Pair
from vbbench.results.costs import CostColumn, CostRow, cost_columns, cost_note, cost_rows
from vbbench.results.items import Extreme, ItemNumbers, extremes_of, item_numbers
from vbbench.results.normalised import Scale, scales_of
from vbbench.results.run_data import ItemFacts, RunData
from vbbench.results.statistics import Estimate, student_quantiles
from vbbench.results.tables import (
    Column,
    Difference,
    Matrix,
    Row,
    checks_of,
    columns_of,
    differences_of,
    interval_note,
    matrix_of,
    rows_of,
)


@dataclass(frozen=True, eq=False)
class Results:
    """What was found in a run. Nobody changes its tables.

    Attributes:
        run: what was measured: suite, items, models, metric specs, clips, scores.
        table: see `vbbench.results.aggregate.leaderboard_table`.
        primary: name of the metric that orders the table; None where nothing is measured.
        scales: metric -> its scale from floor to ceiling.
        columns: one a metric, the primary first.
        rows, references: competitors, best first; reference rows. Numbers are written out.
        focus: title of the model that paired differences are taken from; None without competitors.
        paired: see `vbbench.results.aggregate.paired_table`.
        differences: other model -> one paired difference a column, written out.
        compared: metric -> every pair of competitors, as one family.
        matrices: the same written out, one a column; none with fewer than two competitors.
        checks: what reference rows should show, each with its paired difference.
        shown_checks: the same written out.
        failures: everything that has no number, with the reason.
        cost_columns, cost_rows, cost_note: competitors' costs, and where they were measured.
        items: numbers of each item, in the order of the run.
        extremes: (model, metric) -> the model's best, median and worst item.
        classes: name and number of items of each class, by name.
        individuals: number of subjects.
        few_individuals: sentence that there are few; empty where there are enough.
        student_quantiles: 97.5 % quantiles of Student's t with 1, 2 ... degrees of freedom, one
            fewer than there are individuals.
    """

    run: RunData
    table: pd.DataFrame
    primary: str | None
    scales: Mapping[str, Scale]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    focus: str | None
    paired: pd.DataFrame
    differences: Mapping[str, Sequence[Difference]]
    compared: Mapping[str, Mapping[Pair, Comparison]]
    matrices: tuple[Matrix, ...]
    checks: tuple[tuple[Check, Estimate], ...]
    shown_checks: tuple[Mapping[str, str], ...]
    failures: tuple[Failure, ...]
    cost_columns: tuple[CostColumn, ...]
    cost_rows: tuple[CostRow, ...]
    cost_note: str
    items: tuple[ItemNumbers, ...]
    extremes: Mapping[tuple[str, str], tuple[Extreme, ...]]
    classes: tuple[tuple[str, int], ...]
    individuals: int
    few_individuals: str
    student_quantiles: tuple[float, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """Names of all models, as the table has them."""
        return tuple(row.model for row in self.rows + self.references)


def analyse(run: RunData) -> Results:
    """Compute everything that a report of the run shows.

    Args:
        run: one run, or several put together by `vbbench.results.run_data.merge_runs`.
    """
    table = leaderboard_table(run)
    primary = primary_metric(run)
    scales = scales_of(run, table)
    columns = columns_of(run, table, scales, primary)
    roles = {model.name: model.role for model in run.models}
    rows, references = rows_of(table, columns, primary, roles)
    order = [row.model for row in rows + references]
    titles = {model.name: model.title for model in run.models}
    focus = focus_model(run)
    paired = paired_table(run)
    compared = {column.name: competitors_compared(run, column.name) for column in columns}
    matrices: tuple[Matrix, ...] = ()
    if len(rows) > 1:
        matrices = tuple(matrix_of(compared[column.name], column, rows) for column in columns)
    checks = tuple(check_references(run))
    costs = cost_columns(table)
    individuals = len(set(run.subject_of.values()))
    return Results(
        run=run,
        table=table,
        primary=primary,
        scales=scales,
        columns=columns,
        rows=rows,
        references=references,
        focus=None if focus is None else titles[focus],
        paired=paired,
        differences=differences_of(paired, columns),
        compared=compared,
        matrices=matrices,
        checks=checks,
        shown_checks=tuple(checks_of(checks, titles, columns)),
        failures=tuple(failures(run)),
        cost_columns=costs,
        cost_rows=tuple(cost_rows(table, costs)),
        cost_note=cost_note(run.manifests),
        items=item_numbers(run, order, columns),
        extremes={
            (name, column.name): extremes_of(run, name, column)
            for name in order
            for column in columns
        },
        classes=_classes_of(run.items),
        individuals=individuals,
        few_individuals=interval_note(individuals),
        student_quantiles=tuple(student_quantiles(individuals - 1)),
    )


def _classes_of(items: Sequence[ItemFacts]) -> tuple[tuple[str, int], ...]:
    names = [item.class_name for item in items]
    return tuple((name, names.count(name)) for name in sorted(set(names)))
