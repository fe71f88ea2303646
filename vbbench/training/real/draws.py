"""Everything random about a training example, as a function of (seed, step, position in the global
batch).

Nothing is drawn from a generator that goes on from one example to the next: a training that was
killed and resumed, or that runs on another number of processes, sees the very same examples. Each
draw is a digest of its own name, so that a new one changes no other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SIDES = ("top", "bottom", "left", "right")
CROP = (0.01, 0.2)
DEGREES = (-30.0, 30.0)
SHIFT = (-0.1, 0.1)
SCALE = (0.8, 1.2)


@dataclass(frozen=True)
class Augmentation:
    """Changes of an image prompt (the paper's, for stage 2: so that the network cannot copy and
    paste).

    Attributes:
        side: of the box, from which is cropped: one of `SIDES`.
        crop: share of the box's height or width that is cut off there, 0.01..0.2.
        flip: left and right are exchanged.
        degrees: of a turn around the middle against the clock, -30..30.
        shift: to the right and down, as shares of the picture's side, -0.1..0.1 each.
        scale: factor by which the subject grows, 0.8..1.2.
    """

    side: str
    crop: float
    flip: bool
    degrees: float
    shift: tuple[float, float]
    scale: float


@dataclass(frozen=True)
class Draw:
    """What was drawn for one place of one step.

    Attributes:
        number: step * global batch + position in the global batch.
        example: index of the example.
        start: where the clip begins, as a share 0 <= share < 1 of the places where it can.
        dropped: text and image prompt are left out, both together (for classifier-free guidance).
        augmentation: of the image prompt; None: it stays as it is.
        seed: 63 bits, from which timestep and noise are to be drawn.
    """

    number: int
    example: int
    start: float
    dropped: bool
    augmentation: Augmentation | None
    seed: int


def number_of(step: int, position: int, global_batch: int) -> int:
    """The number of a place of a step; both count from 0."""
    return step * global_batch + position


def draw(seed: int, number: int, examples: int, *, text_drop: float, augment: bool) -> Draw:
    """What happens at a number: a pure function of the arguments.

    Args:
        seed: of the training.
        number: `number_of` its place, from 0.
        examples: how many there are, at least 1. Each comes once in ``examples`` numbers, which are
            an epoch.
        text_drop: probability of leaving out text and image prompt, 0..1; the paper's is 0.1.
        augment: whether image prompts are changed.
    """
    return Draw(
        number=number,
        example=example_at(seed, number, examples),
        start=_share(seed, number, "start"),
        dropped=_share(seed, number, "drop") < text_drop,
        augmentation=_augmentation(seed, number) if augment else None,
        seed=_bits(seed, number, "noise") >> 1,
    )


def example_at(seed: int, number: int, examples: int, later: int = 0) -> int:
    """Index of the example of a number, or of the one that comes ``later`` in the same epoch (after
    its last its first)."""
    epoch, place = divmod(number, examples)
    return int(permutation(seed, epoch, examples)[(place + later) % examples])


@lru_cache(maxsize=4)  # batches may lie across the end of an epoch
def permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """The order of the examples in an epoch, int64 (examples,); another one in each epoch.

    Sorted raw numbers of PCG64, which NumPy promises never to change (it does not promise that of
    its own permutations).
    """
    keys = np.random.PCG64(_bits(seed, epoch, "epoch")).random_raw(examples)
    order = np.argsort(keys, kind="stable")
    order.setflags(write=False)  # it is shared
    return order


def _augmentation(seed: int, number: int) -> Augmentation:
    return Augmentation(
        side=SIDES[int(_share(seed, number, "side") * len(SIDES))],
        crop=_between(CROP, _share(seed, number, "crop")),
        flip=_share(seed, number, "flip") < 0.5,
        degrees=_between(DEGREES, _share(seed, number, "degrees")),
        shift=(
            _between(SHIFT, _share(seed, number, "right")),
            _between(SHIFT, _share(seed, number, "down")),
        ),
        scale=_between(SCALE, _share(seed, number, "scale")),
    )


def _between(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return low + (high - low) * share


def _share(seed: int, number: int, name: str) -> float:
    """Uniform in [0, 1): 53 bits, as many as a float holds."""
    return (_bits(seed, number, name) >> 11) / (1 << 53)


def _bits(seed: int, number: int, name: str) -> int:
    """64 bits of BLAKE2."""
    digest = hashlib.blake2b(
        f"vbbench-draw:{name}:{seed}:{number}".encode(), digest_size=8
    ).digest()
    return int.from_bytes(digest, "big")
