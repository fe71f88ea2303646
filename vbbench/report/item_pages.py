"""Pages of the prompt items: the list of all, and one page an item with every model's clip in step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from vbbench.report.board_page import Board, classes_of
from vbbench.report.items import ItemView, image_prompt_of
from vbbench.report.media import MediaFolder
from vbbench.report.place import is_ours
from vbbench.results import format as words
from vbbench.results.run_data import ItemFacts, RunData

LIST, FOLDER = "items.html", "items"
LISTED_LETTERS = 200
"""Letters of a prompt in the list; its own page has all of it."""
_OURS = re.compile(r"\d+\.html")


@dataclass(frozen=True)
class Listed:
    """An item as the list has it.

    Attributes:
        page: whether it has a page in this report.
        words: what a search looks at besides what is seen of prompt and individual: the id, and a prompt that was cut.
        prompt: the file of its image prompt; None where there is none.
        value, text: mean of the competitors' scores under the metric that orders the leaderboard.
        note: of how many of them, where it is not of all.
        lost: number of competitors without a video.
    """

    number: int
    page: bool
    item: ItemFacts
    short: str
    words: str
    prompt: str | None
    value: float | None
    text: str
    note: str
    lost: int


def write_item_pages(
    folder: Path, templates: Environment, run: RunData, board: Board, views: Sequence[ItemView], media: MediaFolder
) -> None:
    """Write items.html and items/<number>.html; pages of an earlier report are removed."""
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    for old in home.iterdir():
        if _OURS.fullmatch(old.name) and is_ours(old):
            old.unlink()
    template = templates.get_template("item-page.html.jinja")
    for place, view in enumerate(views):
        around = {
            "previous": views[place - 1].number if place else None,
            "next": views[place + 1].number if place + 1 < len(views) else None,
        }
        html = template.render(run=run, board=board, item=view, root="../", count=len(run.items), **around)
        (home / f"{view.number}.html").write_text(html, "utf-8")
    html = templates.get_template("items.html.jinja").render(**_list_context(run, board, views, media))
    (folder / LIST).write_text(html, "utf-8")


def _list_context(run: RunData, board: Board, views: Sequence[ItemView], media: MediaFolder) -> dict[str, Any]:
    pages = {view.number for view in views}
    column = board.columns[0] if board.columns else None
    rivals = [row.model for row in board.rows]
    listed = []
    for number, item in enumerate(run.items, start=1):
        found = [run.results[name, item.id, column.name].value for name in rivals] if column else []
        known = [value for value in found if value is not None]
        mean = sum(known) / len(known) if known else None
        prompt, _ = image_prompt_of(item, run, media) if number in pages else (None, "")
        lost = sum(run.clips[name, item.id].status != "done" for name in rivals)
        text = words.number(mean, column.decimals) if column else words.NOTHING
        note = f"of {len(known)} of {len(rivals)}" if known and len(known) < len(rivals) else ""
        short = words.clipped(item.text, LISTED_LETTERS)
        searched = item.id if len(short) == len(item.text) else f"{item.id} {item.text}"
        listed.append(Listed(number, number in pages, item, short, searched, prompt, mean, text, note, lost))
    return {
        "run": run,
        "column": column,
        "listed": listed,
        "any_lost": any(each.lost for each in listed),
        "pages": pages,
        "classes": classes_of(run.items),
        "root": "",
    }
