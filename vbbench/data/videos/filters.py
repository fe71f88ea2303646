"""Which findings are good enough to be an image prompt. The paper names no numbers; these are ours,
and every build records them.

Shape suffixes: H/W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vbbench.data.videos.segmenters import Found


@dataclass(frozen=True)
class Filters:
    """Bounds that a finding must keep.

    Attributes:
        min_score: of the segmenter's own score, 0..1.
        min_share, max_share: of the frame's area that the mask covers.
        max_sides: how many of the frame's four sides the subject may touch; more means that much of
            it lies outside.
        min_piece: share of the mask's area in its largest connected piece; less means fragments.
        min_side: of the shorter side of the box, in pixels.
    """

    min_score: float = 0.35
    min_share: float = 0.01
    max_share: float = 0.8
    max_sides: int = 1
    min_piece: float = 0.8
    min_side: int = 16


def why_not(found: Found, filters: Filters) -> tuple[str, str] | None:
    """Kind and sentence of the first reason against a finding; None where it is good."""
    height, width = found.mask_HW.shape
    share = float(found.mask_HW.mean())
    if found.score < filters.min_score:
        return (
            "low score",
            f"the score is {found.score:.2f}, at least {filters.min_score:g} is asked for",
        )
    if share < filters.min_share:
        return (
            "too small",
            f"the mask covers {share:.2%} of the frame, at least {filters.min_share:.2%} is asked for",
        )
    if share > filters.max_share:
        return (
            "too large",
            f"the mask covers {share:.0%} of the frame, at most {filters.max_share:.0%} is asked for",
        )
    x1, y1, x2, y2 = clipped_box(found.box, (height, width))
    if min(x2 - x1, y2 - y1) < filters.min_side:
        return (
            "too small",
            f"the box is {x2 - x1} x {y2 - y1} pixels, at least {filters.min_side} a side are asked for",
        )
    sides = sides_touched(found.mask_HW)
    if len(sides) > filters.max_sides:
        return (
            "at the border",
            f"the subject touches the frame's {' and '.join(sides)}, {filters.max_sides} of its sides may be",
        )
    piece = largest_piece(found.mask_HW)
    if piece < filters.min_piece:
        return (
            "fragments",
            f"the largest piece is {piece:.0%} of the mask, at least {filters.min_piece:.0%} is asked for",
        )
    return None


def sides_touched(mask_HW: np.ndarray) -> list[str]:
    """Sides of the frame at which the subject has pixels."""
    edges = {
        "top": mask_HW[0],
        "bottom": mask_HW[-1],
        "left": mask_HW[:, 0],
        "right": mask_HW[:, -1],
    }
    return [name for name, pixels in edges.items() if pixels.any()]


def largest_piece(mask_HW: np.ndarray) -> float:
    """Share of a mask's pixels in its largest connected piece (corners connect); 0 for an empty
    mask."""
    from scipy.ndimage import label

    pieces, count = label(mask_HW, structure=np.ones((3, 3), int))
    return float(np.bincount(pieces.ravel())[1:].max() / mask_HW.sum()) if count else 0.0


def clipped_box(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box in whole pixels inside of the frame, as the released code cuts it out (rounded down):
    x1, y1, x2, y2.

    Args:
        size: height and width of the frame.
    """
    height, width = size
    x1, y1, x2, y2 = (int(number) for number in box)
    return max(0, x1), max(0, y1), min(width, x2), min(height, y2)
