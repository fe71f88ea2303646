"""Numbers of single prompt items: each one's scores, what has none and why, and the items that are
a model's best, median and worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vbbench.results import formatting
from vbbench.results.run_data import ItemFacts, ModelFacts, RunData
from vbbench.results.tables import Column


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
class ItemMean:
    """The competitors' mean for one item under the metric that orders the leaderboard.

    Attributes:
        value: None where no competitor has a score.
        text: the value written out.
        note: of how many competitors, where it is not of all.
    """

    value: float | None
    text: str
    note: str


@dataclass(frozen=True)
class ItemNumbers:
    """All numbers of one prompt item.

    Attributes:
        lines: one a metric; their texts are in the order of the leaderboard.
        notes: why a clip that is there has no score.
        lost: number of competitors without a video.
    """

    lines: tuple[ScoreLine, ...]
    notes: tuple[str, ...]
    mean: ItemMean
    lost: int


@dataclass(frozen=True)
class Extreme:
    """An item that stands for how a model does under a metric.

    Attributes:
        what: best, median, worst, most, least, or only.
        number: the item's place in the run, from 1.
        text: the model's score of it, written out.
    """

    what: str
    number: int
    text: str


def item_numbers(
    run: RunData, order: Sequence[str], columns: Sequence[Column]
) -> tuple[ItemNumbers, ...]:
    """The numbers of every item, in the order of the run.

    Args:
        order: names of all models, in the order of the leaderboard.
        columns: the first is of the metric that orders the leaderboard.
    """
    by_name = {model.name: model for model in run.models}
    models = [by_name[name] for name in order]
    competitors = [model for model in models if not model.is_reference]
    return tuple(
        ItemNumbers(
            lines=tuple(_line(run, item, models, column) for column in columns),
            notes=_notes(run, item, models, columns),
            mean=_mean(run, item, competitors, columns),
            lost=sum(run.clips[model.name, item.id].status != "done" for model in competitors),
        )
        for item in run.items
    )


def _line(run: RunData, item: ItemFacts, models: Sequence[ModelFacts], column: Column) -> ScoreLine:
    values = [run.results[model.name, item.id, column.name].value for model in models]
    texts = tuple(formatting.number(value, column.decimals) for value in values)
    rivals = [
        value
        for model, value in zip(models, values, strict=True)
        if value is not None and not model.is_reference
    ]
    best = None
    if column.sign and len(rivals) > 1:
        pick = max if column.sign > 0 else min
        best = formatting.number(pick(rivals), column.decimals)
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
        for reason, titles in by_reason.items():
            notes.append(f"{model.title} has no {formatting.listed(titles)}: {reason}")
    return tuple(notes)


def _mean(
    run: RunData, item: ItemFacts, competitors: Sequence[ModelFacts], columns: Sequence[Column]
) -> ItemMean:
    if not columns:
        return ItemMean(None, formatting.NOTHING, "")
    column = columns[0]
    values = [run.results[model.name, item.id, column.name].value for model in competitors]
    known = [value for value in values if value is not None]
    if not known:
        return ItemMean(None, formatting.NOTHING, "")
    mean = sum(known) / len(known)
    note = f"of {len(known)} of {len(competitors)}" if len(known) < len(competitors) else ""
    return ItemMean(mean, formatting.number(mean, column.decimals), note)


def extremes_of(run: RunData, model: str, column: Column) -> tuple[Extreme, ...]:
    """The model's best, median and worst item under a metric, of those that have a score; fewer
    where there are fewer than three. Most and least stand for best and worst where the metric has
    no direction.

    Of items with one score the first is taken. The median of an even number of items is the better
    of the two in the middle.
    """
    sign = -1 if column.sign >= 0 else 1
    scored = []
    for number, item in enumerate(run.items, start=1):
        value = run.results[model, item.id, column.name].value
        if value is not None:
            scored.append((sign * value, number, value))
    scored.sort()
    extremes = []
    for what, place in _extreme_places(len(scored), *_ends(column)).items():
        _, number, value = scored[place]
        extremes.append(Extreme(what, number, formatting.number(value, column.decimals)))
    return tuple(extremes)


def _ends(column: Column) -> tuple[str, str]:
    """What the first and the last of items are called, in the order of `extremes_of`."""
    return ("best", "worst") if column.sign else ("most", "least")


def _extreme_places(count: int, first: str, last: str) -> dict[str, int]:
    """Places in a list of so many."""
    if count == 0:
        return {}
    if count == 1:
        return {"only": 0}
    if count == 2:
        return {first: 0, last: 1}
    return {first: 0, "median": (count - 1) // 2, last: count - 1}
