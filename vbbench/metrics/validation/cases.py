"""Real clips of the miniature world to be damaged, with all that is needed to draw them otherwise.

Shape suffixes: T frames, H/W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vbbench.data import world
from vbbench.data.world.names import CLASS_MARKINGS
from vbbench.types import PromptItem, Subject

SPLIT = "test"
MOVING = tuple(motion for motion in world.MOTIONS if motion != "standing")
"""What clips are asked to do. Where nothing moves, frames that are shuffled or frozen are no
damage."""


@dataclass(frozen=True)
class Case:
    """A real clip, and all that is needed to draw it otherwise.

    Attributes:
        person, other: whom it shows, and an `unlike` individual of the class.
        scene, motion, seed: what `world.render_clip` drew it from.
        frames_THWC: the clip, uint8.
        prompt_HWC, mask_HW: the image prompt of the same size, and where the subject is in it
            (uint8, 0 outside).
    """

    person: world.Individual
    other: world.Individual
    scene: str
    motion: str
    seed: int
    frames_THWC: np.ndarray
    prompt_HWC: np.ndarray
    mask_HW: np.ndarray

    @property
    def id(self) -> str:
        """The individual's name: a case is the only one of its individual."""
        return f"{self.person.class_name}-{self.person.index:04d}"


@dataclass(frozen=True)
class Script:
    """What each of T frames is drawn from: individuals, and indices into SCENES and MOTIONS
    (T,)."""

    people: world.IndividualBatch
    scenes: np.ndarray
    motions: np.ndarray
    seed: int


def make_cases(classes: Sequence[str], per_class: int, seed: int) -> list[Case]:
    """One clip of each of the first individuals of every class, scene, motion and seed drawn by
    chance."""
    rng = np.random.default_rng(seed)
    return [
        make_case(
            SPLIT,
            name,
            index,
            str(rng.choice(world.SCENES)),
            str(rng.choice(MOVING)),
            int(rng.integers(2**31)),
        )
        for name in classes
        for index in range(per_class)
    ]


def write_item(folder: Path, case: Case) -> PromptItem:
    """The prompt item that the clip answers; its image prompt and mask are written into the
    folder."""
    from PIL import Image

    image, mask = folder / f"{case.id}.png", folder / f"{case.id}-mask.png"
    Image.fromarray(case.prompt_HWC).save(image)
    Image.fromarray(case.mask_HW > 0).save(mask)
    person = case.person
    reference = {"split": person.split, "class": person.class_name, "index": person.index}
    subject = Subject(case.id, person.class_name, image, masks=(mask,), world=reference)
    text = world.caption(person.class_name, case.scene, case.motion)
    return PromptItem(
        case.id,
        subject,
        text,
        person.class_name,
        seed=0,
        image_seed=0,
        scene=case.scene,
        motion=case.motion,
    )


def make_case(split: str, class_name: str, index: int, scene: str, motion: str, seed: int) -> Case:
    """The case of one individual; its image prompt and the other individual follow from the same
    arguments."""
    person = world.individual(split, class_name, index)
    frames, _ = world.render_clip(person, scene, motion, seed)
    prompt, mask = world.render_image_prompt(person, seed)
    return Case(person, unlike(person), scene, motion, seed, frames, prompt, mask)


def unlike(person: world.Individual) -> world.Individual:
    """The next individual of class and split with other words for all three colours, and, where the
    class has several, another kind of marking."""
    size = world.split_size(person.split, person.class_name)
    for step in range(1, size):
        other = world.individual(person.split, person.class_name, (person.index + step) % size)
        colours = zip(colour_names(person), colour_names(other), strict=True)
        kinds_differ = (
            other.marking != person.marking or len(CLASS_MARKINGS[person.class_name]) == 1
        )
        if kinds_differ and all(mine != theirs for mine, theirs in colours):
            return other
    raise ValueError(
        f"no individual of the class {person.class_name} is wholly unlike number {person.index}"
    )


def script_of(case: Case) -> Script:
    """The script of the clip as it is."""
    count = len(case.frames_THWC)
    scenes, motions = (
        np.full(count, world.SCENES.index(case.scene)),
        np.full(count, world.MOTIONS.index(case.motion)),
    )
    return Script(world.batch_of([case.person] * count), scenes, motions, case.seed)


def draw(script: Script) -> np.ndarray:
    """The script's frames, uint8 (T, 64, 64, 3)."""
    count = len(script.people)
    one_each_T1 = np.arange(count)[:, None]
    frames, _ = world.render_clips(
        script.people,
        script.scenes,
        script.motions,
        np.full(count, script.seed),
        count,
        one_each_T1,
    )
    return frames[:, 0]


def colour_names(person: world.Individual) -> tuple[str, str, str]:
    """The palette's words for base, secondary and marking colour."""
    return person.base_name, person.secondary_name, person.marking_name
