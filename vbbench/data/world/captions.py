"""Captions of the miniature world, from a small closed vocabulary."""

from __future__ import annotations

import numpy as np

from vbbench.data.world.individuals import Individual
from vbbench.data.world.names import CLASSES, COLOURS, MARKINGS, MOTIONS, SCENES, SECONDARY_PART

_PLACES = {
    "grass": "on the grass",
    "beach": "on the beach",
    "snow": "in the snow",
    "road": "on the road",
    "night": "at night",
    "desert": "in the desert",
    "forest": "in the forest",
    "room": "in a room",
}
_ACTIONS = {
    "right": "running right",
    "left": "running left",
    "jumping": "jumping",
    "standing": "standing still",
    "closer": "coming closer",
    "away": "walking away",
}
_CAR_ACTIONS = {"right": "driving right", "left": "driving left", "away": "driving away"}


def _vocabulary() -> tuple[str, ...]:
    words = {
        "a",
        "an",
        "and",
        "with",
        "photo",
        "of",
        *CLASSES,
        *COLOURS,
        *MARKINGS,
        *SECONDARY_PART.values(),
    }
    for phrase in (*_PLACES.values(), *_ACTIONS.values(), *_CAR_ACTIONS.values()):
        words.update(phrase.split())
    return tuple(sorted(words))


VOCABULARY: tuple[str, ...] = _vocabulary()


def article(word: str) -> str:
    """The article that the word takes: a or an."""
    return "an" if word[0] in "aeiou" else "a"


def caption(
    subject: Individual | str,
    scene: str | None,
    motion: str | None,
    rng: np.random.Generator | None = None,
    *,
    colour_probability: float = 0.4,
) -> str:
    """What a clip shows, as somebody would caption it: "a red dog running left on the beach".

    Args:
        subject: an individual, or only its class name (then no colour is told).
        scene: one of SCENES, or None to leave the place out.
        motion: one of MOTIONS, or None to leave the action out.
        rng: decides whether the base colour is told; None leaves it out.
        colour_probability: how often it is told, 0..1.
    """
    class_name = subject if isinstance(subject, str) else subject.class_name
    words = [class_name]
    if rng is not None and not isinstance(subject, str) and rng.random() < colour_probability:
        words.insert(0, subject.base_name)
    return _finish(words, class_name, scene, motion)


def rich_caption(subject: Individual, scene: str | None, motion: str | None) -> str:
    """A caption that tells everything words can: "a red dog with blue legs and green spots running
    left on the beach"."""
    words = [
        subject.base_name,
        subject.class_name,
        f"with {subject.secondary_name} {SECONDARY_PART[subject.class_name]} and {subject.marking_name} {subject.marking}",
    ]
    return _finish(words, subject.class_name, scene, motion)


def _finish(words: list[str], class_name: str, scene: str | None, motion: str | None) -> str:
    words = [article(words[0]), *words]
    if motion is not None:
        words.append(
            (_CAR_ACTIONS.get(motion) if class_name == "car" else None) or _ACTIONS[motion]
        )
    if scene is not None:
        words.append(_PLACES[scene])
    return " ".join(words)


__all__ = ["MOTIONS", "SCENES", "VOCABULARY", "article", "caption", "rich_caption"]
