"""Segmenters: who finds a subject in a clip's first frame. One small protocol, chosen by name.

Shape suffixes: T frames, H/W pixels, C channels.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vbbench.errors import UsageError

SEGMENTERS = {
    "colour-motion": "vbbench.data.videos.colour_motion:ColourMotion",
    "grounded-sam": "vbbench.data.videos.grounded_sam:GroundedSam",
}


@dataclass(frozen=True)
class Found:
    """Something that was found in a frame.

    Attributes:
        mask_HW: bool (H, W), True where it is; of the frame's own size.
        box: x1, y1, x2, y2 in pixels from the frame's upper left corner; x2 and y2 are those of the
            first pixel outside.
        score: how sure the segmenter is, 0..1; comparable within one segmenter only.
        label: what it was taken for.
    """

    mask_HW: np.ndarray
    box: tuple[float, float, float, float]
    score: float
    label: str


class Segmenter(Protocol):
    """Finds subjects. Made anew in every process that uses it."""

    name: str
    num_frames: int
    """How many frames from the start of a clip it looks at, at most."""

    def settings(self) -> dict[str, Any]:
        """Everything that decides what it finds, as JSON holds it; two builds are one only where
        this is equal."""
        ...

    def find(self, frames_THWC: np.ndarray, noun: str) -> Sequence[Found]:
        """What of that name stands in the first of the frames, best first; empty where nothing
        does.

        Args:
            frames_THWC: uint8 (T, H, W, 3), RGB; the start of a clip, 1 to ``num_frames`` frames.
            noun: a class's name.
        """
        ...


def make_segmenter(name: str, options: Mapping[str, Any]) -> Segmenter:
    """The segmenter of that name.

    Args:
        options: what it is made with; each segmenter knows its own.
    Raises:
        UsageError: there is none of that name, or it takes no such options.
        WeightsError: its weights cannot be had.
    """
    from vbbench.core.names import nearest

    if name not in SEGMENTERS:
        raise UsageError(f"there is no segmenter {name!r}: {nearest(name, SEGMENTERS)}")
    module, _, cls = SEGMENTERS[name].partition(":")
    try:
        return getattr(importlib.import_module(module), cls)(**options)
    except TypeError as error:
        raise UsageError(
            f"the segmenter {name} cannot be made with {', '.join(options) or 'no options'}: {error}."
        ) from None


def box_of(mask_HW: np.ndarray) -> tuple[float, float, float, float]:
    """The smallest box around a mask that is not empty: x1, y1, x2, y2, the last two being the
    first outside."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
