"""Filters on findings, on masks made for them."""

from __future__ import annotations

import numpy as np
import pytest

from vbbench.data.videos.filters import Filters, clipped_box, why_not
from vbbench.data.videos.segmenters import Found, box_of


def found(*boxes: tuple[int, int, int, int], score: float = 0.9) -> Found:
    mask = np.zeros((100, 120), bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return Found(mask, box_of(mask), score, "dog")


@pytest.mark.parametrize(
    ("boxes", "kind"),
    [
        ([(20, 20, 80, 80)], None),
        ([(0, 20, 80, 80)], None),  # one side may be touched
        ([(0, 20, 80, 100)], "at the border"),
        ([(20, 20, 80, 26)], "too small"),
        ([(1, 1, 119, 99)], "too large"),
        ([(20, 20, 50, 80), (60, 20, 80, 80)], "fragments"),
    ],
)
def test_reasons(boxes: list[tuple[int, int, int, int]], kind: str | None) -> None:
    reason = why_not(found(*boxes), Filters())
    assert (reason and reason[0]) == kind


def test_the_score_comes_first() -> None:
    assert why_not(found((0, 0, 120, 100), score=0.2), Filters()) == (
        "low score",
        "the score is 0.20, at least 0.35 is asked for",
    )


def test_boxes_are_cut_as_the_released_code_does() -> None:
    assert clipped_box((3.8, 19.9, 221.9, 162.7), (160, 200)) == (3, 19, 200, 160)
