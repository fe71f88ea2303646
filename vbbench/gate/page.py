"""The gate's page: the verdict, the table, the items that moved most with their videos, and how the verdict came about."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbbench.gate.compare import NOISE_FACTOR, Kind
from vbbench.gate.hold import Held
from vbbench.gate.moved import cards_of
from vbbench.gate.rows import Row, counts_in_words, exact, fine, headline, meaning, metric_title, rows_of
from vbbench.gate.scores import Recording
from vbbench.report import words
from vbbench.report.leaderboard import ASSETS
from vbbench.report.media import MediaFolder
from vbbench.report.pages import copy_assets, environment
from vbbench.report.run_data import RunData

MOST_ROWS = 300
"""Rows of either table; further ones stand in gate.json."""
WIDEST = 8.0
"""Tolerances to either side that the axes of changes reach at most; what lies further out stands at their end."""
_FACTS = {"when": "created"}
"""What recordings and manifests call differently."""


@dataclass(frozen=True)
class Axis:
    """Places on a row's axis in percent, the old value in the middle; `beyond` where the new one lies off its end."""

    tolerance: float
    mark: float
    low: float | None
    high: float | None
    beyond: bool


@dataclass(frozen=True)
class Fact:
    """A fact of the recording and of the runs, in words; `differs` where both recording and run tell it, and not alike."""

    name: str
    texts: tuple[str, ...]
    differs: bool


def write_page(folder: Path, held: Held, old: RunData | None = None) -> Path:
    """Write index.html, its pictures, style and script; see `vbbench.gate.outputs.write_outputs`."""
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
    templates = environment("vbbench.gate", "vbbench.report")
    templates.globals.update(words=words, exact=exact, fine=fine, metric_title=metric_title)
    html = templates.get_template("gate.html.jinja").render(**context)
    (folder / "index.html").write_bytes(html.encode("utf-8", "replace"))
    copy_assets(folder, "vbbench.report", ASSETS)
    copy_assets(folder, "vbbench.gate", ("gate.css",))
    return folder / "index.html"


def axes_of(rows: Sequence[Row]) -> dict[tuple[str, str], Axis]:
    """(model, metric) -> axis, of the rows that have a change; one scale for all, in tolerances."""
    places = {(row.verdict.model, row.verdict.metric): found for row in rows if (found := _in_tolerances(row))}
    widest = max((abs(place) for found in places.values() for place in found if place is not None), default=0.0)
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
    ends = (None if end is None else end / verdict.tolerance for end in (verdict.change.low, verdict.change.high))
    return (verdict.change.mean / verdict.tolerance, *ends)


def _axis(found: tuple[float, float | None, float | None], reach: float) -> Axis:
    mark, low, high = (None if place is None else round(50 + 50 * max(-1.0, min(1.0, place / reach)), 2) for place in found)
    return Axis(round(50 / reach, 2), 50.0 if mark is None else mark, low, high, abs(found[0]) > reach)


def facts_of(run: RunData, recording: Recording, old: RunData | None) -> list[Fact]:
    """Recording, run and, where there is one, old run beside each other: what is told of them, and of the machines they ran on."""
    recorded = {_FACTS.get(key, key): value for key, value in recording.facts.items()}
    told = [recorded, run.manifests[0], *([old.manifests[0]] if old else [])]
    names = list(dict.fromkeys([*recorded, "created", "commit", "vbbench", "command"]))
    facts = [_fact(name, told) for name in names if name != "environment"]
    machines = [_mapping(each.get("environment")) for each in told]
    facts += [_fact(name, machines) for name in dict.fromkeys(name for machine in machines for name in machine)]
    return [fact for fact in facts if any(fact.texts)]


def _fact(name: str, told: Sequence[Mapping[str, Any]]) -> Fact:
    texts = tuple(_text(each.get(name)) for each in told)
    return Fact(name, texts, name != "created" and all(texts[:2]) and texts[0] != texts[1])


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
