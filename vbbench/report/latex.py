r"""The leaderboard as a table for papers: ``\input{leaderboard}`` in a document that uses booktabs.

Means with their 95 % intervals in small type below, arrows for the direction, in bold whoever
nobody is clearly better than, a little space between rank groups, reference rows below a rule.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vbbench.report.tables import Cell, Column, Row, interval_note
from vbbench.results import formatting
from vbbench.results.run_data import RunData

if TYPE_CHECKING:
    from vbbench.report.board_page import Board

SECONDS = ("fit_seconds", "sample_seconds")
LAST_LETTER = 0x17F
"""Fonts of LaTeX know Latin letters up to here; it stops at letters that they do not know, so those
are written as a question mark."""
_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after \\ a bracket would be a length
    "]": "{]}",
    "`": r"\textasciigrave{}",
    formatting.MINUS: "$-$",
    formatting.DASH: "--",
    formatting.NOTHING: "--",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
}


def write_latex(path: Path, run: RunData, board: Board) -> None:
    """Write a ``table*``; the same run gives the same bytes."""
    path.write_text("\n".join(_lines(run, board)) + "\n", "utf-8")


def escaped(text: str) -> str:
    """Text that LaTeX sets as it stands: no commands, no end of a cell or line; letters that it
    cannot set become question marks."""
    return "".join(_ESCAPED.get(char) or _letter(char) for char in " ".join(text.split()))


def _letter(char: str) -> str:
    if unicodedata.category(char) in (
        "Cc",
        "Cf",
    ):  # control characters, and marks that turn the direction of writing
        return ""
    return char if ord(char) <= LAST_LETTER else "?"


def _lines(run: RunData, board: Board) -> Iterator[str]:
    suite = run.suite
    heads = [
        "",
        "Model",
        *(_head(column) for column in board.columns),
        _stacked("Fit", "s"),
        _stacked("Clip", "s"),
    ]
    yield f"% Suite {escaped(suite.name)} {escaped(suite.version)}, digest {escaped(suite.digest[:12])}."
    yield r"% Needs \usepackage{booktabs}."
    yield f"% Metric specs: {escaped(', '.join(f'{spec.name} {spec.id}' for spec in run.metrics))}."
    yield from (
        r"\begin{table*}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{_caption(run, board)}}}",
    )
    yield rf"\label{{tab:{_label(run.suite.name)}}}"
    yield rf"\begin{{tabular}}{{@{{}}rl{'c' * len(board.columns)}rr@{{}}}}"
    yield r"\toprule"
    yield _line(heads)
    yield r"\midrule"
    yield from _competitors(board.rows)
    if board.references:
        yield r"\midrule"
        yield from (
            _line(["", rf"\emph{{{escaped(row.title)}}}", *_numbers(row, bold=False)])
            for row in board.references
        )
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table*}")


def _competitors(rows: Sequence[Row]) -> Iterator[str]:
    for place, row in enumerate(rows):
        if place and row.rank != rows[place - 1].rank:
            yield r"\addlinespace"
        rank = "--" if row.rank is None else str(row.rank)
        yield _line([rank, escaped(row.title), *_numbers(row, bold=True)])


def _numbers(row: Row, *, bold: bool) -> list[str]:
    costs = dict(zip(SECONDS, (text for _, text in row.costs), strict=False))
    return [
        *(_cell(cell, bold=bold and cell.rank == 1) for cell in row.cells),
        *(escaped(costs[name]) for name in SECONDS),
    ]


def _cell(cell: Cell, *, bold: bool) -> str:
    text = escaped(cell.text)
    text = rf"\textbf{{{text}}}" if bold else text
    small = [escaped(f"[{cell.interval.replace(' to ', ', ')}]")] if cell.interval else []
    small += [escaped(cell.note)] if cell.note and cell.value is not None else []
    return _stacked(text, *small)


def _stacked(text: str, *small: str) -> str:
    """The text, and lines of small letters below it."""
    return (
        r"\\".join([rf"\shortstack{{{text}", *(rf"{{\tiny {line}}}" for line in small)]) + "}"
        if small
        else text
    )


def _head(column: Column) -> str:
    first, _, rest = escaped(column.title).partition(" ")
    arrow = escaped(column.arrow)
    head = rf"\shortstack{{{first}\\{rest} {arrow}}}" if rest else f"{first} {arrow}"
    return head if arrow else head.replace(" }", "}").rstrip()


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _caption(run: RunData, board: Board) -> str:
    individuals = len(set(run.subject_of.values()))
    what = f"Suite {run.suite.name} {run.suite.version}: {formatting.count(len(run.items), 'prompt')} of {formatting.count(individuals, 'individual')}"
    part = formatting.restriction(run.prompts_per_subject)
    ranks = (
        f" Ranks by {board.columns[0].title}: one more than the number of models clearly better;"
        if board.primary
        else ""
    )
    notes = " ".join(
        filter(None, [interval_note(individuals), formatting.untrained_note(run.metrics)])
    )
    told = f"{what}{', ' + part if part else ''}. Means over scored clips, 95 % intervals over individuals."
    return escaped(f"{told}{ranks} bold: nobody is clearly better. {notes}".strip())


def _label(name: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
