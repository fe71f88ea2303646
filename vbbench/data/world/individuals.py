"""Individuals: which colours, marking and proportions each subject of the miniature world has.

An individual is named by (split, class, index). Its three colours and its marking are one of the
combinations of its class, and the combinations are dealt out to the splits by a fixed shuffle: no
combination is in two splits, so no individual is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from vbbench.core.digests import sha256_number
from vbbench.data.world.names import (
    CLASS_MARKINGS,
    CLASSES,
    COLOURS,
    MARKINGS,
    PALETTE,
    WORLD_VERSION,
)
from vbbench.errors import InputError

SPLITS = ("train", "val", "test")
OTHER_OFFSET = 40
"""The "other individual" of index i is index i + this: never itself an item's subject in suites of
fewer."""
_SHARES = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}
NUM_SHAPE_PARAMETERS = 6

# Pairs too near in CIELAB to serve as two colours of one individual.
_TOO_NEAR = {
    frozenset(p)
    for p in (
        ("red", "brown"),
        ("brown", "black"),
        ("orange", "yellow"),
        ("cream", "grey"),
        ("red", "orange"),
    )
}


@dataclass(frozen=True)
class Individual:
    """One subject of the miniature world.

    Attributes:
        split, class_name, index: its name.
        base, secondary, marking_colour: RGB, 0..255.
        base_name, secondary_name, marking_name: the palette's words for them.
        marking: one of MARKINGS.
        shape: NUM_SHAPE_PARAMETERS proportions and marking parameters, each in [-1, 1].
    """

    split: str
    class_name: str
    index: int
    base: tuple[int, int, int]
    secondary: tuple[int, int, int]
    marking_colour: tuple[int, int, int]
    base_name: str
    secondary_name: str
    marking_name: str
    marking: str
    shape: tuple[float, ...]


@dataclass(frozen=True)
class IndividualBatch:
    """Individuals as arrays: class (N,), colours (N, 3, 3) uint8 in the order base, secondary,
    marking; marking (N,), shape (N, P)."""

    class_index: np.ndarray
    colours: np.ndarray
    marking: np.ndarray
    shape: np.ndarray

    def __len__(self) -> int:
        return len(self.class_index)

    def take(self, indices: np.ndarray) -> IndividualBatch:
        """The individuals at ``indices`` (N',), repeats allowed."""
        return IndividualBatch(
            self.class_index[indices],
            self.colours[indices],
            self.marking[indices],
            self.shape[indices],
        )


def _seed(*parts: object) -> np.random.Generator:
    text = ":".join(str(part) for part in (WORLD_VERSION, *parts))
    return np.random.default_rng(sha256_number(text))


@cache
def _combinations(class_name: str) -> tuple[tuple[str, str, str, str], ...]:
    """All (base, secondary, marking colour, marking) of a class, in the class's fixed shuffled
    order."""
    combos = [
        (b, s, m, kind)
        for b in COLOURS
        for s in COLOURS
        for m in COLOURS
        for kind in CLASS_MARKINGS[class_name]
        if len({b, s, m}) == 3
        and frozenset((b, s)) not in _TOO_NEAR
        and frozenset((b, m)) not in _TOO_NEAR
    ]
    order = _seed("combinations", class_name).permutation(len(combos))
    return tuple(combos[i] for i in order)


def split_size(split: str, class_name: str) -> int:
    """How many individuals of the class the split has.

    Raises:
        InputError: no such split or class.
    """
    if split not in _SHARES:
        raise InputError(
            f"no split {split!r} in the miniature world; there are {', '.join(SPLITS)}"
        )
    if class_name not in CLASSES:
        raise InputError(
            f"no class {class_name!r} in the miniature world; there are {', '.join(CLASSES)}"
        )
    low, high = _SHARES[split]
    total = len(_combinations(class_name))
    return int(high * total) - int(low * total)


@cache
def individual(split: str, class_name: str, index: int) -> Individual:
    """The ``index``-th individual of a class in a split.

    Raises:
        InputError: unknown split or class, or an index outside 0 .. split_size - 1.
    """
    size = split_size(split, class_name)
    if not 0 <= index < size:
        raise InputError(
            f"the split {split!r} has individuals 0 to {size - 1} of the class {class_name!r}, not {index}"
        )
    combos = _combinations(class_name)
    base, secondary, marking_name, marking = combos[int(_SHARES[split][0] * len(combos)) + index]
    rng = _seed("individual", split, class_name, index)

    def colour(name: str) -> tuple[int, int, int]:
        shade = 1.0 + rng.uniform(-0.06, 0.06)
        rgb = np.clip(np.asarray(PALETTE[name]) * shade + rng.uniform(-6, 6, 3), 0, 255)
        red, green, blue = (int(v) for v in rgb.round())
        return red, green, blue

    colours = colour(base), colour(secondary), colour(marking_name)
    shape = tuple(float(v) for v in rng.uniform(-1, 1, NUM_SHAPE_PARAMETERS))
    return Individual(
        split, class_name, index, *colours, base, secondary, marking_name, marking, shape
    )


def batch_of(people: Sequence[Individual]) -> IndividualBatch:
    """Stack individuals into arrays."""
    return IndividualBatch(
        class_index=np.array([CLASSES.index(p.class_name) for p in people], dtype=np.int64),
        colours=np.array(
            [[p.base, p.secondary, p.marking_colour] for p in people], dtype=np.uint8
        ).reshape(-1, 3, 3),
        marking=np.array([MARKINGS.index(p.marking) for p in people], dtype=np.int64),
        shape=np.array([p.shape for p in people], dtype=np.float32).reshape(
            -1, NUM_SHAPE_PARAMETERS
        ),
    )


def individuals(split: str, class_indices: np.ndarray, indices: np.ndarray) -> IndividualBatch:
    """Many individuals of one split at once: class indices (N,) into CLASSES and indices (N,)."""
    return batch_of(
        [
            individual(split, CLASSES[int(c)], int(i))
            for c, i in zip(class_indices, indices, strict=True)
        ]
    )
