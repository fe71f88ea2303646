"""What is known to be better must score better: the arithmetic of the check, and the shipped
encoders held against real clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vbbench.core import paths
from vbbench.data import world
from vbbench.errors import WeightsError
from vbbench.metrics.encoders import encoders
from vbbench.metrics.validation import real_videos

ENCODER_WEIGHTS = ("clip", "dino", "segmenter")


def test_same_against_other_over_a_case_done_by_hand() -> None:
    prompts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    clips = torch.tensor(
        [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [0.0, 3.0]], [[1.0, 0.0], [1.0, 0.0]]]
    )
    figures = real_videos.same_against_other(
        prompts, clips, torch.tensor([0, 0, 1])
    )  # the third is alone in its class
    assert figures == pytest.approx(
        {"same": 0.75, "other": 0.25, "margin": 0.5, "pairs": 1.0, "top1": 1.0}
    )
    ties = real_videos.same_against_other(
        torch.ones(2, 2), torch.ones(2, 1, 2), torch.tensor([0, 0])
    )
    assert ties["pairs"] == 0.0  # equal is not nearer


def test_read_rate_counts_the_nearest_text() -> None:
    frames = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    choices = torch.eye(2).expand(3, 2, 2)
    assert real_videos.read_rate(frames, choices, np.array([0, 1, 1])) == pytest.approx(2 / 3)


def test_held_out_clips_are_of_the_split_and_the_same_at_every_call() -> None:
    one, two = (real_videos.held_out_clips("test", per_class=1) for _ in range(2))
    np.testing.assert_array_equal(one.frames, two.frames)
    assert one.frames.shape == (9, 8, 64, 64, 3)
    assert tuple(one.people.colours[3][0]) == world.individual("test", world.CLASSES[3], 0).base


def test_the_check_runs_on_any_weights(untrained) -> None:
    figures = real_videos.real_video_check(per_class=2)
    assert {
        "clip-image/margin",
        "dino/pairs",
        "class",
        "scene",
        "consistency/shuffled",
        "true-identity/same",
    } <= set(figures)
    assert all(np.isfinite(value) for value in figures.values())


@pytest.fixture(scope="module")
def shipped() -> dict[str, float]:
    """The check over the weights that come with the package."""
    try:
        for name in ENCODER_WEIGHTS:
            paths.weights_path(name)
    except WeightsError as error:
        pytest.skip(str(error))
    encoders.forget_encoders()
    return real_videos.real_video_check("test", per_class=5)


@pytest.mark.parametrize("metric", ["clip-image", "dino"])
def test_the_same_individual_scores_above_another_of_its_class(
    shipped: dict[str, float], metric: str
) -> None:
    assert shipped[f"{metric}/margin"] > 0.1
    assert shipped[f"{metric}/pairs"] > 0.9


def test_class_and_scene_are_read_from_real_frames(shipped: dict[str, float]) -> None:
    assert shipped["class"] > 0.95
    assert shipped["scene"] > 0.95


def test_shuffled_frames_are_less_consistent(shipped: dict[str, float]) -> None:
    assert shipped["consistency/shuffled"] < shipped["consistency"]


def test_the_segmenter_finds_subjects_and_their_identity(shipped: dict[str, float]) -> None:
    assert shipped["iou"] >= 0.85
    assert shipped["true-identity/same"] > shipped["true-identity/other"] + 0.25
    assert shipped["true-identity/pairs"] > 0.95
