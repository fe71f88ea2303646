"""Writes the report: a folder of pages that opens from disk, with the leaderboard as CSV, JSON,
Markdown and LaTeX beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from vbbench.report import export, latex
from vbbench.report import export as score_data
from vbbench.report.board_page import (
    NARROW,
    WIDE,
    Board,
    board_context,
    example_numbers,
    make_board,
)
from vbbench.report.contact_sheet import FILE, write_contact_sheet
from vbbench.report.figures import figures
from vbbench.report.items import ItemView, item_views, write_item_pages
from vbbench.report.media import MediaFolder
from vbbench.report.model_pages import write_model_pages
from vbbench.report.pages import copy_assets, environment
from vbbench.report.place import check_place, is_ours
from vbbench.results import formatting
from vbbench.results.aggregate import load_run, merge_runs
from vbbench.results.run_data import RunData

__all__ = ["ASSETS", "NARROW", "PLOT", "WIDE", "Board", "make_board", "write_report"]

ASSETS = ("report.css", "identity-cost.css", "report.js")
"""What every kind of page that shows videos needs."""
PAGE_ASSETS = ("leaderboard.css", "view.js", "board.js")
"""What the pages of a report need besides."""
PLOT = "identity-cost.svg"


def write_report(
    run_paths: Sequence[Path | str], out: Path | str, shown_items: int | None = None
) -> Path:
    """Write the report of one or more runs of one suite.

    The same runs give the same bytes. An earlier report in the folder is replaced, other files
    there are left alone.

    Args:
        run_paths: run folders; their order decides the order of reference rows.
        out: the folder to write; made if it is not there.
        shown_items: show the videos of so many items only, from all over the suite; every number is
            of all items nevertheless.
    Returns:
        The path of its index.html.
    Raises:
        RunFolderError: a folder is no run, or damaged.
        IncompleteError: the runs cannot be compared: another suite, other metric specs, or two
            different models of one name.
        UsageError: no run is given, or the folder holds files of others where the report's would
            go.
    """
    folder = Path(out)
    check_place(folder)
    run = merge_runs([load_run(path) for path in run_paths])
    board = make_board(run)
    folder.mkdir(parents=True, exist_ok=True)
    media = MediaFolder(folder)
    views = item_views(run, board.order, board.columns, media, shown_items)
    shown = [view.number for view in views]
    templates = page_templates()
    write_item_pages(folder, templates, run, board, views, media)
    write_model_pages(folder, templates, run, board, shown, media)
    media.remove_unused()
    write_contact_sheet(run, board.order, folder / FILE)
    _write_index(folder, templates, run, board, views)
    copy_assets(folder, "vbbench.report", ASSETS + PAGE_ASSETS)
    _write_data(folder, run, board)
    return folder / "index.html"


def page_templates() -> Environment:
    """The templates of a report, and the functions they call."""
    templates = environment("vbbench.report")
    templates.globals.update(settings=settings_in_words, words=formatting, model_page=model_page)
    return templates


def model_page(name: str) -> str:
    """Where a model's page lies in the report."""
    return f"models/{formatting.file_name(name)}.html"


def _write_index(
    folder: Path, templates: Environment, run: RunData, board: Board, views: Sequence[ItemView]
) -> None:
    context = board_context(run, board)
    drawn = figures.write_figures(run, board, folder / "figures")
    wanted = {
        views[number - 1].number
        for number in example_numbers([run.items[view.number - 1] for view in views])
    }
    html = templates.get_template("index.html.jinja").render(
        **context,
        figures=[(figure, Markup(figure.inline)) for figure in drawn],
        examples=[view for view in views if view.number in wanted],
        shown={view.number for view in views},
        item_numbers={item.id: number for number, item in enumerate(run.items, start=1)},
        runs=[_run_facts(manifest) for manifest in run.manifests],
        root="",
    )
    (folder / "index.html").write_text(html, "utf-8")
    for old in folder.glob("items-*.html"):  # earlier versions wrote pages of many items
        if re.fullmatch(r"items-\d+\.html", old.name) and is_ours(old):
            old.unlink()
    _write_plot(folder / PLOT, context["picture"])


def _write_data(folder: Path, run: RunData, board: Board) -> None:
    """The leaderboard for programs and papers, and the scores that the page reads when a filter is
    used."""
    export.write_csv(folder / "leaderboard.csv", board.table)
    export.write_comparisons(folder / "comparisons.csv", run)
    export.write_json(folder / "leaderboard.json", run, board.table)
    export.write_markdown(
        folder / "leaderboard.md",
        run,
        board.table,
        board.columns,
        board.rows,
        board.references,
        board.primary,
    )
    latex.write_latex(folder / "leaderboard.tex", run, board)
    score_data.write_scores_js(folder / "scores.js", run)


def _write_plot(path: Path, picture: dict[str, Any] | None) -> None:
    """The picture as a file of its own, in the place of an earlier one."""
    if picture is None:
        path.unlink(missing_ok=True)
        return
    style = files("vbbench.report").joinpath("templates", "identity-cost.css").read_text("utf-8")
    template = environment("vbbench.report").get_template(
        "identity-cost.svg.jinja", globals={"style": Markup(style)}
    )
    path.write_text(
        str(template.module.plot(picture["wide"], "identity-cost", alone=True)).strip() + "\n",
        "utf-8",
    )  # type: ignore[attr-defined]


def _run_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a run came about, as (what, words); whatever its manifest does not hold is left out."""
    facts = {
        "Command": manifest.get("command"),
        "Made": manifest.get("created"),
        "vbbench": manifest.get("vbbench"),
        "Commit": manifest.get("commit"),
        "Environment": settings_in_words(manifest.get("environment", {})),
    }
    return [
        (what, " ".join(value) if isinstance(value, list) else str(value))
        for what, value in facts.items()
        if value
    ]


def settings_in_words(record: Mapping[str, Any], without: Sequence[str] = ()) -> str:
    """``{"a": 1, "b": [2], "c": {"d": 3}}`` -> ``a 1, b [2], c (d 3)``."""
    written = []
    for key, value in record.items():
        if value is None or key in without:
            continue
        text = (
            f"({settings_in_words(value)})"
            if isinstance(value, Mapping)
            else value
            if isinstance(value, str)
            else json.dumps(value)
        )
        written.append(f"{key} {text}")
    return ", ".join(written)
