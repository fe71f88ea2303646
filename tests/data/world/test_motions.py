"""Motions move the way that captions say, measured on the masks."""

from __future__ import annotations

import numpy as np
import pytest

from vbbench.data.world import CLASSES, MOTIONS, SIZE, individuals, render_clips
from vbbench.data.world.drawings import FRONTAL
from vbbench.data.world.names import MASK_DETAIL

SIDE_VIEWS = [index for index, name in enumerate(CLASSES) if name not in FRONTAL]


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Motion -> frames (9, 8, 64, 64, 3) and masks (9, 8, 64, 64), one individual a class."""
    people = individuals("test", np.arange(9), np.arange(9) + 5)
    return {
        motion: render_clips(people, np.arange(9) % 8, np.full(9, at), np.arange(9) + 50)
        for at, motion in enumerate(MOTIONS)
    }


def centre(masks: np.ndarray, axis: int) -> np.ndarray:
    """Mean row (axis 0) or column (axis 1) of the subject in each frame, (9, 8), in pixels."""
    inside = masks > 0
    places = np.arange(SIZE)[:, None] if axis == 0 else np.arange(SIZE)[None, :]
    return (inside * places).sum((2, 3)) / inside.sum((2, 3))


@pytest.mark.parametrize(("motion", "sign"), [("right", 1), ("left", -1)])
def test_running_crosses_the_frame(clips: dict, motion: str, sign: int) -> None:
    columns = centre(clips[motion][1], 1) * sign
    assert (np.diff(columns) > 1).all()
    np.testing.assert_allclose(columns[:, -1] - columns[:, 0], 0.32 * SIZE, atol=4)
    assert np.ptp(centre(clips[motion][1], 0), axis=1).max() < 2


@pytest.mark.parametrize(("motion", "sign"), [("right", 1), ("left", -1)])
def test_runners_look_where_they_run(clips: dict, motion: str, sign: int) -> None:
    masks = clips[motion][1][SIDE_VIEWS]
    heads = np.array(
        [[np.nonzero(mask == MASK_DETAIL)[1].mean() for mask in clip] for clip in masks]
    )
    car = SIDE_VIEWS.index(CLASSES.index("car"))  # its windows and wheels are details too
    gap = np.delete((heads - centre(masks, 1)) * sign, car, axis=0)
    assert gap.min() > 5


def test_legs_swap_every_second_frame(clips: dict) -> None:
    dog = CLASSES.index("dog")
    masks = clips["right"][1][dog] > 0
    columns = np.round(centre(clips["right"][1], 1)[dog]).astype(int)
    legs = np.stack(
        [
            np.roll(mask, 32 - column, axis=1)[45:]
            for mask, column in zip(masks, columns, strict=True)
        ]
    )
    assert (legs[0] != legs[2]).sum() > 2 * (legs[0] != legs[1]).sum()


def test_jumping_leaves_the_ground_and_lands(clips: dict) -> None:
    masks = clips["jumping"][1]
    height = centre(masks, 0)[:, :1] - centre(masks, 0)
    assert (height[:, [2, 6]] > 8).all()
    np.testing.assert_allclose(height[:, [0, 4]], 0, atol=1)
    assert np.ptp(centre(masks, 1), axis=1).max() < 2


@pytest.mark.parametrize(("motion", "sign"), [("closer", 1), ("away", -1)])
def test_walking_in_depth_changes_the_size(clips: dict, motion: str, sign: int) -> None:
    area = (clips[motion][1] > 0).sum((2, 3)).astype(float)
    assert (np.diff(area) * sign > 0).all()
    ratio = area.max(1) / area.min(1)
    assert ratio.min() > 2.5
    assert np.ptp(centre(clips[motion][1], 1), axis=1).max() < 3


def test_standing_still_does_not_change_a_pixel(clips: dict) -> None:
    frames, masks = clips["standing"]
    assert (frames == frames[:, :1]).all()
    assert (masks == masks[:, :1]).all()


def test_all_other_motions_change_every_frame(clips: dict) -> None:
    for motion in set(MOTIONS) - {"standing"}:
        frames = clips[motion][0].astype(int)
        assert (np.abs(np.diff(frames, axis=1)).mean((2, 3, 4)) > 0.3).all(), motion
