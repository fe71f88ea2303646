"""The items that moved most, as the page shows them: the image prompt, the old and the new video, and each number then and now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from vbbench.errors import InputError
from vbbench.gate.compare import Moved, Verdict
from vbbench.gate.rows import Row, metric_title, signed, value_text
from vbbench.gate.scores import Recording
from vbbench.report import words
from vbbench.report.items import ClipView, image_prompt_of, split_at_word
from vbbench.report.media import MediaFolder
from vbbench.report.run_data import Clip, Result, RunData

MOST_CARDS = 24
"""Videos one page holds; the items of further rows stand in gate.json."""


@dataclass(frozen=True)
class MovedLine:
    """One metric's number of the item then and now; `kind` is the verdict on the metric's row."""

    metric: str
    kind: str
    old: str
    new: str
    change: str


@dataclass(frozen=True)
class Card:
    """An item of a model. The text prompt is cut in three around the subject word.

    Attributes:
        then: None where no old run was given.
        same_pixels: whether the old and the new video have the same digest.
        note: what else is to be said; empty where nothing is.
    """

    anchor: str
    model: str
    id: str
    before: str
    word: str
    after: str
    prompt: str | None
    prompt_problem: str
    then: ClipView | None
    now: ClipView
    lines: tuple[MovedLine, ...]
    same_pixels: bool
    note: str


def cards_of(rows: Sequence[Row], run: RunData, recording: Recording, old: RunData | None, media: MediaFolder) -> tuple[list[Card], int]:
    """The cards of the rows' items, and how many more there would be; writes the pictures as it goes.

    Every row's first item comes before any row's second, so that no row is crowded out; then they are put in order of models.
    """
    found: dict[tuple[str, str], list[tuple[Verdict, Moved]]] = {}
    for turn in zip_longest(*([(row.verdict, moved) for moved in row.verdict.moved] for row in rows)):
        for verdict, moved in filter(None, turn):
            found.setdefault((verdict.model, moved.item), []).append((verdict, moved))
    models = list(recording.models)
    shown = sorted(list(found)[:MOST_CARDS], key=lambda key: models.index(key[0]))
    cards = [_card(number, key, found[key], run, recording, old, media) for number, key in enumerate(shown, start=1)]
    return cards, len(found) - len(shown)


def _card(
    number: int,
    key: tuple[str, str],
    moved: Sequence[tuple[Verdict, Moved]],
    run: RunData,
    recording: Recording,
    old: RunData | None,
    media: MediaFolder,
) -> Card:
    item = next(item for item in run.items if item.id == key[1])
    prompt, problem = image_prompt_of(item, run, media)
    now = run.clips[key]
    then = old_clip(run, old, key) if old else None
    before, word, after = split_at_word(item.text, item.subject_word)
    return Card(
        anchor=f"moved-{number}",
        model=recording.models[key[0]].title,
        id=item.id,
        before=before,
        word=word,
        after=after,
        prompt=prompt,
        prompt_problem=problem,
        then=_view("Old video", then, media) if then else None,
        now=_view("New video", now, media),
        lines=tuple(_line(verdict, each) for verdict, each in moved),
        same_pixels=then is not None and then.digest is not None and then.digest == now.digest,
        note=_note(key, moved, old) if old and then and then.status == "done" else "",
    )


def old_clip(run: RunData, old: RunData, key: tuple[str, str]) -> Clip:
    """The old run's clip of a model and item, or the reason why it has none of them."""
    if old.suite.digest != run.suite.digest:
        return Clip("missing", f"the old run is of suite {old.suite.name} {old.suite.version} ({old.suite.digest[:12]})")
    if key[0] not in {model.name for model in old.models}:
        return Clip("missing", f"the old run has no {key[0]}")
    return old.clips.get(key) or Clip("missing", "the old run has no such item")


def _view(title: str, clip: Clip, media: MediaFolder) -> ClipView:
    if clip.status != "done":
        return ClipView(title, False, None, clip.reason or "no reason given")
    if clip.video is None:
        return ClipView(title, False, None, "the run does not hold it")
    try:
        return ClipView(title, False, media.strip(clip.video), "")
    except InputError:
        return ClipView(title, False, None, "its file is missing or cannot be read")


def _line(verdict: Verdict, moved: Moved) -> MovedLine:
    then, now = (value_text(verdict.metric, value) for value in (moved.old, moved.new))
    return MovedLine(metric_title(verdict.metric), verdict.kind, then, now, signed(moved.new - moved.old))


def _note(key: tuple[str, str], moved: Sequence[tuple[Verdict, Moved]], old: RunData) -> str:
    """That the old run is another than the recorded one, where its scores say so."""
    others = [metric_title(v.metric) for v, m in moved if _another(old.results.get((*key, v.metric)), m.old, v.noise)]
    return f"The old run scored another {words.listed(others)} than was recorded: it is not the run that was recorded." if others else ""


def _another(result: Result | None, recorded: float, noise: float | None) -> bool:
    return result is not None and result.value is not None and abs(result.value - recorded) > (noise or 0.0)
