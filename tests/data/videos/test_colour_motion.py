"""The segmenter without weights, against true masks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.videos.clips import iou, pan, rendered
from vbbench.data.videos.segmenters import make_segmenter

SEGMENTER = make_segmenter("colour-motion", {})


def test_rendered_clips_in_plain_scenes() -> None:
    values = []
    for place in range(27):
        name, frames, true = rendered(place)
        (found,) = SEGMENTER.find(frames[: SEGMENTER.num_frames], name)
        assert found.label == name
        assert found.mask_HW.shape == true.shape
        values.append(iou(found.mask_HW, true))
    assert np.mean(values) >= 0.85
    assert np.median(values) >= 0.88
    assert np.mean(np.array(values) >= 0.8) >= 0.85


@pytest.mark.parametrize("seed", range(4))
def test_pans_over_drawn_pictures(seed: int) -> None:
    frames, true = pan(seed)
    (found,) = SEGMENTER.find(frames[: SEGMENTER.num_frames], "dog")
    assert iou(found.mask_HW, true) >= 0.8
    x1, y1, x2, y2 = (int(side) for side in found.box)
    assert found.mask_HW[y1:y2, x1:x2].sum() == found.mask_HW.sum()


def test_one_frame_is_enough_and_the_answer_is_the_same_again() -> None:
    frames, true = pan(1)
    first, second = (SEGMENTER.find(frames[:1], "dog")[0] for _ in range(2))
    assert iou(first.mask_HW, true) >= 0.8
    assert np.array_equal(first.mask_HW, second.mask_HW)
    assert first.score == second.score


@pytest.mark.parametrize("size", [(8, 8), (9, 300), (64, 64)])
def test_nothing_is_found_in_an_empty_picture(size: tuple[int, int]) -> None:
    assert SEGMENTER.find(np.full((2, *size, 3), 120, np.uint8), "dog") == []
