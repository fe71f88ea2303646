"""Pages of the models: what each one is, what it costs, its best, median and worst items, and what
failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from vbbench.report.board_page import Board
from vbbench.report.items import ClipView, clip_view, image_prompt_of, split_at_word
from vbbench.report.media import MediaFolder
from vbbench.report.tables import Column, Row
from vbbench.results import formatting
from vbbench.results.aggregate import failures
from vbbench.results.costs import CostRow, cost_columns, cost_note, cost_rows
from vbbench.results.run_data import ModelFacts, RunData

FOLDER = "models"
MARK = "vbbench report, page of a model"
"""Says in a page's head that it is ours, and may be removed with the report."""


@dataclass(frozen=True)
class Pick:
    """An item that stands for how a model does under a metric.

    Attributes:
        what: best, median or worst; most, median or least where the metric has no direction.
        clip: its video; None where the report holds none of that item.
        page: whether the item has a page in this report.
    """

    what: str
    number: int
    parts: tuple[str, str, str]
    prompt: str | None
    clip: ClipView | None
    text: str
    page: bool


@dataclass(frozen=True)
class Extremes:
    """A metric and the items that stand for it."""

    column: Column
    picks: tuple[Pick, ...]


def write_model_pages(
    folder: Path,
    templates: Environment,
    run: RunData,
    board: Board,
    shown: Sequence[int],
    media: MediaFolder,
) -> None:
    """Write models/<name>.html; pages of an earlier report are removed.

    Args:
        shown: numbers of the items that have pages, and whose videos are shown. Others are shown
            only where they stand for a competitor under the metric that ranks, so that no page of a
            model is without pictures.
    """
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    for old in home.glob("*.html"):
        if MARK in old.read_text("utf-8", "replace"):
            old.unlink()
    template = templates.get_template("model-page.html.jinja")
    rows = {row.model: row for row in board.rows + board.references}
    costs = _costs(board)
    lost = failures(run)
    numbers = {item.id: number for number, item in enumerate(run.items, start=1)}
    for model in run.models:
        html = template.render(
            run=run,
            board=board,
            model=model,
            row=rows[model.name],
            costs=_costs_of(costs, model.name),
            cost_note=cost_note(run.manifests),
            extremes=[
                extremes_of(
                    run,
                    model,
                    column,
                    frozenset(shown),
                    media,
                    always=column.name == board.primary and not model.is_reference,
                )
                for column in board.columns
            ],
            failures=[failure for failure in lost if failure.model == model.name],
            item_numbers=numbers,
            metric_titles={spec.name: spec.title for spec in run.metrics},
            shown=frozenset(shown),
            neighbours=_neighbours(board, model.name),
            mark=MARK,
            root="../",
        )
        (home / f"{formatting.file_name(model.name)}.html").write_text(html, "utf-8")


def extremes_of(
    run: RunData,
    model: ModelFacts,
    column: Column,
    shown: frozenset[int],
    media: MediaFolder,
    *,
    always: bool = False,
) -> Extremes:
    """The model's best, median and worst item under a metric, of those that have a score; fewer
    where there are fewer than three.

    Of items with one score the first is taken. The median of an even number of items is the better
    of the two in the middle.

    Args:
        shown: numbers of the items that have pages, and videos.
        always: videos are shown of others too.
    """
    sign = -1 if column.sign >= 0 else 1
    first, final = ("best", "worst") if column.sign else ("most", "least")
    values = [
        (run.results[model.name, item.id, column.name].value, place)
        for place, item in enumerate(run.items)
    ]
    found = sorted((sign * value, place) for value, place in values if value is not None)
    last = len(found) - 1
    places = (
        {first: 0, "median": last // 2, final: last}
        if last > 1
        else {first: 0, final: last}
        if last
        else {"only": 0}
    )
    picks = (
        [
            _pick(run, model, column, what, *found[place], shown, media, always)
            for what, place in places.items()
        ]
        if found
        else []
    )
    return Extremes(column, tuple(picks))


def _pick(
    run: RunData,
    model: ModelFacts,
    column: Column,
    what: str,
    signed: float,
    place: int,
    shown: frozenset[int],
    media: MediaFolder,
    always: bool,
) -> Pick:
    item, number = run.items[place], place + 1
    here = number in shown
    seen = here or always
    value = -signed if column.sign >= 0 else signed
    return Pick(
        what=what,
        number=number,
        parts=split_at_word(item.text, item.subject_word),
        prompt=image_prompt_of(item, run, media)[0] if seen else None,
        clip=clip_view(model, run.clips[model.name, item.id], media) if seen else None,
        text=formatting.number(value, column.decimals),
        page=here,
    )


def _costs(board: Board) -> dict[str, Any]:
    columns = cost_columns(board.table)
    return {"columns": columns, "rows": {row.model: row for row in cost_rows(board.table, columns)}}


def _costs_of(costs: Mapping[str, Any], model: str) -> list[tuple[Any, Any]]:
    row: CostRow | None = costs["rows"].get(model)
    return list(zip(costs["columns"], row.cells, strict=True)) if row else []


def _neighbours(board: Board, name: str) -> tuple[Row | None, Row | None]:
    """The rows before and after a model's in the leaderboard."""
    rows = board.rows + board.references
    place = next(place for place, row in enumerate(rows) if row.model == name)
    return (rows[place - 1] if place else None), (
        rows[place + 1] if place + 1 < len(rows) else None
    )
