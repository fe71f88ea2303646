"""Each change of an image prompt has its effect, and white comes in from outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vbbench.data.videos.layout import cut_out
from vbbench.training.real.clips import augmented, cropped
from vbbench.training.real.draws import Augmentation

NONE = Augmentation(side="top", crop=0.0, flip=False, degrees=0.0, shift=(0.0, 0.0), scale=1.0)
S = 64


def square() -> np.ndarray:
    """A dark block right of the middle, at half height, on white."""
    picture = np.full((S, S, 3), 255, np.uint8)
    picture[28:36, 44:52] = (10, 60, 110)
    return picture


def middle(picture: np.ndarray) -> tuple[float, float, float]:
    """Centre (x, y from the middle of the picture) and area of what is not white."""
    dark = (255.0 - picture.mean(2)) / (255 - 60)
    y, x = np.mgrid[:S, :S] + 0.5 - S / 2
    return (
        float((dark * x).sum() / dark.sum()),
        float((dark * y).sum() / dark.sum()),
        float(dark.sum()),
    )


def test_nothing_drawn_changes_nothing() -> None:
    np.testing.assert_array_equal(augmented(square(), NONE), square())


def test_flip_exchanges_left_and_right() -> None:
    np.testing.assert_array_equal(augmented(square(), replace(NONE, flip=True)), square()[:, ::-1])


@pytest.mark.parametrize(
    ("shift", "place"),
    [((0.1, 0.0), (22.4, 0.0)), ((-0.1, 0.05), (9.6, 3.2)), ((0.0, -0.1), (16.0, -6.4))],
)
def test_shift_is_to_the_right_and_down(shift: tuple, place: tuple) -> None:
    x, y, area = middle(augmented(square(), replace(NONE, shift=shift)))
    assert (x, y) == pytest.approx(place, abs=0.05)
    assert area == pytest.approx(64, rel=0.01)


@pytest.mark.parametrize("degrees", [-30.0, 10.0, 30.0])
def test_turn_is_against_the_clock(degrees: float) -> None:
    x, y, area = middle(augmented(square(), replace(NONE, degrees=degrees)))
    angle = np.radians(degrees)
    assert (x, y) == pytest.approx((16 * np.cos(angle), -16 * np.sin(angle)), abs=0.1)
    assert area == pytest.approx(64, rel=0.03)


@pytest.mark.parametrize("scale", [0.8, 1.2])
def test_scale_is_around_the_middle(scale: float) -> None:
    x, y, area = middle(augmented(square(), replace(NONE, scale=scale)))
    assert (x, y) == pytest.approx((16 * scale, 0), abs=0.1)
    assert area == pytest.approx(64 * scale**2, rel=0.03)


def test_all_at_once_are_flip_then_turn_and_scale_then_shift() -> None:
    change = Augmentation("left", 0.1, True, 20.0, (0.05, -0.02), 0.9)
    x, y, _ = middle(augmented(square(), change))
    angle = np.radians(20)
    expected = -16 * 0.9 * np.cos(angle) + 0.05 * S, 16 * 0.9 * np.sin(angle) - 0.02 * S
    assert (x, y) == pytest.approx(expected, abs=0.1)


def test_what_comes_in_is_white() -> None:
    dark = np.zeros((S, S, 3), np.uint8)
    seen = augmented(dark, replace(NONE, degrees=30.0, shift=(0.1, 0.1), scale=0.8))
    assert set(np.unique(seen[:4])) == {255}
    assert set(np.unique(seen[:, :4])) == {255}
    assert (seen[S // 2, S // 2] == 0).all()


@pytest.mark.parametrize(
    ("side", "box"),
    [
        ("top", (10, 22, 30, 60)),
        ("bottom", (10, 20, 30, 58)),
        ("left", (11, 20, 30, 60)),
        ("right", (10, 20, 29, 60)),
    ],
)
def test_one_side_of_the_box_is_cropped(side: str, box: tuple) -> None:
    assert cropped((10, 20, 30, 60), replace(NONE, side=side, crop=0.05)) == pytest.approx(box)


def test_crop_takes_the_subject_off_at_that_side() -> None:
    frame, mask = np.full((80, 80, 3), 9, np.uint8), np.ones((80, 80), bool)
    cut = cut_out(frame, mask, cropped((0, 0, 80, 80), replace(NONE, side="left", crop=0.2)))
    assert cut.shape == (80, 80, 3)
    assert (cut[:, :8] == 255).all()
    assert (cut[:, 72:] == 255).all()
    assert (cut[:, 8:72] == 9).all()


def test_same_change_same_bits() -> None:
    change = Augmentation("left", 0.1, True, 17.0, (0.05, -0.02), 0.9)
    noise = np.random.default_rng(0).integers(0, 256, (S, S, 3), dtype=np.uint8)
    before = noise.copy()
    np.testing.assert_array_equal(augmented(noise, change), augmented(noise, change))
    np.testing.assert_array_equal(noise, before)
