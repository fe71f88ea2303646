"""Damage of known size: real clips of the miniature world, made worse by so much.

A level counts something, in its damage's unit; level 0 is the clip itself, bit for bit. What a
damage draws by chance (which colour, which frames) comes from the seed alone, so that the levels of
one clip go the same way, each further than the one before.

Shape suffixes: T frames, H/W pixels, C channels, N colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vbbench.data import world
from vbbench.metrics.validation.cases import Case, Script, colour_names, draw, script_of

ATTRIBUTES = ("base colour", "secondary colour", "marking colour", "marking", "proportions")
PROPORTIONS = 2
"""So many of an individual's shape parameters are its body's; the others are its marking's."""
FARTHEST = 4
"""`colours` moves a colour towards one of so many of the palette, those farthest from it: all
farther than its largest level."""
FRAMES = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)

Change = Callable[[Case, float, np.random.Generator], "Script | np.ndarray"]


@dataclass(frozen=True)
class Damage:
    """One way to make a clip worse.

    Attributes:
        name, title, unit: how it is called, and what its levels count.
        levels: from 0 up.
        harms: the truths (see `vbbench.metrics.validation.claims`) of which less is left at each
            level.
        unsure: truths of which nobody can say whether they suffer; all others are kept.
        change: new frames, or a new script to draw them from.
    """

    name: str
    title: str
    unit: str
    levels: tuple[float, ...]
    harms: frozenset[str]
    unsure: frozenset[str]
    change: Change

    def apply(
        self, case: Case, level: float, seed: int
    ) -> tuple[np.ndarray, world.IndividualBatch]:
        """The damaged clip, uint8 (T, 64, 64, 3), and whom each of its frames shows (T
        individuals)."""
        script = script_of(case)
        if level == 0:
            return case.frames_THWC, script.people
        changed = self.change(case, level, np.random.default_rng(seed))
        return (
            (draw(changed), changed.people)
            if isinstance(changed, Script)
            else (changed, script.people)
        )


def attributes(case: Case, level: float, rng: np.random.Generator) -> Script:
    """``level`` of `ATTRIBUTES` are the other individual's."""
    script, (mine, theirs) = (
        script_of(case),
        (world.batch_of([who]) for who in (case.person, case.other)),
    )
    colours, marking, shape = mine.colours.copy(), mine.marking, mine.shape.copy()
    for place in rng.permutation(len(ATTRIBUTES))[: int(level)]:
        if place < 3:
            colours[0, place] = theirs.colours[0, place]
        elif ATTRIBUTES[place] == "marking":
            marking, shape[0, PROPORTIONS:] = theirs.marking, theirs.shape[0, PROPORTIONS:]
        else:
            shape[0, :PROPORTIONS] = theirs.shape[0, :PROPORTIONS]
    person = replace(mine, colours=colours, marking=marking, shape=shape)
    return replace(script, people=person.take(np.zeros(len(script.people), dtype=int)))


def colours(case: Case, level: float, rng: np.random.Generator) -> Script:
    """Each of the three colours is moved by a CIEDE2000 distance of ``level``, straight through
    CIELAB towards a colour of the palette that the individual does not have."""
    script = script_of(case)
    strange_NC = np.array(
        [rgb for name, rgb in world.PALETTE.items() if name not in colour_names(case.person)]
    )
    moved = script.people.colours.copy()
    for place in range(3):
        order = np.argsort(colour_distances(moved[0, place], strange_NC))
        moved[:, place] = move_colour(
            moved[0, place], strange_NC[rng.choice(order[-FARTHEST:])], level
        )
    return replace(script, people=replace(script.people, colours=moved))


def move_colour(colour_C: np.ndarray, towards_C: np.ndarray, distance: float) -> np.ndarray:
    """The colour on the way, uint8 RGB, whose CIEDE2000 distance from where it began is nearest to
    the one wanted: within about 1."""
    from skimage.color import lab2rgb, rgb2lab

    start, end = (
        rgb2lab(np.asarray(colour, dtype=np.float64) / 255) for colour in (colour_C, towards_C)
    )
    way = lab2rgb(start + np.linspace(0, 1, 1001)[:, None] * (end - start))
    way_NC = np.clip(np.round(way * 255), 0, 255).astype(np.uint8)
    return way_NC[np.abs(colour_distances(colour_C, way_NC) - distance).argmin()]


def colour_distances(colour_C: np.ndarray, others_NC: np.ndarray) -> np.ndarray:
    """CIEDE2000 distance of each of N colours from one, all RGB in 0..255."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    one, others = (
        rgb2lab(np.asarray(colour, dtype=np.float64) / 255) for colour in (colour_C, others_NC)
    )
    return deltaE_ciede2000(np.broadcast_to(one, others.shape), others)


def swapped(case: Case, level: float, rng: np.random.Generator) -> Script:
    """The last ``level`` frames show the other individual."""
    people = world.batch_of([case.person, case.other])
    return replace(script_of(case), people=people.take(_late(case, level).astype(int)))


def classes(case: Case, level: float, rng: np.random.Generator) -> Script:
    """The last ``level`` frames show the body of another class, in the same colours and marking."""
    script = script_of(case)
    index = np.where(
        _late(case, level),
        _another(world.CLASSES, case.person.class_name, rng),
        script.people.class_index,
    )
    return replace(script, people=replace(script.people, class_index=index))


def scenes(case: Case, level: float, rng: np.random.Generator) -> Script:
    """The last ``level`` frames lie in another scene."""
    script = script_of(case)
    return replace(
        script,
        scenes=np.where(_late(case, level), _another(world.SCENES, case.scene, rng), script.scenes),
    )


def motions(case: Case, level: float, rng: np.random.Generator) -> Script:
    """The last ``level`` frames are those of another motion."""
    script = script_of(case)
    return replace(
        script,
        motions=np.where(
            _late(case, level), _another(world.MOTIONS, case.motion, rng), script.motions
        ),
    )


def _late(case: Case, level: float) -> np.ndarray:
    """Which frames are among the last ``level``, (T,) bool."""
    count = len(case.frames_THWC)
    return np.arange(count) >= count - level


def _another(words: tuple[str, ...], but: str, rng: np.random.Generator) -> int:
    return (words.index(but) + int(rng.integers(1, len(words)))) % len(words)


def blur(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur of ``level`` pixels standard deviation in every frame."""
    from scipy.ndimage import gaussian_filter

    return _to_pixels(
        gaussian_filter(case.frames_THWC.astype(np.float64), (0, level, level, 0), mode="nearest")
    )


def noise(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of ``level`` grey levels standard deviation, drawn anew for every pixel,
    channel and frame."""
    return _to_pixels(case.frames_THWC + level * rng.standard_normal(case.frames_THWC.shape))


def flicker(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """Each frame's brightness is multiplied by its own gain; mean 1 and standard deviation
    ``level`` over the frames."""
    gains_T = 1 + level * _standardised(rng, len(case.frames_THWC))
    return _to_pixels(case.frames_THWC * np.maximum(gains_T, 0)[:, None, None, None])


def colour_flicker(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """Each frame's red, green and blue are shifted; mean 0 and standard deviation ``level`` grey
    levels over the frames."""
    shifts_TC = level * np.stack(
        [_standardised(rng, len(case.frames_THWC)) for _ in range(3)], axis=1
    )
    return _to_pixels(case.frames_THWC + shifts_TC[:, None, None, :])


def _standardised(rng: np.random.Generator, count: int) -> np.ndarray:
    drawn = rng.standard_normal(count)
    return (drawn - drawn.mean()) / drawn.std()


def _to_pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def shuffled(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """``level`` frames have changed places, none of them standing where it stood."""
    places = np.sort(rng.permutation(len(case.frames_THWC))[: int(level)])
    order = rng.permutation(places)
    while (order == places).any():
        order = rng.permutation(places)
    frames = case.frames_THWC.copy()
    frames[places] = case.frames_THWC[order]
    return frames


def frozen(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """In the last ``level`` of the T - 1 steps from frame to frame the picture stands still."""
    count = len(case.frames_THWC)
    return case.frames_THWC[np.minimum(np.arange(count), count - 1 - int(level))]


def copied(case: Case, level: float, rng: np.random.Generator) -> np.ndarray:
    """The last ``level`` frames are the image prompt itself."""
    return np.where(_late(case, level)[:, None, None, None], case.prompt_HWC, case.frames_THWC)


def _damage(
    name: str,
    title: str,
    unit: str,
    levels: tuple[float, ...],
    harms: str,
    change: Change,
    *,
    unsure: tuple[str, ...] = (),
) -> Damage:
    return Damage(name, title, unit, levels, frozenset(harms.split()), frozenset(unsure), change)


_CUT = ("steadiness", "pace")  # where frames of two kinds meet, the picture jumps
DAMAGES: dict[str, Damage] = {
    damage.name: damage
    for damage in (
        _damage(
            "attributes",
            "Attributes changed",
            "attributes of 5",
            (0, 1, 2, 3, 4, 5),
            "identity",
            attributes,
        ),
        _damage(
            "colours", "Colours moved", "CIEDE2000", (0, 4, 8, 14, 20, 28), "identity", colours
        ),
        _damage(
            "swapped", "Another individual", "frames of 8", FRAMES, "identity", swapped, unsure=_CUT
        ),
        _damage(
            "class",
            "Another class",
            "frames of 8",
            FRAMES,
            "class",
            classes,
            unsure=(*_CUT, "identity"),
        ),
        _damage("scene", "Another scene", "frames of 8", FRAMES, "scene", scenes, unsure=_CUT),
        _damage("motion", "Another motion", "frames of 8", FRAMES, "motion", motions, unsure=_CUT),
        _damage(
            "blur",
            "Blur",
            "pixels, sd",
            (0, 0.5, 1, 1.5, 2, 3),
            "quality",
            blur,
            unsure=("identity", "class", "scene"),
        ),
        _damage(
            "noise",
            "Noise",
            "grey levels, sd",
            (0, 4, 8, 16, 32, 64),
            "quality steadiness",
            noise,
            unsure=("identity", "class", "scene"),
        ),
        _damage(
            "flicker",
            "Flicker",
            "gain, sd",
            (0, 0.05, 0.1, 0.2, 0.3, 0.4),
            "steadiness",
            flicker,
            unsure=("identity",),
        ),
        _damage(
            "colour-flicker",
            "Colour flicker",
            "grey levels, sd",
            (0, 4, 8, 16, 32, 48),
            "steadiness",
            colour_flicker,
            unsure=("identity",),
        ),
        _damage(
            "shuffled",
            "Frames shuffled",
            "frames of 8",
            (0, 2, 3, 4, 6, 8),
            "steadiness motion",
            shuffled,
            unsure=("pace",),
        ),
        _damage("frozen", "Frames frozen", "steps of 7", (0, 1, 2, 3, 5, 7), "motion pace", frozen),
        _damage(
            "copied",
            "Image prompt pasted in",
            "frames of 8",
            FRAMES,
            "scene motion",
            copied,
            unsure=_CUT,
        ),
    )
}
