"""The examples of a dataset as clips, image prompts and texts, each a function of its draw.

Frames are brought to their size as in the released code, short side first, then the middle; but
shrunk by a filter that widens with the factor, where the released one leaves out pixels. T frames,
S side in pixels, 3 colours.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from vbbench.core.digests import file_digest, sha256_of
from vbbench.data.videos.layout import cut_out, read_mask
from vbbench.data.videos.loader import Example
from vbbench.errors import InputError, UsageError, one_line
from vbbench.media.pictures import WHITE
from vbbench.media.video import content_digest, count_frames, read_frames, read_start, resize_frames
from vbbench.training.real import draws
from vbbench.training.real.draws import Augmentation, Draw
from vbbench.training.real.settings import ClipSettings
from vbbench.training.real.usable import interval_of, subject_word, usable

# The paper's changes of image prompts in stage 2 (arXiv 2312.00777): crops of the box, flips,
# turns, shifts and scales.
#
# The crop acts on the box, before the subject is cut out of its frame; all others on the square on
# white, after it was brought to its
# size, as in the released code. That draws one set of changes for the image encoder and another for
# the injected latent; here both see one
# picture.
#
# Shape suffixes: S side in pixels, 3 colours.

Box = tuple[float, float, float, float]


def cropped(box: Box, augmentation: Augmentation) -> Box:
    """A box without a share of it at one side.

    Args:
        box: x1, y1, x2, y2.
    """
    x1, y1, x2, y2 = box
    right, down = augmentation.crop * (x2 - x1), augmentation.crop * (y2 - y1)
    moved = {
        "top": (x1, y1 + down, x2, y2),
        "bottom": (x1, y1, x2, y2 - down),
        "left": (x1 + right, y1, x2, y2),
    }
    return moved.get(augmentation.side, (x1, y1, x2 - right, y2))


def augmented(square_SS3: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """A square flipped, then turned and scaled around its middle, then shifted; what comes in from
    outside is white.

    Args:
        square_SS3: uint8, RGB.
    Returns:
        uint8 (S, S, 3); bilinear between pixels.
    """
    picture = Image.fromarray(square_SS3)
    if augmentation.flip:
        picture = ImageOps.mirror(picture)
    backward = _backward(augmentation, picture.width)
    return np.asarray(
        picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            backward,
            Image.Resampling.BILINEAR,
            fillcolor=WHITE,
        )
    ).copy()


def _backward(augmentation: Augmentation, side: int) -> tuple[float, ...]:
    """From a place of the result to the one it comes from: x = a x' + b y' + c, y = d x' + e y' +
    f; y points down."""
    angle, middle = math.radians(augmentation.degrees), side / 2
    cos, sin = math.cos(angle) / augmentation.scale, math.sin(angle) / augmentation.scale
    to_x, to_y = (middle + share * side for share in augmentation.shift)
    return (cos, -sin, middle - cos * to_x + sin * to_y, sin, cos, middle - sin * to_x - cos * to_y)


__all__ = ["ClipSettings", "RealData", "usable"]

MAX_UNREADABLE = 0.01  # of the examples; a single one in any case, if there are others
_CLIPS, _PROMPTS = (
    "vbbench-clip-1",
    "vbbench-image-prompt-1",
)  # another number where the pixels become others
Result = TypeVar("Result")


class RealData:
    """Examples to train on. Threads may share it.

    Args:
        examples: `usable` ones, in an order that is the same in every process.
        seed: of the training.
        global_batch: examples of a step, of all processes together.
        on_fault: told a sentence about each example that cannot be read, once.
        by_content: keys are of what is in files, which are read whole for that, once; else of their
            paths and sizes.
    Raises:
        UsageError: no example, or no batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        settings: ClipSettings,
        seed: int,
        global_batch: int,
        on_fault: Callable[[str], None] | None = None,
        by_content: bool = True,
    ) -> None:
        if not examples:
            raise UsageError("there is no example to train on.")
        if global_batch < 1:
            raise UsageError("a step needs at least one example.")
        self.examples, self.settings, self.seed, self.global_batch = (
            tuple(examples),
            settings,
            seed,
            global_batch,
        )
        self.unreadable: dict[int, str] = {}  # index of an example -> why
        self._on_fault, self._find_content = (
            on_fault,
            content_digest if by_content else _path_and_size,
        )
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Path], object] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def number(self, step: int, position: int) -> int:
        """The number of a place of a step's global batch."""
        return draws.number_of(step, position, self.global_batch)

    def draw(self, number: int) -> Draw:
        """What was drawn for a number; opens no file."""
        return draws.draw(
            self.seed,
            number,
            len(self),
            text_drop=self.settings.text_drop,
            augment=self.settings.augment,
        )

    def frames(self, draw: Draw) -> np.ndarray:
        """The clip, uint8 (T, S, S, 3).

        Raises:
            InputError: the video cannot be read, or has too few frames.
        """
        frames = read_frames(self._example(draw).video, self.indices(draw))
        return square_of(frames, self.settings.size)

    def indices(self, draw: Draw) -> list[int]:
        """Which frames of the video are those of the clip.

        Raises:
            InputError: as `frames`.
        """
        example = self._example(draw)
        total = int(self._once("frames", example.video, count_frames))
        interval = interval_of(total, self.settings, example)
        last = (
            total - 1 - (self.settings.num_frames - 1) * interval
        )  # the latest place at which a clip can begin
        windows = self.settings.windows
        start = (
            round(int(draw.start * windows) * last / max(1, windows - 1))
            if windows
            else int(draw.start * (last + 1))
        )
        return [start + place * interval for place in range(self.settings.num_frames)]

    def image_prompt(self, draw: Draw) -> np.ndarray:
        """The subject of the first frame on white, uint8 (S, S, 3), changed as was drawn.

        Raises:
            InputError: frame or mask cannot be read, or do not fit each other.
        """
        example = self._example(draw)
        change = draw.augmentation
        box = example.box if change is None else cropped(example.box, change)
        square = cut_out(read_start(example.video)[0], read_mask(example.mask), box)
        square = resize_frames(square[None], self.settings.size, resample="lanczos")[
            0
        ]  # as image prompts are at sampling
        return square if change is None else augmented(square, change)

    def text(self, draw: Draw) -> str:
        """The caption, also where it is to be dropped."""
        return self._example(draw).caption

    def subject_word(self, draw: Draw) -> str:
        """The word of the caption that the image prompt stands for.

        Raises:
            InputError: there is none.
        """
        return subject_word(self._example(draw))

    def clip_key(self, draw: Draw) -> str:
        """Digest of everything that `frames` depends on: the file's content, the indices, the size.

        Raises:
            InputError: the video cannot be read.
        """
        return _digest(_CLIPS, self._content(draw), self.indices(draw), self.settings.size)

    def prompt_key(self, draw: Draw) -> str | None:
        """Digest of everything that `image_prompt` depends on; None where it is changed, and so
        hardly ever the same again.

        Raises:
            InputError: video or mask cannot be read.
        """
        if draw.augmentation is not None:
            return None
        example = self._example(draw)
        return _digest(
            _PROMPTS,
            self._content(draw),
            example.box,
            self._once("mask", example.mask, _mask_digest),
            self.settings.size,
        )

    def readable(self, number: int, read: Callable[[Draw], Result]) -> Result:
        """What ``read`` makes of a number's draw; where its example cannot be read, that of the
        next of the epoch that can.

        Which one that is depends on the number and the files alone, not on the process. All else
        that was drawn stays.

        Raises:
            InputError: more than `MAX_UNREADABLE` of the examples cannot be read.
        """
        drawn = self.draw(number)
        for later in range(len(self)):
            example = draws.example_at(self.seed, number, len(self), later)
            if example in self.unreadable:
                continue
            try:
                return read(replace(drawn, example=example))
            except InputError as error:
                self._note(example, one_line(error))
        raise self._too_many()

    def _note(self, example: int, reason: str) -> None:
        with self._lock:
            known = example in self.unreadable
            self.unreadable.setdefault(example, reason)
            count = len(self.unreadable)
        if not known and self._on_fault is not None:
            self._on_fault(reason)
        if count > max(1.0, MAX_UNREADABLE * len(self)) or count == len(self):
            raise self._too_many()

    def _too_many(self) -> InputError:
        reasons = list(self.unreadable.values())
        return InputError(
            f"{len(reasons)} of {len(self)} examples cannot be read, more than {MAX_UNREADABLE:.0%}; the last one: {reasons[-1]} "
            "`vbbench data check` finds them all."
        )

    def _example(self, draw: Draw) -> Example:
        return self.examples[draw.example]

    def _content(self, draw: Draw) -> str:
        return str(self._once("content", self._example(draw).video, self._find_content))

    def _once(self, what: str, path: Path, find: Callable[[Path], Result]) -> Result:
        """What is found out about a file; files are taken not to change while a training runs."""
        key = (what, path)
        if key not in self._known:
            self._known[key] = find(path)
        return self._known[key]  # type: ignore[return-value]


def square_of(frames_THW3: np.ndarray, size: int) -> np.ndarray:
    """Frames with their short side brought to ``size``, and the middle of the long one: uint8 (T,
    S, S, 3)."""
    height, width = frames_THW3.shape[1:3]
    short = min(height, width)
    high, wide = (max(size, round(side * size / short)) for side in (height, width))
    frames = resize_frames(frames_THW3, (high, wide), resample="bilinear")
    top, left = round((high - size) / 2), round((wide - size) / 2)
    return np.ascontiguousarray(frames[:, top : top + size, left : left + size])


def _path_and_size(path: Path) -> str:
    try:
        return f"{path} {path.stat().st_size}"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def _mask_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"the mask {path} cannot be read: {error.strerror}.") from None


def _digest(*parts: object) -> str:
    return sha256_of(repr(parts))
