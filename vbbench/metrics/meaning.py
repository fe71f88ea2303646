"""What a metric's number is about: kind, title and direction, beside its spec, not in its id.

Whoever ranks, groups or draws numbers goes by these, never by a metric's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vbbench.types import MetricSpec

BESIDE = ("kind", "title", "direction")
"""Fields of a `MetricSpec` that its id does not cover."""
KINDS = ("subject", "text", "time", "motion", "quality", "judge")
"""Whether the subject is kept; whether the text is followed; whether frames follow from each other;
how much moves; whether pictures are clean; what a judging model prefers."""
DIRECTIONS = ("higher", "lower", "none")
"""Which values are better; ``none``: neither, so nothing is ranked by it."""


@dataclass(frozen=True)
class Meaning:
    """What is said of a metric beside its spec: one of `KINDS`, a title for tables, one of
    `DIRECTIONS`."""

    kind: str
    title: str
    direction: str = "higher"


BUNDLED: Mapping[str, Meaning] = {
    "true-identity": Meaning("subject", "True identity"),
    "dino": Meaning("subject", "DINO"),
    "clip-image": Meaning("subject", "CLIP-Image"),
    "dino-masked": Meaning("subject", "DINO, masked"),
    "clip-image-masked": Meaning("subject", "CLIP-Image, masked"),
    "clip-text": Meaning("text", "CLIP-Text"),
    "temporal-consistency": Meaning("time", "Temporal consistency"),
    "temporal-consistency-first": Meaning("time", "Temporal consistency first"),
    "temporal-consistency-all": Meaning("time", "Temporal consistency all"),
    "dino-consistency": Meaning("time", "DINO consistency"),
    "dino-consistency-first": Meaning("time", "DINO consistency first"),
    "dino-consistency-all": Meaning("time", "DINO consistency all"),
    "subject-consistency": Meaning("time", "Subject consistency"),
    "motion": Meaning("motion", "Motion", "none"),
}
"""Of one kind, the one to go by first: `precedence`."""


def precedence(spec: MetricSpec) -> int:
    """Which metric of a kind speaks for it where one must: the lowest; all metrics from elsewhere
    come after the bundled ones."""
    names = list(BUNDLED)
    return names.index(spec.name) if spec.name in BUNDLED else len(names)


def primary_of(specs: Sequence[MetricSpec]) -> str | None:
    """Name of the metric to rank by, of some metrics.

    Who keeps the subject is what image-prompted generation is about: the first metric of that kind,
    else the first that has a direction; None where there is none.
    """
    if subject := of_kind(specs, "subject"):
        return subject[0].name
    return next((spec.name for spec in specs if spec.sign), None)


def of_kind(specs: Sequence[MetricSpec], kind: str) -> list[MetricSpec]:
    """The metrics of a kind that have a direction, the one that speaks for the kind first."""
    return sorted((spec for spec in specs if spec.kind == kind and spec.sign), key=precedence)


def meaning_of(spec: MetricSpec) -> Meaning:
    """What is said of a metric that does not say it itself: of a bundled one what `BUNDLED` says,
    of any other what its spec lets one guess."""
    direction = "higher" if spec.higher_is_better else "lower"
    if known := BUNDLED.get(spec.name):
        undirected = known.direction == "none"
        return Meaning(known.kind, known.title, "none" if undirected else direction)
    return Meaning(_kind_of(spec), title_of(spec.name), direction)


def _kind_of(spec: MetricSpec) -> str:
    if spec.reads_text:
        return "text"
    if spec.references:
        return "subject"
    return "time" if spec.pairs else "quality"


def title_of(name: str) -> str:
    """A metric's title by its name alone: ``my-metric`` -> ``My metric``."""
    if known := BUNDLED.get(name):
        return known.title
    head, *rest = name.split("-")
    return " ".join([head.capitalize(), *rest])


def check_meaning(words: Mapping[str, str], spec: MetricSpec) -> None:
    """Does nothing for words that can stand beside the spec.

    Raises:
        ValueError: they are no texts, a kind or direction does not exist, or the direction
            contradicts the spec.
    """
    for name, known in (("kind", KINDS), ("direction", DIRECTIONS)):
        if words[name] not in known:
            raise ValueError(
                f"the {name} of metric {spec.name!r} must be one of {', '.join(known)}, "
                f"not {words[name]!r}"
            )
    if not isinstance(words["title"], str) or not words["title"].strip():
        raise ValueError(
            f"the title of metric {spec.name!r} must be a text, not {words['title']!r}"
        )
    opposite = "lower" if spec.higher_is_better else "higher"
    if words["direction"] == opposite:
        raise ValueError(
            f"the metric {spec.name!r} has direction {opposite!r}, but its spec says "
            f"higher_is_better = {spec.higher_is_better}"
        )
