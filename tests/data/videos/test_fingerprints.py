"""Copies are found again, other pictures are not."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.data.videos.clips import pan
from vbbench.data.videos.fingerprints import alike, copies, fingerprint

PICTURES = [pan(seed)[0][0] for seed in range(8)]


def packed(picture: np.ndarray) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=40)
    with Image.open(buffer) as image:
        return np.asarray(image)


CHANGES = {
    "packed": packed,
    "smaller": lambda picture: np.asarray(Image.fromarray(picture).resize((90, 72))),
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
    "lighter": lambda picture: np.clip(picture * 1.1, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copies(change: object) -> None:
    found = copies(
        [fingerprint(picture) for picture in PICTURES],
        [fingerprint(change(picture)) for picture in PICTURES],
    )
    assert [(a, b) for a, b, _ in found] == [(place, place) for place in range(len(PICTURES))]


def test_colours_count() -> None:
    """Equal grey values, other colours: the hash is the same."""
    one = PICTURES[0]
    grey = np.repeat(np.asarray(Image.fromarray(one).convert("L"))[..., None], 3, axis=2)
    assert copies([fingerprint(one)], [fingerprint(grey)]) == []


def test_a_picture_of_one_colour_has_no_fingerprint() -> None:
    assert fingerprint(np.full((20, 30, 3), 77, np.uint8)) is None
    assert copies([], []) == []


def test_embeddings() -> None:
    ours, theirs = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 0.1], [0.0, 1.0]])
    ((a, b, cosine),) = alike(ours, theirs, 0.9)
    assert (a, b) == (0, 0)
    assert cosine == pytest.approx(2 / 4.01**0.5)
