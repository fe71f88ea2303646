"""Training sets that clips are taken from: the miniature world's, which is drawn anew, and
anybody's, listed in a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from vbbench.core.paths import weights_dir
from vbbench.data import world
from vbbench.data.world.pictures import VARIANTS, Split
from vbbench.errors import InputError
from vbbench.media.video import load_image_prompt, read_video, resize_frames
from vbbench.types import SamplingParams, Video

WORLD = "miniature world"
COLUMNS = ("video", "caption", "image")


class Bank(Protocol):
    """A training set: one caption and one subject (a number) a clip."""

    captions: Sequence[str]
    subjects: Sequence[int]

    def pictures(self, subjects: Sequence[int], side: int) -> np.ndarray:
        """An image prompt of each subject, uint8 (N, side, side, 3)."""
        ...

    def video(self, row: int, params: SamplingParams) -> Video:
        """The clip of a row, as it is.

        Raises:
            InputError: it has not the frames asked for.
        """
        ...


class WorldBank:
    """The clips of the individuals that the shipped miniature models were trained on, as `vbbench
    train` renders them.

    Captions tell class, base colour, action and place: all that a caption of the training ever says
    of a clip.
    """

    def __init__(self) -> None:
        variant = VARIANTS["models"]
        self._split = Split(Path(), "train", variant.train, variant.seed)
        self._clips, prompts = self._split.records("clips"), self._split.records("prompts")
        self._prompt_seeds = prompts["seed"][
            :: variant.train.prompts
        ]  # of each individual's first image prompt
        self.subjects = [int(subject) for subject in self._clips["subject"]]
        told = zip(self.subjects, self._clips["scene"], self._clips["motion"], strict=True)
        self.captions = [
            self._caption(subject, world.SCENES[scene], world.MOTIONS[motion])
            for subject, scene, motion in told
        ]

    def _caption(self, subject: int, scene: str, motion: str) -> str:
        return world.caption(
            self._split.individual(subject),
            scene,
            motion,
            np.random.default_rng(0),
            colour_probability=1.0,
        )

    def pictures(self, subjects: Sequence[int], side: int) -> np.ndarray:
        """See `Bank`."""
        rows = np.asarray(subjects)
        frames, _ = world.render_image_prompts(self._people(rows), self._prompt_seeds[rows])
        return resize_frames(frames, side)

    def video(self, row: int, params: SamplingParams) -> Video:
        """See `Bank`."""
        if (params.num_frames, params.size) != (world.NUM_FRAMES, world.SIZE):
            raise InputError(
                f"the miniature world's training clips have {world.NUM_FRAMES} frames of {world.SIZE} pixels, "
                f"and {params.num_frames} of {params.size} were asked for"
            )
        record = {name: values[row : row + 1] for name, values in self._clips.items()}
        frames, _ = world.render_clips(
            self._people(record["subject"]), record["scene"], record["motion"], record["seed"]
        )
        return Video(frames[0], params.fps)

    def _people(self, subjects: np.ndarray) -> world.IndividualBatch:
        return world.individuals(
            "train", self._split.class_index[subjects], self._split.index[subjects]
        )


class TableBank:
    """Clips listed in a CSV file with the columns video, caption, image; paths are relative to it.
    Each row is a subject of its own.

    A clip with more frames than asked for gives its first ones; pictures are resized.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open(newline="", encoding="utf-8") as file:
                self._rows = list(csv.DictReader(file))
        except FileNotFoundError:
            raise InputError(
                f"the training clips to choose from are not listed at {path}: make it with the columns {_NAMED}"
            ) from None
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        wrong = [
            number
            for number, row in enumerate(self._rows, 2)
            if any(not row.get(name) for name in COLUMNS)
        ]
        if wrong or not self._rows:
            raise InputError(
                f"{path} {f'lacks a value in line {wrong[0]}' if wrong else 'lists no clip'}; it needs the columns {_NAMED}"
            )
        self._folder = path.parent
        self.captions, self.subjects = (
            [row["caption"] for row in self._rows],
            list(range(len(self._rows))),
        )

    def pictures(self, subjects: Sequence[int], side: int) -> np.ndarray:
        """See `Bank`."""
        return np.stack(
            [
                load_image_prompt(self._folder / self._rows[subject]["image"], side)[0]
                for subject in subjects
            ]
        )

    def video(self, row: int, params: SamplingParams) -> Video:
        """See `Bank`."""
        path = self._folder / self._rows[row]["video"]
        frames = read_video(path).frames[: params.num_frames]
        if len(frames) < params.num_frames:
            raise InputError(
                f"the training clip {path} has {len(frames)} frames, and {params.num_frames} were asked for"
            )
        return Video(resize_frames(frames, params.size), params.fps)


_NAMED = ", ".join(COLUMNS)


def open_bank(name: str, scale: str) -> Bank:
    """The miniature world's training clips, or those of a CSV file in the folder of the scale's
    weights (or at an absolute path).

    Raises:
        InputError: it cannot be read.
    """
    return WorldBank() if name == WORLD else TableBank(weights_dir(scale) / name)
