"""Fingerprints of pictures, by which copies are found again that were encoded anew, resized,
mirrored, or made a little lighter.

Shape suffixes: H/W pixels, N pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

BITS, MOST_BITS = 64, 6
"""Bits of a hash, and by how many those of copies may differ."""
MOST_COLOUR = 10.0
"""Mean difference of two copies' thumbnails, 0..255, once one of them was made as light as the
other."""
MOST_LIGHTER = 1.25
"""By which factor a copy may be lighter or darker."""
_SIDE, _KEPT, _THUMBNAIL, _FLAT = 32, 8, 8, 3.0
_CHUNK = 256  # pictures that are held against all others at once: bounds memory


@dataclass(frozen=True)
class Fingerprint:
    """Of one picture.

    Attributes:
        bits, mirrored: perceptual hash (Zauner 2010, "Implementation and benchmarking of perceptual
            image hash functions": signs of the 64 lowest coefficients of a discrete cosine
            transform, against their median) of the picture and of its mirror image; int8 (64,), 1
            or -1.
        thumbnail: uint8 (8, 8, 3). The hash knows no colours: it alone would take a red car for a
            blue one.
    """

    bits: np.ndarray
    mirrored: np.ndarray
    thumbnail: np.ndarray


def fingerprint(picture_HW3: np.ndarray) -> Fingerprint | None:
    """Of a picture, uint8 (H, W, 3); None where it is of one colour, as which all such pictures
    would be copies of each other."""
    image = Image.fromarray(picture_HW3)
    grey = np.asarray(
        image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float64
    )
    if grey.std() < _FLAT:
        return None
    thumbnail = np.asarray(image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))
    return Fingerprint(_hash(grey), _hash(grey[:, ::-1]), thumbnail)


def _hash(grey_HW: np.ndarray) -> np.ndarray:
    from scipy.fft import dctn

    lowest = dctn(grey_HW, norm="ortho")[:_KEPT, :_KEPT].ravel()
    return np.where(lowest > np.median(lowest[1:]), 1, -1).astype(np.int8)


def copies(
    these: Sequence[Fingerprint], others: Sequence[Fingerprint]
) -> list[tuple[int, int, int]]:
    """Pairs of near-duplicates: place among these, place among the others, by how many bits they
    differ; in that order."""
    if not these or not others:
        return []
    ours, plain, mirrored = (
        np.stack(bits).astype(np.float32)
        for bits in (
            [p.bits for p in these],
            [p.bits for p in others],
            [p.mirrored for p in others],
        )
    )
    found = []
    for start in range(0, len(ours), _CHUNK):
        chunk = ours[start : start + _CHUNK]
        differ_2NM = np.stack([(BITS - chunk @ bits.T) / 2 for bits in (plain, mirrored)])
        for a, b in np.argwhere(differ_2NM.min(axis=0) <= MOST_BITS):
            one, other = these[start + a].thumbnail.astype(float), others[b].thumbnail.astype(float)
            lighter = np.clip(one.mean() / max(other.mean(), 1), 1 / MOST_LIGHTER, MOST_LIGHTER)
            ways = [np.abs(one - lighter * way).mean() for way in (other, other[:, ::-1])]
            good = [
                d
                for d, colour in zip(differ_2NM[:, a, b], ways, strict=True)
                if d <= MOST_BITS and colour <= MOST_COLOUR
            ]
            if good:
                found.append((int(start + a), int(b), int(min(good))))
    return found


def alike(
    these_ND: np.ndarray, others_ND: np.ndarray, lowest: float
) -> list[tuple[int, int, float]]:
    """Pairs of embeddings, float (N, D) and (M, D), whose cosine is at least ``lowest``: both
    places, and the cosine."""
    if not len(these_ND) or not len(others_ND):
        return []
    ours, theirs = (
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        for rows in (these_ND, others_ND)
    )
    found = []
    for start in range(0, len(ours), _CHUNK):
        cosines = ours[start : start + _CHUNK] @ theirs.T
        found += [
            (int(start + a), int(b), float(cosines[a, b]))
            for a, b in np.argwhere(cosines >= lowest)
        ]
    return found
