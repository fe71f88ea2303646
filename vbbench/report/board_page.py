"""The table page: the leaderboard, what it costs, who is told apart from whom, and how all of it
was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vbbench.report.figures import identity_cost
from vbbench.report.tables import (
    COSTS,
    VERDICTS,
    Column,
    Row,
    checks_of,
    columns_of,
    differences_of,
    focus_title,
    interval_note,
    matrix_of,
    rows_of,
)
from vbbench.results.aggregate import Failure, failures, leaderboard_table, primary_metric
from vbbench.results.costs import cost_columns, cost_note, cost_rows
from vbbench.results.normalised import LEAST
from vbbench.results.run_data import ItemFacts, RunData
from vbbench.results.statistics import FEWEST_CLUSTERS, RESAMPLES

WIDE, NARROW = 760, 360  # pixels of the picture of costs, for desks and for phones
EXAMPLES = 3
"""Items whose videos stand on the table page itself."""
FAILURES = 24
"""Lines of failures on the table page; the rest stand on the pages of their models."""


@dataclass(frozen=True)
class Board:
    """The leaderboard, ready to be written in any form."""

    table: pd.DataFrame
    columns: tuple[Column, ...]
    rows: list[Row]
    references: list[Row]
    primary: str | None
    bounds: tuple[str, ...] = ()
    """Names of the reference rows that are the ceiling and the floor."""

    @property
    def order(self) -> list[str]:
        """Names of the models, as the table has them."""
        return [str(name) for name in self.table["model"]]


def make_board(run: RunData) -> Board:
    """All numbers of the leaderboard, as a table and as they are shown."""
    table = leaderboard_table(run)
    primary = primary_metric(run)
    columns = columns_of(run, table)
    roles = {model.name: model.role for model in run.models}
    rows, references = rows_of(table, columns, primary, roles)
    return Board(table, columns, rows, references, primary, run.bounds)


def board_context(run: RunData, board: Board) -> dict[str, Any]:
    """What the templates of the table page are filled with, but for its videos and figures."""
    individuals = len(set(run.subject_of.values()))
    differences = differences_of(run, board.columns)
    lost = failures(run)
    competitors = [row.model for row in board.rows]
    matrices = (
        [matrix_of(run, column, competitors) for column in board.columns]
        if len(competitors) > 1
        else []
    )
    return {
        "run": run,
        "board": board,
        "board_costs": COSTS,
        "costs": _costs(board),
        "cost_note": cost_note(run.manifests),
        "picture": picture_of(board),
        "individuals": individuals,
        "note": interval_note(individuals),
        "resamples": RESAMPLES,
        "focus": focus_title(run),
        "differences": [
            (row, differences[row.model])
            for row in board.rows + board.references
            if row.model in differences
        ],
        "matrices": matrices,
        "checks": checks_of(run, board.columns),
        "classes": classes_of(run.items),
        "failures": lost[:FAILURES],
        "more_failures": more_failures(lost[FAILURES:]),
        "titles": {model.name: model.title for model in run.models},
        "metric_titles": {spec.name: spec.title for spec in run.metrics},
        "data": page_data(run, board, matrices),
    }


def classes_of(items: Sequence[ItemFacts]) -> list[tuple[str, int]]:
    """Name of each class, and how many items are of it, by name."""
    names = [item.class_name for item in items]
    return [(name, names.count(name)) for name in sorted(set(names))]


def page_data(run: RunData, board: Board, matrices: Sequence[Any]) -> dict[str, Any]:
    """What the script needs to work out means of a part of the items, and to draw the other
    matrices."""
    bounds = {spec.name: spec.bounds for spec in run.metrics}
    individuals = len(set(run.subject_of.values()))
    return {
        "metrics": [
            {
                "name": column.name,
                "decimals": column.decimals,
                "bounds": [
                    None if abs(end) == float("inf") else end for end in bounds[column.name]
                ],
                "sign": column.sign or 1,
                "floor": column.scale.floor,
                "ceiling": column.scale.ceiling,
            }
            for column in board.columns
        ],
        "t": student_quantiles(individuals - 1),
        "fewest": FEWEST_CLUSTERS,
        "least": LEAST,
        "verdicts": list(VERDICTS.items()),
        "matrices": [
            [[_packed(cell) for cell in row] for row in matrix.rows] for matrix in matrices
        ],
    }


def _packed(cell: Any) -> list[Any] | None:
    """A difference as the script reads it; None on the diagonal."""
    return (
        None
        if cell is None
        else [list(VERDICTS).index(cell.verdict), cell.text, cell.interval, cell.effect]
    )


def student_quantiles(most: int) -> list[float]:
    """The 97.5 % quantile of Student's t with 1, 2 ... degrees of freedom, for intervals that the
    page works out itself."""
    from scipy.stats import t

    return [round(float(t.ppf(0.975, degrees)), 4) for degrees in range(1, most + 1)]


def more_failures(lost: Sequence[Failure]) -> dict[str, int]:
    """Model -> number of clips and scores that the table page does not tell of."""
    counts: dict[str, int] = {}
    for failure in lost:
        counts[failure.model] = counts.get(failure.model, 0) + len(failure.items)
    return counts


def example_numbers(items: Sequence[ItemFacts], count: int = EXAMPLES) -> list[int]:
    """Numbers, from 1, of items to show first: the first of each class, then others from all
    over."""
    first = {item.class_name: number for number, item in reversed(list(enumerate(items, start=1)))}
    spread = [len(items) * place // count + 1 for place in range(count)] if items else []
    return sorted(list(dict.fromkeys([*sorted(first.values()), *spread]))[:count])


def _costs(board: Board) -> dict[str, Any]:
    columns = cost_columns(board.table)
    memory = any(column.name.endswith("_mb") for column in columns)
    return {"columns": columns, "rows": cost_rows(board.table, columns), "memory": memory}


def picture_of(board: Board) -> dict[str, Any] | None:
    """The picture of identity against cost at two widths; None where there is nothing to draw."""
    if board.primary is None:
        return None
    title = board.columns[0].title
    plot = identity_cost.plot_of(board.table, board.primary, title, board.bounds)
    if plot is None:
        return None
    wide, narrow = (identity_cost.drawing(plot, width) for width in (WIDE, NARROW))
    return {"wide": wide, "narrow": narrow, "metric": plot.metric, "left_out": plot.left_out}
