"""Prompt items as the page shows them: the image prompt beside every model's clip, and each clip's
scores below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from vbbench.errors import InputError
from vbbench.report.board_page import Board, classes_of
from vbbench.report.media import LARGEST_SIDE, MediaFolder, Strip
from vbbench.report.place import is_ours
from vbbench.report.tables import Column
from vbbench.results import formatting
from vbbench.results.run_data import Clip, ItemFacts, ModelFacts, RunData


@dataclass(frozen=True)
class ClipView:
    """One model's clip, or the reason why there is none to be seen; `model` is its name, where it
    has a page."""

    title: str
    reference: bool
    strip: Strip | None
    problem: str
    model: str = ""


@dataclass(frozen=True)
class ScoreLine:
    """One metric's numbers for the clips of an item, in their order; `best` are the highest (or
    lowest) of the competitors."""

    title: str
    arrow: str
    direction: str
    texts: tuple[str, ...]
    best: tuple[bool, ...]


@dataclass(frozen=True)
class ItemView:
    """A prompt item with all its clips. The text prompt is cut in three around the subject word.

    Attributes:
        number: its place in the run, from 1; its page is called so too.
        lines: one a metric; its texts are in the order of `clips`.
    """

    anchor: str
    number: int
    id: str
    subject_id: str
    class_name: str
    before: str
    word: str
    after: str
    prompt: str | None
    prompt_problem: str
    clips: tuple[ClipView, ...]
    lines: tuple[ScoreLine, ...]
    notes: tuple[str, ...]


def item_views(
    run: RunData,
    order: Sequence[str],
    columns: Sequence[Column],
    media: MediaFolder,
    shown: int | None = None,
) -> list[ItemView]:
    """The items of the run, models in the given order; writes the pictures as it goes.

    Args:
        shown: so many items only, from all over the run; None: every item.
    """
    by_name = {model.name: model for model in run.models}
    models = [by_name[name] for name in order]
    return [
        _item(run, place + 1, run.items[place], models, columns, media)
        for place in shown_places(len(run.items), shown)
    ]


def shown_places(count: int, shown: int | None) -> Sequence[int]:
    """Places of the items that have videos in the report, from 0."""
    return (
        range(count)
        if shown is None or shown >= count
        else [count * place // shown for place in range(shown)]
    )


def image_prompt_of(item: ItemFacts, run: RunData, media: MediaFolder) -> tuple[str | None, str]:
    """The file of the item's image prompt in the folder of pictures, or None and why there is
    none."""
    try:
        return media.image_prompt(item.image, min(run.suite.size, LARGEST_SIDE)), ""
    except InputError as error:
        return None, str(error)


def _item(
    run: RunData,
    number: int,
    item: ItemFacts,
    models: Sequence[ModelFacts],
    columns: Sequence[Column],
    media: MediaFolder,
) -> ItemView:
    prompt, problem = image_prompt_of(item, run, media)
    before, word, after = split_at_word(item.text, item.subject_word)
    return ItemView(
        anchor=f"item-{number}",
        number=number,
        id=item.id,
        subject_id=item.subject_id,
        class_name=item.class_name,
        before=before,
        word=word,
        after=after,
        prompt=prompt,
        prompt_problem=problem,
        clips=tuple(clip_view(model, run.clips[model.name, item.id], media) for model in models),
        lines=tuple(_line(run, item, models, column) for column in columns),
        notes=_notes(run, item, models, columns),
    )


def clip_view(model: ModelFacts, clip: Clip, media: MediaFolder) -> ClipView:
    """The clip as a page shows it; writes its strip."""
    problem = clip.reason or ""
    strip = None
    if clip.status == "done" and clip.video is not None:
        try:
            strip = media.strip(clip.video)
        except InputError:
            problem = "its scores are here, but its video file cannot be read"
    problem = problem or ("" if strip else "its scores are here, but not its video")
    return ClipView(model.title, model.is_reference, strip, problem, model.name)


def _line(run: RunData, item: ItemFacts, models: Sequence[ModelFacts], column: Column) -> ScoreLine:
    values = [run.results[model.name, item.id, column.name].value for model in models]
    rivals = [
        value
        for model, value in zip(models, values, strict=True)
        if value is not None and not model.is_reference
    ]
    pick = max if column.sign > 0 else min
    has_best = column.sign != 0 and len(rivals) > 1
    best = formatting.number(pick(rivals), column.decimals) if has_best else None
    texts = tuple(formatting.number(value, column.decimals) for value in values)
    marks = tuple(
        text == best and not model.is_reference for text, model in zip(texts, models, strict=True)
    )
    return ScoreLine(column.title, column.arrow, column.direction, texts, marks)


def _notes(
    run: RunData, item: ItemFacts, models: Sequence[ModelFacts], columns: Sequence[Column]
) -> tuple[str, ...]:
    """Why a clip that is there has no score under a metric."""
    notes = []
    for model in models:
        if run.clips[model.name, item.id].status != "done":
            continue
        by_reason: dict[str, list[str]] = {}
        for column in columns:
            result = run.results[model.name, item.id, column.name]
            if result.value is None:
                by_reason.setdefault(result.reason or "no reason given", []).append(column.title)
        notes += [
            f"{model.title} has no {formatting.listed(titles)}: {reason}"
            for reason, titles in by_reason.items()
        ]
    return tuple(notes)


def split_at_word(text: str, word: str) -> tuple[str, str, str]:
    """The text before, at and after the first whole occurrence of the word; ("text", "", "") where
    there is none."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) if word else None
    return (text[: found.start()], found.group(), text[found.end() :]) if found else (text, "", "")


# Pages of the prompt items: the list of all, and one page an item with every model's clip in step.

LIST, FOLDER = "items.html", "items"
LISTED_LETTERS = 200
"""Letters of a prompt in the list; its own page has all of it."""
_OURS = re.compile(r"\d+\.html")


@dataclass(frozen=True)
class Listed:
    """An item as the list has it.

    Attributes:
        page: whether it has a page in this report.
        words: what a search looks at besides what is seen of prompt and individual: the id, and a
            prompt that was cut.
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
    folder: Path,
    templates: Environment,
    run: RunData,
    board: Board,
    views: Sequence[ItemView],
    media: MediaFolder,
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
        html = template.render(
            run=run, board=board, item=view, root="../", count=len(run.items), **around
        )
        (home / f"{view.number}.html").write_text(html, "utf-8")
    html = templates.get_template("items.html.jinja").render(
        **_list_context(run, board, views, media)
    )
    (folder / LIST).write_text(html, "utf-8")


def _list_context(
    run: RunData, board: Board, views: Sequence[ItemView], media: MediaFolder
) -> dict[str, Any]:
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
        text = formatting.number(mean, column.decimals) if column else formatting.NOTHING
        note = f"of {len(known)} of {len(rivals)}" if known and len(known) < len(rivals) else ""
        short = formatting.clipped(item.text, LISTED_LETTERS)
        searched = item.id if len(short) == len(item.text) else f"{item.id} {item.text}"
        listed.append(
            Listed(number, number in pages, item, short, searched, prompt, mean, text, note, lost)
        )
    return {
        "run": run,
        "column": column,
        "listed": listed,
        "any_lost": any(each.lost for each in listed),
        "pages": pages,
        "classes": classes_of(run.items),
        "root": "",
    }
