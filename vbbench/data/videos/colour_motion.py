"""A segmenter without weights: what has other colours than the frame's border, and moves otherwise
than the rest.

It runs everywhere and costs milliseconds. It is meant for one subject, wholly in the picture,
before a background that shows at the border: rendered clips, product shots, many wildlife clips.
Where the border tells too little it finds nothing or too much, which the filters of
`vbbench.data.videos.filters` are for.

Shape suffixes: T frames, H/W pixels, 3 colours (RGB or CIELAB), P pixels in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from vbbench.data.videos.segmenters import Found, box_of

SETTINGS: Mapping[str, Any] = {
    "version": 1,
    "side": 160,  # longer side of the pictures that are looked at, pixels
    "border": 0.06,  # width of the border, as a share of the shorter side
    "neighbour": 4,  # a background colour is one that so many pixels of the border have
    "height": 120,  # what the whole height counts, in units of CIELAB
    "lightness": 0.6,  # weight of L against a and b: shadows darken, they do not colour
    "shades": (1.0, 0.93, 0.86, 0.8),  # the subject's shadow: the background, darker
    # distances from the background, in units of CIELAB, between which the subject begins
    "least": 5,
    "most": 12,
    "later": 4,  # frames between the first one and the one that shows the motion
    "rounds": 2,  # of learning the subject's own colours
}
_BINS = 12  # a side of the colour histograms
_SMALLEST, _LARGEST = 0.002, 0.95  # share of the picture; outside of these, nothing was found


class ColourMotion:
    """The segmenter ``colour-motion``; a pure function of the frames."""

    name = "colour-motion"
    num_frames = SETTINGS["later"] + 1

    def settings(self) -> dict[str, Any]:
        """Everything that decides the masks."""
        return dict(SETTINGS)

    def find(self, frames_THWC: np.ndarray, noun: str) -> Sequence[Found]:
        """The one subject of the first frame, or nothing; the noun is not looked at.

        Args:
            frames_THWC: uint8 (T, H, W, 3), RGB; with one frame, motion says nothing.
        """
        size = frames_THWC.shape[1:3]
        small = [_lab(_shrunk(frame)) for frame in (frames_THWC[0], frames_THWC[-1])]
        mask_HW = _subject(small[0], _motion(small[0], small[1]) if len(frames_THWC) > 1 else None)
        if mask_HW is None:
            return []
        whole_HW = _enlarged(mask_HW, size)
        return (
            [Found(whole_HW, box_of(whole_HW), _confidence(small[0], mask_HW), noun)]
            if whole_HW.any()
            else []
        )


def _subject(lab_HW3: np.ndarray, motion_HW: np.ndarray | None) -> np.ndarray | None:
    """Mask of the subject, bool (H, W); None where nothing stands out."""
    far_HW = _distance(lab_HW3)
    threshold = float(np.clip(_otsu(far_HW), SETTINGS["least"], SETTINGS["most"]))
    seed_HW = far_HW > threshold
    if motion_HW is not None:
        seed_HW |= (motion_HW > max(_otsu(motion_HW), 10.0)) & (far_HW > threshold / 2)
    mask_HW = _piece(seed_HW)
    for _ in range(SETTINGS["rounds"]):
        if mask_HW is None:
            return None
        mask_HW = _piece(_likely(lab_HW3, far_HW / threshold, mask_HW))
    return mask_HW


def _distance(lab_HW3: np.ndarray) -> np.ndarray:
    """How far each pixel's colour is from the nearest colours of the border, (H, W), in units of
    CIELAB.

    Height counts as a further coordinate: skies and grounds change from top to bottom, and a green
    animal stands before a blue sky.
    """
    from scipy.spatial import KDTree

    height, width, _ = lab_HW3.shape
    inside = _inside((height, width))
    rows_HW1 = np.broadcast_to(
        np.linspace(0, SETTINGS["height"], height)[:, None, None], (height, width, 1)
    )
    points_HW4 = np.concatenate(
        [lab_HW3 * np.array([SETTINGS["lightness"], 1.0, 1.0]), rows_HW1], axis=-1
    )
    border_P4 = points_HW4[~inside]
    known_P4 = np.concatenate(
        [border_P4 * np.array([shade, shade, shade, 1.0]) for shade in SETTINGS["shades"]]
    )
    distances, _ = KDTree(known_P4).query(points_HW4, k=[SETTINGS["neighbour"]])
    return distances[..., 0]


def _inside(size: tuple[int, ...]) -> np.ndarray:
    """True where the border is not, (H, W)."""
    edge = max(2, round(SETTINGS["border"] * min(size)))
    inside = np.zeros(size, bool)
    inside[edge:-edge, edge:-edge] = True
    return inside


def _motion(first_HW3: np.ndarray, later_HW3: np.ndarray) -> np.ndarray:
    """Difference of colour between two frames, after the camera's own shift is undone where that
    leaves less of it."""
    from scipy.ndimage import shift
    from skimage.registration import phase_cross_correlation

    found, _, _ = phase_cross_correlation(first_HW3[..., 0], later_HW3[..., 0])
    ways = [later_HW3]
    if np.any(found) and np.all(np.abs(found) < np.array(first_HW3.shape[:2]) / 4):
        ways.append(shift(later_HW3, (*found, 0), order=1, mode="nearest"))
    return min((np.linalg.norm(first_HW3 - way, axis=-1) for way in ways), key=np.median)


def _likely(lab_HW3: np.ndarray, far_HW: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
    """Where the colours are more often those of the mask than those around it, smoothed; the
    distance to the border's colours is held to be as good a witness as the histograms."""
    from scipy.ndimage import gaussian_filter

    low, high = lab_HW3.min(axis=(0, 1)), lab_HW3.max(axis=(0, 1))
    cells = np.clip(
        ((lab_HW3 - low) / np.maximum(high - low, 1e-6) * _BINS).astype(int), 0, _BINS - 1
    )
    flat = np.ravel_multi_index(tuple(np.moveaxis(cells, -1, 0)), (_BINS,) * 3)
    counts = [
        np.bincount(flat[part], minlength=_BINS**3).reshape((_BINS,) * 3).astype(float)
        for part in (mask_HW, ~mask_HW)
    ]
    inside, outside = (gaussian_filter(count / max(count.sum(), 1), 0.7) + 1e-5 for count in counts)
    ratio_HW = np.log(inside / outside).ravel()[flat]
    witness_HW = np.where(
        _inside(mask_HW.shape), np.clip(far_HW - 1, -1, 1), 0
    )  # the border is near its own colours, whatever it shows
    return gaussian_filter(np.clip(ratio_HW, -3, 3) + 3 * witness_HW, 0.6) > 0


def _piece(mask_HW: np.ndarray) -> np.ndarray | None:
    """The largest connected piece of a mask, the middle of the picture counting most; without
    threads, holes filled. None where it is no subject by its size."""
    from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening, label

    closed = binary_closing(np.pad(mask_HW, 2, mode="edge"), iterations=1)[2:-2, 2:-2]
    opened = binary_opening(closed, iterations=1) if min(mask_HW.shape) > 96 else closed
    pieces, count = label(opened)
    if not count:
        return None
    y, x = (np.linspace(-1, 1, side) for side in mask_HW.shape)
    weight_HW = np.exp(-2 * (y[:, None] ** 2 + x[None, :] ** 2))
    largest = np.bincount(pieces.ravel(), weight_HW.ravel())[1:].argmax() + 1
    whole = binary_fill_holes(pieces == largest)
    return whole if _SMALLEST <= whole.mean() <= _LARGEST else None


def _confidence(lab_HW3: np.ndarray, mask_HW: np.ndarray) -> float:
    """Share of the mask's pixels whose colours stand out from the border's, in [0, 1]; no
    probability."""
    return float(np.mean(_distance(lab_HW3)[mask_HW] > 8.0))


def _otsu(values_HW: np.ndarray) -> float:
    from skimage.filters import threshold_otsu

    return (
        float(threshold_otsu(values_HW))
        if values_HW.max() > values_HW.min()
        else float(values_HW.max())
    )


def _lab(picture_HW3: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2lab

    return rgb2lab(picture_HW3)


def _shrunk(frame_HW3: np.ndarray) -> np.ndarray:
    height, width, _ = frame_HW3.shape
    factor = SETTINGS["side"] / max(height, width)
    if factor >= 1:
        return frame_HW3
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    return np.asarray(Image.fromarray(frame_HW3).resize(size, Image.Resampling.BOX))


def _enlarged(mask_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """At the frame's own size, with smooth edges."""
    if mask_HW.shape == size:
        return mask_HW
    picture = Image.fromarray(mask_HW.astype(np.uint8) * 255).resize(
        size[::-1], Image.Resampling.BICUBIC
    )
    return np.asarray(picture) > 127
