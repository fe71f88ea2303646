"""Training data of the miniature world: rendered once into a folder of .npy files, then read by
memory map.

Every individual has the same number of stills, clips and image prompts, so row ``r`` of an array
belongs to subject ``r // per_subject``. Models and the encoders that score them learn from
different individuals (``VARIANTS``): a metric must not read what the model was built on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vbbench.data import world

SPLITS = ("train", "val")
KINDS = ("stills", "clips", "prompts")


@dataclass(frozen=True)
class Counts:
    """How much to render of one split: individuals of each class, and pictures of each
    individual."""

    individuals: int
    stills: int
    clips: int
    prompts: int
    first_index: int = 0


@dataclass(frozen=True)
class Variant:
    """A set of training data: its splits and the seed that deals scenes, motions and frames."""

    train: Counts
    val: Counts
    seed: int


VARIANTS = {
    "models": Variant(
        Counts(333, 6, 2, 3), Counts(15, 4, 2, 2), seed=1
    ),  # 2,997 individuals, 17,982 stills, 5,994 clips, 8,991 prompts
    "scoring": Variant(
        Counts(333, 6, 1, 3, first_index=400), Counts(15, 4, 2, 2, first_index=40), seed=2
    ),
}


@dataclass(frozen=True)
class Pictures:
    """Rendered pictures of one kind and what they show.

    Attributes:
        frames: uint8 (N, 64, 64, 3), clips (N, 8, 64, 64, 3).
        masks: uint8 (N, 64, 64), clips (N, 8, 64, 64); values ``world.names.MASK_*``.
        subject: int64 (N,), row into ``Split.people``.
        scene, motion: int64 (N,), index into SCENES and MOTIONS; -1 for image prompts.
        frame: int64 (N,), which frame of its clip a still is; 0 for clips, -1 for image prompts.
        seed: int64 (N,), of the renderer.
    """

    frames: np.ndarray
    masks: np.ndarray
    subject: np.ndarray
    scene: np.ndarray
    motion: np.ndarray
    frame: np.ndarray
    seed: np.ndarray

    def __len__(self) -> int:
        return len(self.subject)


class Split:
    """Training or validation data; ``stills``, ``clips`` and ``prompts`` are opened when first
    asked for."""

    def __init__(self, folder: Path, name: str, counts: Counts, seed: int) -> None:
        self.folder, self.name, self.counts, self.seed = folder, name, counts, seed
        classes = len(world.CLASSES)
        self.class_index = np.repeat(np.arange(classes), counts.individuals)  # (S,) of each subject
        self.index = np.tile(
            counts.first_index + np.arange(counts.individuals), classes
        )  # (S,) its number in its class

    @property
    def num_subjects(self) -> int:
        """Number of individuals, classes one after the other."""
        return len(self.class_index)

    @cached_property
    def people(self) -> world.IndividualBatch:
        """The individuals as arrays: class, colours, marking, shape; row = subject."""
        return world.individuals(self.name, self.class_index, self.index)

    @cached_property
    def stills(self) -> Pictures:
        """Single frames of random clips."""
        return self._open("stills")

    @cached_property
    def clips(self) -> Pictures:
        """Clips of 8 frames."""
        return self._open("clips")

    @cached_property
    def prompts(self) -> Pictures:
        """Image prompts: the subject alone on white."""
        return self._open("prompts")

    def individual(self, subject: int) -> world.Individual:
        """The individual behind a subject's row."""
        return world.individual(
            self.name, world.CLASSES[self.class_index[subject]], int(self.index[subject])
        )

    def rows_of(self, kind: str, subjects: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random row of ``stills``, ``clips`` or ``prompts`` for each of the subjects (N,)."""
        per_subject = getattr(self.counts, kind)
        return np.asarray(subjects) * per_subject + rng.integers(per_subject, size=len(subjects))

    def captions(self, pictures: Pictures, rows: np.ndarray, rng: np.random.Generator) -> list[str]:
        """One caption for each row, drawn anew: the base colour is told in some, the rest is what
        the picture shows."""
        return [
            world.caption(
                self.individual(int(pictures.subject[row])),
                world.SCENES[pictures.scene[row]],
                world.MOTIONS[pictures.motion[row]],
                rng,
            )
            for row in rows
        ]

    def records(self, kind: str) -> dict[str, np.ndarray]:
        """What each picture shows, dealt by the data's seed; nothing is rendered."""
        per_subject = getattr(self.counts, kind)
        subject = np.repeat(np.arange(self.num_subjects), per_subject)
        rng = np.random.default_rng([self.seed, SPLITS.index(self.name), KINDS.index(kind)])
        seed = rng.integers(2**62, size=len(subject))
        scene, motion = (
            rng.integers(len(world.SCENES), size=len(subject)),
            rng.integers(len(world.MOTIONS), size=len(subject)),
        )
        frame = rng.integers(world.NUM_FRAMES, size=len(subject))
        none = np.full(len(subject), -1)
        if kind == "prompts":
            scene, motion, frame = none, none, none
        return {
            "subject": subject,
            "scene": scene,
            "motion": motion,
            "frame": frame * 0 if kind == "clips" else frame,
            "seed": seed,
        }

    def path(self, kind: str, what: str) -> Path:
        """File of one array, ``what`` being ``frames`` or ``masks``."""
        return self.folder / f"{self.name}-{kind}-{what}.npy"

    def shape(self, kind: str) -> tuple[int, ...]:
        """Shape of a kind's masks; frames have a last axis of 3 more."""
        frames = (world.NUM_FRAMES,) if kind == "clips" else ()
        return (self.num_subjects * getattr(self.counts, kind), *frames, world.SIZE, world.SIZE)

    def _open(self, kind: str) -> Pictures:
        frames, masks = (
            np.load(self.path(kind, what), mmap_mode="r", allow_pickle=False)
            for what in ("frames", "masks")
        )
        return Pictures(frames, masks, **self.records(kind))


class TrainingData:
    """Rendered data of one variant. Cheap to construct; picklable by (folder, variant)."""

    def __init__(self, folder: Path, variant: str) -> None:
        recipe = VARIANTS[variant]
        self.folder, self.variant = folder, variant
        self.train = Split(folder, "train", recipe.train, recipe.seed)
        self.val = Split(folder, "val", recipe.val, recipe.seed)

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return TrainingData, (self.folder, self.variant)
