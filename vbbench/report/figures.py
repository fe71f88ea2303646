"""The figures of a report, as SVG and PDF: metric against metric, identity against cost, the scale of the references, who beats whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vbbench.report import figure_inline, figure_matrix, figure_plots, figure_style, words
from vbbench.report.aggregate import PRIMARY_METRICS, competitors_compared
from vbbench.report.run_data import RunData

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from vbbench.report.board_page import Board
    from vbbench.report.tables import Column

TEXT = "clip-text"
BOUNDS = ("real-video", "other-individual")
"""Reference rows that are drawn as points of their own."""
COST = "first_clip_seconds"
_OURS = re.compile(r"(scaled|comparisons-.+|.+-against-.+)\.(svg|pdf)")


class Figure(NamedTuple):
    """A figure that was written.

    Attributes:
        svg: its file in the folder; a PDF of the same name lies beside it.
        alt: what it shows, in words.
        inline: the same as an SVG element that takes a page's colours (see `figure_inline`); empty where a page shows it otherwise.
        wide: whether it needs the whole width of a page.
    """

    title: str
    svg: str
    alt: str
    inline: str
    wide: bool = False


class _Drawn(NamedTuple):
    title: str
    stem: str
    alt: str
    drawing: Drawing
    on_page: bool = True
    wide: bool = False


def write_figures(run: RunData, board: Board, folder: Path) -> list[Figure]:
    """Write all figures that the run has something for; files of an earlier report are removed. The same run gives the same bytes.

    Args:
        folder: made if it is not there; figures of an earlier report are removed, which are told by their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if _OURS.fullmatch(old.name):
            old.unlink()
    with figure_style.styled():
        return [_written(drawn, folder) for drawn in _drawings(run, board)]


def _written(drawn: _Drawn, folder: Path) -> Figure:
    svg = figure_style.write(drawn.drawing, folder, drawn.stem)
    inline = figure_inline.inline(drawn.drawing, f"figure-{drawn.stem}", drawn.title, drawn.alt) if drawn.on_page else ""
    return Figure(drawn.title, svg, drawn.alt, inline, drawn.wide)


def _drawings(run: RunData, board: Board) -> Iterator[_Drawn]:
    by_name = {column.name: column for column in board.columns}
    identity = [by_name[name] for name in PRIMARY_METRICS if name in by_name][:2]
    for column in identity if TEXT in by_name else []:
        yield from _against(board, by_name[TEXT], column)
    if board.primary in by_name:
        yield from _cost(board, by_name[board.primary])
    yield from _scaled(board)
    for column in board.columns:
        yield from _matrix(run, board, column)


def _against(board: Board, x: Column, y: Column) -> Iterator[_Drawn]:
    marks = figure_plots.marks_of(board.table, x.name, y.name, BOUNDS)
    if any(mark.kind != "reference" for mark in marks):
        alt = figure_plots.described(marks, x.title, y.title, x.decimals, y.decimals)
        yield _Drawn(f"{y.title} against {x.title}", _stem(y.name, "against", x.name), alt, figure_plots.metric_against_metric(marks, x, y))


def _cost(board: Board, y: Column) -> Iterator[_Drawn]:
    marks = [mark for mark in figure_plots.marks_of(board.table, COST, y.name) if mark.x > 0]
    if marks:
        alt = figure_plots.described(marks, "seconds to the first clip", y.title, 2, y.decimals)
        drawing = figure_plots.metric_against_cost(marks, figure_plots.reference_lines(board.table, y.name), y)
        yield _Drawn(f"{y.title} against cost", _stem(y.name, "against-cost"), alt, drawing, on_page=False)


def _scaled(board: Board) -> Iterator[_Drawn]:
    columns = [column for column in board.columns if not column.scale.why]
    if columns and board.rows:
        title = "Every metric from the floor to the ceiling of the reference rows"
        each = [
            f"{row.title}: "
            + ", ".join(f"{c.title} {cell.scaled_text}" for c, cell in zip(board.columns, row.cells, strict=True) if c in columns)
            for row in board.rows
        ]
        yield _Drawn(title, "scaled", "; ".join(each) + ".", figure_plots.scaled(board.table, columns), wide=True)


def _matrix(run: RunData, board: Board, column: Column) -> Iterator[_Drawn]:
    models = [(row.model, figure_style.shown_title(row.title, row.model)) for row in board.rows]
    compared = competitors_compared(run, column.name)
    if all(found.difference.mean is None for found in compared.values()):
        return
    told = sum(found.sign != 0 for found in compared.values())
    alt = f"{told} of {words.count(len(compared), 'pair')} of models are told apart; the table of comparisons has every number."
    higher = column.direction.startswith("higher")
    drawing = figure_matrix.matrix(compared, models, column.decimals, column.title, higher_is_better=higher)
    yield _Drawn(f"{column.title}: every model against every other", _stem("comparisons", column.name), alt, drawing, on_page=False)


def _stem(*parts: str) -> str:
    """A file's name; metrics are named by whoever wrote them."""
    return words.file_name("-".join(parts))
