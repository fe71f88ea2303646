"""What commands print: tables and durations."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vbbench.metrics.explain import untrained_note
from vbbench.runner.progress import duration

if TYPE_CHECKING:
    import pandas as pd

    from vbbench.runner.estimate import Estimate
    from vbbench.runner.plan import Plan
    from vbbench.types import MetricSpec

NARROWEST = 132  # columns of a table that is written to a file or a pipe


def console() -> Console:
    """Standard output; wide enough for tables where nobody's window limits it."""
    width = None if sys.stdout.isatty() else max(NARROWEST, shutil.get_terminal_size().columns)
    return Console(width=width, highlight=False)


def table(
    title: str | None, *columns: str, numbers: Collection[str] = (), whole: Collection[str] = ()
) -> Table:
    """An empty table; columns named in ``numbers`` are set to the right, those in ``whole`` are not
    broken into lines."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="fold",
            no_wrap=column in whole,
        )
    return made


def print_plan(plan: Plan, cost: Estimate, root: Path) -> None:
    """The plan model by model: what is to do, what is kept, what it costs."""
    columns = ("model", "fits", "videos", "kept", "steps", "guidance", "batch", "scheduler", "cost")
    made = table(
        f"Plan: suite {plan.suite.name} {plan.suite.version} at scale {plan.scale} into {root}",
        *columns,
        numbers=frozenset(columns[1:7]),
    )
    for model, left in zip(plan.models, cost.models, strict=True):
        kept = len(model.jobs) - left.fits - left.samples
        params = model.params
        sampled = [
            str(params.num_inference_steps),
            f"{params.guidance_scale:g}",
            str(params.batch_size),
            params.scheduler,
        ]
        how = sampled if "sampling" in model.settings else ["", "", str(params.batch_size), ""]
        price = "unknown" if left.seconds is None else duration(left.seconds)
        made.add_row(model.name, str(left.fits or ""), str(left.samples), str(kept), *how, price)
    out = console()
    out.print(made)
    unknown = f", besides {', '.join(cost.unknown)}" if cost.unknown else ""
    out.print(f"{cost.jobs} jobs, about {duration(cost.seconds)} on this machine{unknown}.")


def print_leaderboard(
    board: pd.DataFrame, specs: Sequence[MetricSpec] = (), restriction: str = ""
) -> None:
    """The leaderboard: mean and half the width of its 95 % interval, a row a model, reference rows
    below a line; then the ids of the metric specs."""
    metrics = [name.removesuffix(".low") for name in board.columns if name.endswith(".low")]
    columns = (
        "model",
        *(metric.replace("-", "-\n") for metric in metrics),
        "fit s",
        "clip s",
        "MB",
        "videos",
    )
    made = table(
        f"Leaderboard{f', {restriction}' if restriction else ''}",
        *columns,
        numbers=frozenset(columns[1:]),
    )
    rows: list[dict[str, Any]] = board.to_dict("records")
    for place, row in enumerate(rows):
        last_competitor = not row["reference"] and (
            place + 1 == len(rows) or rows[place + 1]["reference"]
        )
        cells = [_interval(row, metric) for metric in metrics]
        cost = [
            _number(row.get("fit_seconds"), 1),
            _number(row.get("sample_seconds"), 2),
            _number(row.get("peak_memory_mb"), 0),
        ]
        style = "dim" if row["reference"] else None
        made.add_row(
            escape(row["title"]),
            *cells,
            *cost,
            f"{row['sampled']}/{row['items']}",
            style=style,
            end_section=last_competitor,
        )
    out = console()
    out.print(made)
    _print_costs(board, out)
    out.print(
        "Metric specs: "
        + ", ".join(f"{metric} {board[f'{metric}.spec'].iloc[0]}" for metric in metrics)
    )
    if untrained := untrained_note(specs):
        out.print(untrained, style="bold")


def _print_costs(board: pd.DataFrame, out: Console) -> None:
    """What the competitors cost; nothing where a table holds no costs."""
    from vbbench.results.costs import COST_COLUMNS, cost_columns, cost_rows

    if any(column.name not in board.columns for column in COST_COLUMNS):
        return
    columns = cost_columns(board)
    if not columns:
        return
    heads = [f"{column.title}\n{column.unit}" for column in columns]
    made = table("Costs, of a new subject and of a clip", "model", *heads, numbers=frozenset(heads))
    for row in cost_rows(board, columns):
        made.add_row(
            escape(row.title),
            *(f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row.cells),
        )
    out.print(made)


def _interval(row: dict[str, Any], metric: str) -> str:
    mean, low, high = (_float(row[key]) for key in (metric, f"{metric}.low", f"{metric}.high"))
    if mean is None:
        return "-"
    text = f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ± {(high - low) / 2:.3f}"
    scored = row.get(f"{metric}.scored", row["items"])
    return text if scored == row["items"] else f"{text} ({scored}/{row['items']})"


def _number(value: Any, digits: int) -> str:
    number = _float(value)
    return "" if number is None else f"{number:.{digits}f}"


def _float(value: Any) -> float | None:
    """A number, or None for any of pandas' ways to say that there is none."""
    try:
        number = float(value)
    except TypeError:
        return None
    return None if number != number else number
