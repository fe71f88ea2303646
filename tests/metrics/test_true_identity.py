"""True identity over masks that are known: what a perfect segmenter would give."""

from __future__ import annotations

import numpy as np
import pytest

from vbbench.data import world
from vbbench.data.world.names import MASK_DETAIL, MASK_MARKING
from vbbench.errors import InputError, UsageError
from vbbench.metrics import true_identity as module
from vbbench.metrics.analysis import SMALLEST_REGION, regions_of
from vbbench.metrics.encoders.segmenter import DETAIL, FIRST_MARKING
from vbbench.metrics.encoders.setting import Setting


def rendered(class_name: str, index: int) -> tuple[np.ndarray, np.ndarray, module.Truth]:
    """Frames, the segments a perfect segmenter would find, and the truth."""
    subject = world.individual("test", class_name, index)
    people = world.batch_of([subject])
    frames, masks = world.render_clip(subject, "beach", "right", 5)
    segments = np.where(masks == MASK_MARKING, FIRST_MARKING + int(people.marking[0]), masks)
    return (
        frames,
        np.where(masks == MASK_DETAIL, DETAIL, segments).astype(np.uint8),
        module.truth_of(people, 0),
    )


def identities(frames: np.ndarray, segments: np.ndarray, truth: module.Truth) -> list[float]:
    return module.frame_identities(
        np.stack([regions_of(*pair) for pair in zip(frames, segments, strict=True)]), truth
    )


@pytest.mark.parametrize("class_name", world.CLASSES)
def test_real_clips_of_the_individual_score_near_one(class_name: str) -> None:
    frames, segments, truth = rendered(class_name, 0)
    scores = identities(frames, segments, truth)
    assert len(scores) == len(frames)
    assert min(scores) > 0.8


def test_another_individual_scores_far_lower() -> None:
    same, other = [], []
    for class_name in world.CLASSES:
        frames, segments, truth = rendered(class_name, 0)
        _, _, wrong = rendered(class_name, 1)
        same.append(np.mean(identities(frames, segments, truth)))
        other.append(np.mean(identities(frames, segments, wrong)))
    assert (np.array(same) > np.array(other)).all()
    assert np.mean(same) - np.mean(other) > 0.4


def test_a_frame_without_a_subject_scores_zero() -> None:
    frames, segments, truth = rendered("cat", 2)
    segments[3] = 0
    scores = identities(frames, segments, truth)
    assert scores[3] == 0.0
    assert scores[2] > 0.8


def test_a_few_stray_pixels_are_no_region() -> None:
    frame = np.full((64, 64, 3), 200, np.uint8)
    segments = np.zeros((64, 64), int)
    segments[:20, :20] = 1
    segments[40, : SMALLEST_REGION - 1] = FIRST_MARKING
    row = regions_of(frame, segments)
    np.testing.assert_array_equal(row[1:4], [200, 200, 200])
    assert np.isnan(row[4:10]).all()
    assert row[10:].sum() == 0


def test_colours_are_medians_and_kinds_are_counted() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    segments = np.zeros((64, 64), int)
    segments[:10, :10] = 1
    frame[:10, :10] = 100
    frame[0, :10] = 255  # a bright tenth does not move the median
    segments[20:24, :10], segments[24:26, :10] = FIRST_MARKING + 2, FIRST_MARKING + 4
    row = regions_of(frame, segments)
    assert row[0] == (100 + 60) / 64**2
    np.testing.assert_array_equal(row[1:4], [100, 100, 100])
    assert row[10:].tolist() == [0, 0, 40, 0, 20]


def test_only_subjects_of_the_world_have_a_truth() -> None:
    with pytest.raises(InputError, match="miniature world"):
        module.individual_of(None)
    with pytest.raises(InputError, match="needs split, class and index"):
        module.individual_of({"class": "dog"})
    assert module.individual_of({"split": "test", "class": "dog", "index": 4}) == world.individual(
        "test", "dog", 4
    )
    with pytest.raises(UsageError, match="miniature"):
        module.TrueIdentity(Setting(scale="sd14"))
