"""Writes the report: a folder of pages that opens from disk, with the leaderboard as CSV, JSON and Markdown beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from vbbench.report import export, identity_cost, words
from vbbench.report.aggregate import failures, leaderboard_table, load_run, merge_runs, primary_metric
from vbbench.report.contact_sheet import FILE, write_contact_sheet
from vbbench.report.costs import cost_columns, cost_note, cost_rows
from vbbench.report.items import ItemView, item_views
from vbbench.report.media import MediaFolder
from vbbench.report.pages import copy_assets, environment
from vbbench.report.run_data import RunData
from vbbench.report.statistics import RESAMPLES
from vbbench.report.tables import (
    COSTS,
    Column,
    Row,
    checks_of,
    columns_of,
    differences_of,
    focus_title,
    interval_note,
    rows_of,
)

ASSETS = ("report.css", "identity-cost.css", "report.js")
PLOT = "identity-cost.svg"
WIDE, NARROW = 760, 360  # pixels of the picture of costs, for desks and for phones
CLIPS_A_PAGE = 220
"""Clips whose scores one page holds; further items go to pages of their own."""


@dataclass(frozen=True)
class Board:
    """The leaderboard, ready to be written in any form."""

    table: pd.DataFrame
    columns: tuple[Column, ...]
    rows: list[Row]
    references: list[Row]
    primary: str | None


def write_report(run_paths: Sequence[Path | str], out: Path | str, shown_items: int | None = None) -> Path:
    """Write the report of one or more runs of one suite.

    The same runs give the same bytes. An earlier report in the folder is replaced, other files there are left alone.

    Args:
        run_paths: run folders; their order decides the order of reference rows.
        out: the folder to write; made if it is not there.
        shown_items: show the videos of so many items only, from all over the suite; every number is of all items nevertheless.
    Returns:
        The path of its index.html.
    Raises:
        RunFolderError: a folder is no run, or damaged.
        IncompleteError: the runs cannot be compared: another suite, other metric specs, or two different models of one name.
        UsageError: no run is given.
    """
    run = merge_runs([load_run(path) for path in run_paths])
    board = make_board(run)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    media = MediaFolder(folder)
    items = item_views(run, list(board.table["model"]), board.columns, media, shown_items)
    media.remove_unused()
    write_contact_sheet(run, list(board.table["model"]), folder / FILE)
    context = _context(run, board)
    _write_pages(folder, context, _paged(items, len(run.models)))
    _write_plot(folder / PLOT, context["picture"])
    copy_assets(folder, "vbbench.report", ASSETS)
    export.write_csv(folder / "leaderboard.csv", board.table)
    export.write_json(folder / "leaderboard.json", run, board.table)
    export.write_markdown(folder / "leaderboard.md", run, board.table, board.columns, board.rows, board.references, board.primary)
    return folder / "index.html"


def make_board(run: RunData) -> Board:
    """All numbers of the leaderboard, as a table and as they are shown."""
    table = leaderboard_table(run)
    primary = primary_metric(run)
    columns = columns_of(run, table)
    return Board(table, columns, *rows_of(table, columns, primary), primary)


def _context(run: RunData, board: Board) -> dict[str, Any]:
    """What every page of the report is filled with."""
    individuals = len(set(run.subject_of.values()))
    differences = differences_of(run, board.columns)
    return {
        "run": run,
        "board": board,
        "board_costs": COSTS,
        "costs": _costs(board),
        "cost_note": cost_note(run.manifests),
        "picture": _picture(board),
        "words": words,
        "individuals": individuals,
        "note": interval_note(individuals),
        "resamples": RESAMPLES,
        "focus": focus_title(run),
        "differences": [(row, differences[row.model]) for row in board.rows + board.references if row.model in differences],
        "checks": checks_of(run, board.columns),
        "failures": failures(run),
        "titles": {model.name: model.title for model in run.models},
        "item_numbers": {item.id: number for number, item in enumerate(run.items, start=1)},
        "runs": [_run_facts(manifest) for manifest in run.manifests],
    }


def _costs(board: Board) -> dict[str, Any]:
    columns = cost_columns(board.table)
    memory = any(column.name.endswith("_mb") for column in columns)
    return {"columns": columns, "rows": cost_rows(board.table, columns), "memory": memory}


def _picture(board: Board) -> dict[str, Any] | None:
    """The picture of identity against cost at two widths; None where there is nothing to draw."""
    plot = identity_cost.plot_of(board.table, board.primary)
    if plot is None:
        return None
    wide, narrow = (identity_cost.drawing(plot, width) for width in (WIDE, NARROW))
    return {"wide": wide, "narrow": narrow, "metric": plot.metric, "left_out": plot.left_out}


def _write_plot(path: Path, picture: dict[str, Any] | None) -> None:
    """The picture as a file of its own, in the place of an earlier one."""
    if picture is None:
        path.unlink(missing_ok=True)
        return
    style = files("vbbench.report").joinpath("templates", "identity-cost.css").read_text("utf-8")
    template = environment("vbbench.report").get_template("identity-cost.svg.jinja", globals={"style": Markup(style)})
    path.write_text(str(template.module.plot(picture["wide"], "identity-cost", alone=True)).strip() + "\n", "utf-8")  # type: ignore[attr-defined]


def _run_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a run came about, as (what, words); whatever its manifest does not hold is left out."""
    facts = {
        "Command": manifest.get("command"),
        "Made": manifest.get("created"),
        "vbbench": manifest.get("vbbench"),
        "Commit": manifest.get("commit"),
        "Environment": _settings(manifest.get("environment", {})),
    }
    return [(what, " ".join(value) if isinstance(value, list) else str(value)) for what, value in facts.items() if value]


def _settings(record: Mapping[str, Any], without: Sequence[str] = ()) -> str:
    """``{"a": 1, "b": [2], "c": {"d": 3}}`` -> ``a 1, b [2], c (d 3)``."""
    written = []
    for key, value in record.items():
        if value is None or key in without:
            continue
        text = f"({_settings(value)})" if isinstance(value, Mapping) else value if isinstance(value, str) else json.dumps(value)
        written.append(f"{key} {text}")
    return ", ".join(written)


def _paged(items: list[ItemView], models: int) -> list[list[ItemView]]:
    """Items in pages; at least one page."""
    step = max(1, CLIPS_A_PAGE // max(1, models))
    return [items[start : start + step] for start in range(0, len(items), step)] or [[]]


def page_name(number: int) -> str:
    """File of the page with that number, from 1."""
    return "index.html" if number == 1 else f"items-{number}.html"


def _write_pages(folder: Path, context: dict[str, Any], pages: list[list[ItemView]]) -> None:
    for old in folder.glob("items-*.html"):
        if re.fullmatch(r"items-\d+\.html", old.name):
            old.unlink()
    templates = environment("vbbench.report")
    templates.globals.update(settings=_settings, page_name=page_name)
    home = {item.id: page_name(number) for number, items in enumerate(pages, start=1) for item in items}
    for number, items in enumerate(pages, start=1):
        template = templates.get_template("index.html.jinja" if number == 1 else "items.html.jinja")
        html = template.render(**context, items=items, page=number, pages=len(pages), home=home)
        (folder / page_name(number)).write_text(html, "utf-8")
