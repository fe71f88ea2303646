"""The gate's page: the verdict, the table, the items that moved most with their videos, and how the
verdict came about."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vbbench.errors import InputError
from vbbench.report.gate.rows import (
    Row,
    counts_in_words,
    exact,
    fine,
    headline,
    meaning,
    metric_title,
    rows_of,
    signed,
    value_text,
)
from vbbench.report.items import ClipView, image_prompt_of, split_at_word
from vbbench.report.leaderboard import ASSETS
from vbbench.report.media import MediaFolder
from vbbench.report.pages import copy_assets, environment
from vbbench.results import formatting
from vbbench.results.gate.check import Held
from vbbench.results.gate.compare import NOISE_FACTOR, Kind, Moved, Verdict
from vbbench.results.gate.scores import Recording
from vbbench.results.run_data import Clip, Result, RunData

# The items that moved most, as the page shows them: the image prompt, the old and the new video,
# and each number then and now.

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


def cards_of(
    rows: Sequence[Row], run: RunData, recording: Recording, old: RunData | None, media: MediaFolder
) -> tuple[list[Card], int]:
    """The cards of the rows' items, and how many more there would be; writes the pictures as it
    goes.

    Every row's first item comes before any row's second, so that no row is crowded out; then they
    are put in order of models.
    """
    found: dict[tuple[str, str], list[tuple[Verdict, Moved]]] = {}
    for turn in zip_longest(
        *([(row.verdict, moved) for moved in row.verdict.moved] for row in rows)
    ):
        for verdict, moved in filter(None, turn):
            found.setdefault((verdict.model, moved.item), []).append((verdict, moved))
    models = list(recording.models)
    shown = sorted(list(found)[:MOST_CARDS], key=lambda key: models.index(key[0]))
    cards = [
        _card(number, key, found[key], run, recording, old, media)
        for number, key in enumerate(shown, start=1)
    ]
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
        lines=tuple(_line(verdict, each, recording) for verdict, each in moved),
        same_pixels=then is not None and then.digest is not None and then.digest == now.digest,
        note=_note(key, moved, old, recording) if old and then and then.status == "done" else "",
    )


def old_clip(run: RunData, old: RunData, key: tuple[str, str]) -> Clip:
    """The old run's clip of a model and item, or the reason why it has none of them."""
    if old.suite.digest != run.suite.digest:
        return Clip(
            "missing",
            f"the old run is of suite {old.suite.name} {old.suite.version} ({old.suite.digest[:12]})",
        )
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


def _line(verdict: Verdict, moved: Moved, recording: Recording) -> MovedLine:
    then, now = (value_text(verdict.metric, value) for value in (moved.old, moved.new))
    title = metric_title(verdict.metric, recording)
    return MovedLine(title, verdict.kind, then, now, signed(moved.new - moved.old))


def _note(
    key: tuple[str, str],
    moved: Sequence[tuple[Verdict, Moved]],
    old: RunData,
    recording: Recording,
) -> str:
    """That the old run is another than the recorded one, where its scores say so."""
    others = [
        metric_title(v.metric, recording)
        for v, m in moved
        if _another(old.results.get((*key, v.metric)), m.old, v.noise)
    ]
    return (
        f"The old run scored another {formatting.listed(others)} than was recorded: it is not the run that was recorded."
        if others
        else ""
    )


def _another(result: Result | None, recorded: float, noise: float | None) -> bool:
    return (
        result is not None
        and result.value is not None
        and abs(result.value - recorded) > (noise or 0.0)
    )


MOST_ROWS = 300
"""Rows of either table; further ones stand in gate.json."""
WIDEST = 8.0
"""Tolerances to either side that the axes of changes reach at most; what lies further out stands at
their end."""
_FACTS = {"when": "created"}
"""What recordings and manifests call differently."""


@dataclass(frozen=True)
class Axis:
    """Places on a row's axis in percent, the old value in the middle; `beyond` where the new one
    lies off its end."""

    tolerance: float
    mark: float
    low: float | None
    high: float | None
    beyond: bool


@dataclass(frozen=True)
class Fact:
    """A fact of the recording and of the runs, in words; `differs` where both recording and run
    tell it, and not alike."""

    name: str
    texts: tuple[str, ...]
    differs: bool


def write_page(held: Held, folder: Path, old: RunData | None = None) -> Path:
    """Write index.html, its pictures, style and script; see
    `vbbench.report.gate.outputs.write_outputs`."""
    outcome, run, recording = held.outcome, held.run, held.recording
    folder.mkdir(parents=True, exist_ok=True)
    media = MediaFolder(folder)
    rows = rows_of(outcome, recording)
    cards, more_cards = cards_of(rows, run, recording, old, media)
    media.remove_unused()
    told = [row for row in rows if row.verdict.counts and row.verdict.kind != Kind.SAME]
    context = {
        "run": run,
        "recording": recording,
        "outcome": outcome,
        "old": old,
        "against": held.against.as_posix(),
        "headline": headline(outcome),
        "counts": counts_in_words(outcome),
        "meaning": meaning(outcome.exit_code),
        "told": told,
        "folded": [row for row in rows if row not in told],
        "most": MOST_ROWS,
        "axes": axes_of(rows),
        "cards": cards,
        "more_cards": more_cards,
        "facts": facts_of(run, recording, old),
        "specs": {spec.name: spec.id for spec in run.metrics},
        "tolerances": held.tolerances,
        "factor": NOISE_FACTOR,
    }
    templates = environment("vbbench.report.gate", "vbbench.report")
    templates.globals.update(words=formatting, exact=exact, fine=fine)
    html = templates.get_template("gate.html.jinja").render(**context)
    (folder / "index.html").write_bytes(html.encode("utf-8", "replace"))
    copy_assets(folder, "vbbench.report", ASSETS)
    copy_assets(folder, "vbbench.report.gate", ("gate.css",))
    return folder / "index.html"


def axes_of(rows: Sequence[Row]) -> dict[tuple[str, str], Axis]:
    """(model, metric) -> axis, of the rows that have a change; one scale for all, in tolerances."""
    places = {
        (row.verdict.model, row.verdict.metric): found
        for row in rows
        if (found := _in_tolerances(row))
    }
    widest = max(
        (abs(place) for found in places.values() for place in found if place is not None),
        default=0.0,
    )
    reach = min(WIDEST, max(2.0, 1.1 * widest))
    return {key: _axis(found, reach) for key, found in places.items()}


def _in_tolerances(row: Row) -> tuple[float, float | None, float | None] | None:
    """The change and its interval as multiples of the tolerance; of ratios, of their logarithms."""
    verdict = row.verdict
    if not verdict.tolerance:
        return None
    if row.ratio:
        if not verdict.old or not verdict.new:
            return None
        return math.log(verdict.new / verdict.old) / math.log(verdict.tolerance), None, None
    if verdict.change is None or verdict.change.mean is None:
        return None
    low, high = (
        None if end is None else end / verdict.tolerance
        for end in (verdict.change.low, verdict.change.high)
    )
    return verdict.change.mean / verdict.tolerance, low, high


def _axis(found: tuple[float, float | None, float | None], reach: float) -> Axis:
    mark, low, high = (
        None if place is None else round(50 + 50 * max(-1.0, min(1.0, place / reach)), 2)
        for place in found
    )
    return Axis(
        round(50 / reach, 2), 50.0 if mark is None else mark, low, high, abs(found[0]) > reach
    )


def facts_of(run: RunData, recording: Recording, old: RunData | None) -> list[Fact]:
    """Recording, run and, where there is one, old run beside each other: what is told of them, and
    of the machines they ran on."""
    recorded = {_FACTS.get(key, key): value for key, value in recording.facts.items()}
    told = [recorded, run.manifests[0], *([old.manifests[0]] if old else [])]
    names = list(dict.fromkeys([*recorded, "created", "commit", "vbbench", "command"]))
    facts = [_fact(name, told) for name in names if name != "environment"]
    machines = [_mapping(each.get("environment")) for each in told]
    facts += [
        _fact(name, machines)
        for name in dict.fromkeys(name for machine in machines for name in machine)
    ]
    return [fact for fact in facts if any(fact.texts)]


def _fact(name: str, told: Sequence[Mapping[str, Any]]) -> Fact:
    texts = tuple(_text(each.get(name)) for each in told)
    return Fact(name, texts, name != "created" and all(texts[:2]) and texts[0] != texts[1])


def _text(value: Any) -> str:
    return (
        ""
        if value is None
        else value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
