"""Image prompts: the whole subject on white, in another pose than any clip shows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from vbbench.data.world import (
    CLASSES,
    MOTIONS,
    SCENES,
    SIZE,
    individual,
    individuals,
    render_clips,
    render_image_prompts,
    split_size,
)
from vbbench.data.world.names import MASK_DETAIL

COUNT = 40


@pytest.fixture(scope="module", params=CLASSES)
def prompts(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks of many individuals of one class, each from its own seed."""
    index = np.arange(COUNT) * 7 % split_size("test", request.param)
    people = individuals("test", np.full(COUNT, CLASSES.index(request.param)), index)
    return render_image_prompts(people, np.arange(COUNT) * 1_000_003)


def test_the_ground_is_white(prompts: tuple[np.ndarray, np.ndarray]) -> None:
    pictures, masks = prompts
    edge = np.ones((1, 3, 3), dtype=bool)
    assert (pictures[~binary_dilation(masks > 0, edge)] == 255).all()


def test_the_whole_subject_is_in_the_picture(prompts: tuple[np.ndarray, np.ndarray]) -> None:
    _, masks = prompts
    border = np.ones((SIZE, SIZE), dtype=bool)
    border[1:-1, 1:-1] = False
    assert not (masks[:, border] > 0).any()


def test_the_subject_fills_the_picture(prompts: tuple[np.ndarray, np.ndarray]) -> None:
    _, masks = prompts
    inside = masks > 0
    sides = np.maximum(inside.any(1).sum(1), inside.any(2).sum(1)) / SIZE
    assert sides.min() > 0.6
    assert (inside.mean((1, 2)) > 0.13).all()


def test_poses_differ_from_seed_to_seed(prompts: tuple[np.ndarray, np.ndarray]) -> None:
    _, masks = prompts
    inside = (masks > 0).reshape(COUNT, -1)
    overlap = (inside[:1] & inside[1:]).sum(1) / (inside[:1] | inside[1:]).sum(1)
    assert len(np.unique(inside, axis=0)) == COUNT
    assert np.median(overlap) < 0.9


def test_subjects_look_both_ways() -> None:
    """An elephant's tusk and eye are on the side to which it looks."""
    people = individuals("test", np.full(COUNT, CLASSES.index("elephant")), np.arange(COUNT))
    masks = render_image_prompts(people, np.arange(COUNT))[1]
    columns = np.arange(SIZE)[None, :] - SIZE / 2
    face = masks == MASK_DETAIL
    looks_right = (face * columns).sum((1, 2)) > 0
    assert 0.25 < looks_right.mean() < 0.75


def test_subjects_are_turned_by_up_to_seventeen_degrees() -> None:
    """The angle of a car's long axis, from the second moments of its mask."""
    people = individuals("test", np.full(COUNT, CLASSES.index("car")), np.arange(COUNT))
    masks = render_image_prompts(people, np.arange(COUNT))[1]
    angles = np.array([_long_axis(mask > 0) for mask in masks])
    assert -22 < angles.min() < -8
    assert 8 < angles.max() < 22


def _long_axis(inside: np.ndarray) -> float:
    """Degrees above the horizontal, within 90."""
    rows, columns = np.nonzero(inside)
    _, vectors = np.linalg.eigh(np.cov(columns, -rows))
    x, y = vectors[:, 1]
    return float(np.degrees(np.arctan(y / x)))


def test_no_clip_shows_the_prompts_pose() -> None:
    dog = individual("test", "dog", 0)
    people = individuals(
        "test", np.full(len(MOTIONS), CLASSES.index("dog")), np.zeros(len(MOTIONS), dtype=int)
    )
    frames, _ = render_clips(
        people,
        np.arange(len(MOTIONS)) % len(SCENES),
        np.arange(len(MOTIONS)),
        np.arange(len(MOTIONS)),
    )
    picture = render_image_prompts(
        individuals("test", np.array([3]), np.array([dog.index])), np.array([0])
    )[0][0]
    assert np.abs(frames.astype(int) - picture).mean((2, 3, 4)).min() > 20
