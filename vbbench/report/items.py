"""Prompt items as the page shows them: the image prompt beside every model's clip, and each clip's
scores below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.errors import InputError
from vbbench.report.media import LARGEST_SIDE, MediaFolder, Strip
from vbbench.report.pages import report_templates
from vbbench.report.place import is_ours
from vbbench.results import formatting
from vbbench.results.analysis import Results
from vbbench.results.items import ItemMean, ScoreLine
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


def item_views(results: Results, media: MediaFolder, shown: int | None = None) -> list[ItemView]:
    """The items of the run, models in the order of the leaderboard; writes the pictures as it goes.

    Args:
        shown: so many items only, from all over the run; None: every item.
    """
    places = shown_places(len(results.run.items), shown)
    return [_item(results, place + 1, media) for place in places]


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


def _item(results: Results, number: int, media: MediaFolder) -> ItemView:
    run = results.run
    item, numbers = run.items[number - 1], results.items[number - 1]
    by_name = {model.name: model for model in run.models}
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
        clips=tuple(
            clip_view(by_name[name], run.clips[name, item.id], media) for name in results.order
        ),
        lines=numbers.lines,
        notes=numbers.notes,
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
            mean: of the competitors' scores under the metric that orders the leaderboard.
        lost: number of competitors without a video.
    """

    number: int
    page: bool
    item: ItemFacts
    short: str
    words: str
    prompt: str | None
    mean: ItemMean
    lost: int


def write_item_pages(
    results: Results, folder: Path, views: Sequence[ItemView], media: MediaFolder
) -> None:
    """Write items.html and items/<number>.html; pages of an earlier report are removed."""
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    for old in home.iterdir():
        if _OURS.fullmatch(old.name) and is_ours(old):
            old.unlink()
    template = report_templates().get_template("item-page.html.jinja")
    numbers = [view.number for view in views]
    before, after = [None, *numbers[:-1]], [*numbers[1:], None]
    for view, previous, following in zip(views, before, after, strict=True):
        html = template.render(
            run=results.run,
            item=view,
            previous=previous,
            next=following,
            count=len(results.run.items),
            root="../",
        )
        (home / f"{view.number}.html").write_text(html, "utf-8")
    _write_list(results, folder, frozenset(numbers), media)


def _write_list(results: Results, folder: Path, pages: frozenset[int], media: MediaFolder) -> None:
    """Write items.html; `pages` are the numbers of the items that have one."""
    listed = []
    for number, item in enumerate(results.run.items, start=1):
        found = results.items[number - 1]
        prompt, _ = image_prompt_of(item, results.run, media) if number in pages else (None, "")
        short = formatting.clipped(item.text, LISTED_LETTERS)
        words = item.id if len(short) == len(item.text) else f"{item.id} {item.text}"
        listed.append(
            Listed(number, number in pages, item, short, words, prompt, found.mean, found.lost)
        )
    html = (
        report_templates()
        .get_template("items.html.jinja")
        .render(
            run=results.run,
            column=results.columns[0] if results.columns else None,
            listed=listed,
            any_lost=any(each.lost for each in listed),
            pages=pages,
            classes=results.classes,
            root="",
        )
    )
    (folder / LIST).write_text(html, "utf-8")
