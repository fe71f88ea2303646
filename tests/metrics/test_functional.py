"""The formulas, held against plain numpy written without a look at them."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vbbench.metrics import functional


def numpy_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / (math.sqrt((a * a).sum()) * math.sqrt((b * b).sum())))


def embeddings(seed: int, rows: int, width: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), frames=st.integers(2, 9), references=st.integers(1, 4))
def test_cosine_metrics_equal_their_numpy_references(
    seed: int, frames: int, references: int
) -> None:
    clip, others = embeddings(seed, frames), embeddings(seed + 1, references)
    against_all = np.mean([[numpy_cosine(frame, other) for other in others] for frame in clip])
    against_first = np.mean([numpy_cosine(frame, others[0]) for frame in clip])
    consecutive = np.mean([numpy_cosine(clip[i], clip[i + 1]) for i in range(frames - 1)])
    tensor, references_t = torch.from_numpy(clip), torch.from_numpy(others)
    assert float(functional.cosine_to_each(tensor, references_t).mean()) == pytest.approx(
        against_all, abs=1e-6
    )
    assert float(functional.cosine_to_each(tensor, references_t[:1]).mean()) == pytest.approx(
        against_first, abs=1e-6
    )
    assert float(functional.consecutive_cosines(tensor).mean()) == pytest.approx(
        consecutive, abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), frames=st.integers(2, 9))
def test_pairs_equal_their_numpy_references(seed: int, frames: int) -> None:
    clip = embeddings(seed, frames)
    tensor = torch.from_numpy(clip)
    with_first = [numpy_cosine(clip[0], clip[i]) for i in range(1, frames)]
    every = [numpy_cosine(clip[i], clip[j]) for i in range(frames) for j in range(i + 1, frames)]
    vbench = [
        (max(0, numpy_cosine(clip[i - 1], clip[i])) + max(0, numpy_cosine(clip[0], clip[i]))) / 2
        for i in range(1, frames)
    ]
    for function, expected in (
        (functional.first_frame_cosines, with_first),
        (functional.all_pairs_cosines, every),
        (functional.subject_consistency, vbench),
    ):
        np.testing.assert_allclose(function(tensor).numpy(), expected, atol=1e-6)


def test_cosines_keep_their_sign_and_do_not_see_length() -> None:
    clip = torch.tensor([[1.0, 0.0], [100.0, 0.0]])
    assert float(functional.cosine_to_each(clip, torch.tensor([[-3.0, 0.0]])).mean()) == -1.0
    assert float(functional.consecutive_cosines(clip).mean()) == 1.0


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (functional.consecutive_cosines, (torch.ones(1, 4),)),
        (functional.first_frame_cosines, (torch.ones(1, 4),)),
        (functional.all_pairs_cosines, (torch.ones(1, 4),)),
        (functional.subject_consistency, (torch.ones(1, 4),)),
        (functional.cosine_to_each, (torch.ones(2, 4), torch.ones(0, 4))),
        (functional.cosine_to_each, (torch.ones(0, 4), torch.ones(1, 4))),
        (functional.cosine_to_each, (torch.ones(2, 4), torch.ones(1, 5))),
        (functional.flow_magnitudes, (np.zeros((1, 8, 8, 3), np.uint8), 8)),
        (functional.flow_magnitudes, (np.zeros((2, 8, 8, 3), np.uint8), 0)),
    ],
)
def test_what_has_no_value_is_said(function, arguments) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        function(*arguments)


def motion(frames: np.ndarray, fps: float) -> float:
    return float(functional.flow_magnitudes(frames, fps).mean())


def sliding(pixels_per_frame: float, frames: int = 5, size: int = 64) -> np.ndarray:
    """A smooth texture that moves to the right as a whole."""
    y, x = np.mgrid[:size, :size].astype(float)
    clip = []
    for t in range(frames):
        shifted = x - pixels_per_frame * t
        value = (
            128
            + 60 * np.sin(shifted * 0.45) * np.cos(y * 0.37)
            + 40 * np.sin(0.21 * shifted + 0.33 * y)
        )
        clip.append(np.repeat(value[..., None], 3, axis=2))
    return np.clip(np.round(np.stack(clip)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, -2.0])
def test_motion_is_the_speed_whatever_its_direction(speed: float) -> None:
    expected = abs(speed) * 8 / 64  # short sides a second at 8 frames a second
    assert float(motion(sliding(speed), fps=8)) == pytest.approx(expected, rel=0.12)


def test_motion_counts_time_and_size_not_frames_and_pixels() -> None:
    clip = sliding(1.0, frames=9)
    assert float(motion(clip[::2], fps=4)) == pytest.approx(float(motion(clip, fps=8)), rel=0.1)
    larger = clip.repeat(2, axis=1).repeat(2, axis=2)
    assert float(motion(larger, fps=8)) == pytest.approx(float(motion(clip, fps=8)), rel=0.25)


def test_a_still_picture_does_not_move() -> None:
    assert float(motion(np.repeat(sliding(0, frames=1), 4, axis=0), fps=8)) == 0.0


def test_motion_is_quick_enough_to_be_always_there() -> None:
    clip = sliding(1.0, frames=8)
    motion(clip, fps=8)
    began = time.process_time()
    for _ in range(3):
        motion(clip, fps=8)
    assert (time.process_time() - began) / 3 < 0.15  # 35 ms on a quiet core


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to CIELAB under D65, from the standard's formulas."""
    v = np.asarray(rgb, dtype=float) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    xyz = (
        np.array(
            [
                [0.4124564, 0.3575761, 0.1804375],
                [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ]
        )
        @ linear
    )
    ratio = xyz / np.array([0.95047, 1.0, 1.08883])
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_colour_difference_along_grey_is_a_known_closed_form() -> None:
    """Between greys CIEDE2000 is only the lightness term: dL / (1 + 0.015 (L-50)^2 / sqrt(20 +
    (L-50)^2))."""
    for first, second in ((0, 255), (100, 140), (30, 35)):
        one, two = lab(np.full(3, first))[0], lab(np.full(3, second))[0]
        middle = ((one + two) / 2 - 50) ** 2
        expected = abs(one - two) / (1 + 0.015 * middle / math.sqrt(20 + middle))
        assert functional.colour_difference(np.full(3, first), np.full(3, second)) == pytest.approx(
            expected, abs=0.05
        )


TRUTH = {
    "base": np.array([213.0, 58, 56]),
    "secondary": np.array([58.0, 104, 214]),
    "marking": np.array([246.0, 232, 202]),
}
KIND = np.array([0, 30, 4, 0, 0])


def test_the_same_individual_scores_one() -> None:
    assert functional.true_identity(dict(TRUTH), KIND, TRUTH, 1) == pytest.approx(1.0)
    assert sum(functional.IDENTITY_WEIGHTS.values()) == pytest.approx(1.0)


def test_true_identity_equals_its_formula_written_out() -> None:
    seen = {
        "base": np.array([200.0, 70, 60]),
        "secondary": np.array([84.0, 168, 76]),
        "marking": None,
    }
    difference = {
        region: functional.colour_difference(seen[region], TRUTH[region])
        for region in ("base", "secondary")
    }
    expected = 0.35 * math.exp(-difference["base"] / 12) + 0.25 * math.exp(
        -difference["secondary"] / 12
    )
    assert functional.true_identity(seen, np.zeros(5), TRUTH, 1) == pytest.approx(expected)
    assert functional.true_identity(seen, KIND, TRUTH, 1) == pytest.approx(expected + 0.2)
    assert functional.true_identity(seen, KIND, TRUTH, 2) == pytest.approx(expected)


def test_nothing_found_scores_zero_and_wrong_colours_little() -> None:
    nothing = dict.fromkeys(TRUTH)
    assert functional.true_identity(nothing, np.zeros(5), TRUTH, 0) == 0.0
    swapped = {"base": TRUTH["secondary"], "secondary": TRUTH["marking"], "marking": TRUTH["base"]}
    assert functional.true_identity(swapped, KIND, TRUTH, 0) < 0.1


def test_no_pixel_is_seen_to_move_further_than_the_method_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's answer on flat ground has no bound."""
    import skimage.registration

    monkeypatch.setattr(
        skimage.registration,
        "optical_flow_ilk",
        lambda a, b, **_: np.full((2, *a.shape), 1e6, np.float32),
    )
    assert motion(sliding(1.0), fps=8) == pytest.approx(8 * functional.FLOW_LONGEST)
