"""Pixels and masks: functions of their arguments alone, of every class, scene and motion, and in
agreement with each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from vbbench.data.world import (
    CLASSES,
    MOTIONS,
    NUM_FRAMES,
    SCENES,
    SIZE,
    batch_of,
    individual,
    individuals,
    render_clip,
    render_clips,
    render_image_prompt,
    render_image_prompts,
)
from vbbench.data.world.drawings import FRONTAL
from vbbench.data.world.names import (
    CLASS_MARKINGS,
    MASK_BASE,
    MASK_DETAIL,
    MASK_MARKING,
    MASK_SECONDARY,
)

SIDE_VIEWS = [name for name in CLASSES if name not in FRONTAL]
RIGHT, STANDING, FIRST = MOTIONS.index("right"), MOTIONS.index("standing"), np.array([[0]])


def one_of_each(index: int = 0):
    return individuals("test", np.arange(len(CLASSES)), np.full(len(CLASSES), index))


def test_the_same_arguments_give_the_same_pixels() -> None:
    dog = individual("test", "dog", 1)
    for first, again in zip(
        render_clip(dog, "beach", "left", 5), render_clip(dog, "beach", "left", 5), strict=True
    ):
        np.testing.assert_array_equal(first, again)
    for first, again in zip(render_image_prompt(dog, 5), render_image_prompt(dog, 5), strict=True):
        np.testing.assert_array_equal(first, again)


def test_each_argument_changes_the_pixels() -> None:
    dog, other = individual("test", "dog", 1), individual("test", "dog", 2)
    frames = render_clip(dog, "beach", "left", 5)[0]
    for arguments in (
        (other, "beach", "left", 5),
        (dog, "snow", "left", 5),
        (dog, "beach", "right", 5),
        (dog, "beach", "left", 6),
    ):
        assert (render_clip(*arguments)[0] != frames).any()
    assert (render_image_prompt(dog, 5)[0] != render_image_prompt(dog, 6)[0]).any()


def test_a_clip_does_not_depend_on_its_batch_or_its_place_in_it() -> None:
    count = 20  # of one class: more pictures than are painted at once
    people = individuals("val", np.full(count, CLASSES.index("horse")), np.arange(count))
    scenes, motions, seeds = np.arange(count) % 8, np.arange(count) % 6, np.arange(count) * 2**40
    frames, masks = render_clips(people, scenes, motions, seeds)
    order = np.array([17, 3])
    some = render_clips(people.take(order), scenes[order], motions[order], seeds[order])
    np.testing.assert_array_equal(some[0], frames[order])
    np.testing.assert_array_equal(some[1], masks[order])
    alone = render_clip(individual("val", "horse", 3), SCENES[3], MOTIONS[3], int(seeds[3]))
    np.testing.assert_array_equal(alone[0], frames[3])


def test_an_image_prompt_does_not_depend_on_its_batch() -> None:
    pictures, masks = render_image_prompts(one_of_each(), np.arange(9))
    for row, name in enumerate(CLASSES):
        picture, mask = render_image_prompt(individual("test", name, 0), row)
        np.testing.assert_array_equal(picture, pictures[row])
        np.testing.assert_array_equal(mask, masks[row])


def test_single_frames_are_those_of_the_whole_clip() -> None:
    cat = individual("test", "cat", 0)
    frames, masks = render_clip(cat, "room", "jumping", 9)
    wanted = np.array([[6, 1]])
    scene, motion = np.array([SCENES.index("room")]), np.array([MOTIONS.index("jumping")])
    picked, picked_masks = render_clips(
        batch_of([cat]), scene, motion, np.array([9]), frame_indices=wanted
    )
    np.testing.assert_array_equal(picked[0], frames[[6, 1]])
    np.testing.assert_array_equal(picked_masks[0], masks[[6, 1]])


def test_shapes_types_and_other_lengths() -> None:
    frames, masks = render_clip(individual("test", "car", 0), "road", "right", 0, num_frames=3)
    assert frames.shape == (3, SIZE, SIZE, 3)
    assert masks.shape == (3, SIZE, SIZE)
    assert frames.dtype == masks.dtype == np.uint8
    assert render_clip(individual("test", "car", 0), "road", "right", 0)[0].shape[0] == NUM_FRAMES


@pytest.mark.parametrize("class_name", CLASSES)
def test_every_scene_and_motion_renders(class_name: str) -> None:
    grid = np.stack(
        np.meshgrid(np.arange(len(SCENES)), np.arange(len(MOTIONS)), indexing="ij")
    ).reshape(2, -1)
    people = individuals(
        "train", np.full(grid.shape[1], CLASSES.index(class_name)), np.arange(grid.shape[1])
    )
    frames, masks = render_clips(
        people,
        *grid,
        np.zeros(grid.shape[1], dtype=int),
        frame_indices=np.full((grid.shape[1], 1), 3),
    )
    covered = (masks > 0).mean((1, 2, 3))
    assert covered.min() > 0.04
    assert covered.max() < 0.5
    for value in (MASK_BASE, MASK_SECONDARY, MASK_DETAIL):
        assert (masks == value).any((1, 2, 3)).all()
    backgrounds = (
        frames[:, 0, :2].reshape(len(SCENES), len(MOTIONS), -1).astype(int)
    )  # no subject reaches the first rows
    assert (backgrounds == backgrounds[:, :1]).all()
    for scene in range(len(SCENES)):
        gaps = np.abs(backgrounds[scene, 0] - backgrounds[:, 0]).mean(1)
        assert (gaps > 3).sum() == len(SCENES) - 1


def clips_of_two(scene: int, motion: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same clip of two individuals of each class: frames (9, 2, K, 64, 64, 3) and masks."""
    what, wanted = [np.full(9, value) for value in (scene, motion, seed)], np.tile([0, 5], (9, 1))
    parts = [render_clips(one_of_each(index), *what, frame_indices=wanted) for index in (0, 1)]
    frames, masks = (np.stack(part, axis=1) for part in zip(*parts, strict=True))
    return frames, masks


@pytest.mark.parametrize("scene", ["grass", "night", "room"])
def test_what_the_mask_leaves_out_is_the_scene_whoever_stands_in_it(scene: str) -> None:
    frames, masks = clips_of_two(SCENES.index(scene), RIGHT, 4)
    edge = np.ones((1, 1, 3, 3), dtype=bool)  # a pixel that the subject covers by less than a half
    touched = binary_dilation((masks > 0).any(1), edge)
    np.testing.assert_array_equal(frames[:, 0][~touched], frames[:, 1][~touched])
    inside = binary_erosion((masks > 0).all(1), edge)
    assert (frames[:, 0][inside] != frames[:, 1][inside]).any(-1).mean() > 0.5


def test_the_background_stands_still_while_the_subject_moves() -> None:
    frames, masks = render_clip(individual("test", "tiger", 0), "desert", "right", 2)
    above = slice(0, 50)  # the shadow, which moves too, lies lower
    free = ~binary_dilation((masks > 0).any(0), iterations=1)[above]
    assert free.mean() > 0.3
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame[above][free], frames[0][above][free])


@pytest.mark.parametrize("class_name", CLASSES)
def test_masked_pixels_wear_the_individuals_colours(class_name: str) -> None:
    people = [individual("test", class_name, index) for index in range(6)]
    count = len(people)
    frames, masks = render_clips(
        batch_of(people),
        np.arange(count),
        np.full(count, STANDING),
        np.arange(count),
        frame_indices=np.repeat(FIRST, count, 0),
    )
    for person, frame, mask in zip(people, frames[:, 0], masks[:, 0], strict=True):
        colours = {
            MASK_BASE: person.base,
            MASK_SECONDARY: person.secondary,
            MASK_MARKING: person.marking_colour,
        }
        for value, colour in colours.items():
            inside = binary_erosion(mask == value, np.ones((3, 3)))
            if inside.sum() < 12:
                continue
            shade = np.median(frame[inside], axis=0) / np.array(colour)
            assert shade.min() > 0.6, (
                person,
                value,
            )  # far legs are darker, what is low is a little darker
            assert shade.max() < 1.15, (person, value)


SADDLED_CAR = pytest.param(
    "car",
    marks=pytest.mark.xfail(
        reason="a saddle lies above the only marked part of a car", strict=True
    ),
)


@pytest.mark.parametrize("class_name", [SADDLED_CAR if name == "car" else name for name in CLASSES])
def test_every_marking_shows_on_the_base(class_name: str) -> None:
    """On two individuals with each marking that the class may wear."""
    people = [individual("test", class_name, index) for index in range(60)]
    wearers = [
        person
        for kind in CLASS_MARKINGS[class_name]
        for person in [p for p in people if p.marking == kind][:2]
    ]
    _, masks = render_image_prompts(batch_of(wearers), np.arange(len(wearers)))
    for person, mask in zip(wearers, masks, strict=True):
        around = binary_dilation(mask == MASK_MARKING) & (mask != MASK_MARKING)
        assert (mask[around] == MASK_BASE).any(), person
        assert 0.02 < (mask == MASK_MARKING).sum() / (mask > 0).sum() < 0.7, person


@pytest.mark.parametrize("motion", ["right", "left", "jumping"])
def test_most_of_the_subject_stays_in_the_frame(motion: str) -> None:
    seeds = np.arange(9) + 100
    whole = (
        render_clips(
            one_of_each(),
            seeds % 8,
            np.full(9, STANDING),
            seeds,
            frame_indices=np.repeat(FIRST, 9, 0),
        )[1]
        > 0
    ).sum((2, 3))
    seen = (
        render_clips(one_of_each(), seeds % 8, np.full(9, MOTIONS.index(motion)), seeds)[1] > 0
    ).sum((2, 3))
    assert (seen / whole).min() > 0.6  # the same seed draws the subject in the same size


def test_side_views_fill_about_three_fifths_of_the_width() -> None:
    rows = np.array([CLASSES.index(name) for name in SIDE_VIEWS for _ in range(4)])
    people, seeds = individuals("test", rows, np.arange(len(rows))), np.arange(len(rows))
    _, masks = render_clips(
        people,
        seeds % 8,
        np.full(len(rows), STANDING),
        seeds,
        frame_indices=np.repeat(FIRST, len(rows), 0),
    )
    widths = (masks[:, 0] > 0).any(1).sum(1) / SIZE
    assert widths.min() > 0.5
    assert widths.max() < 0.72
    assert widths.mean() == pytest.approx(0.6, abs=0.06)
