"""A folder of pictures as a video: one frame a picture, in the order of the numbers in their
names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vbbench.errors import InputError
from vbbench.media.decoding import check_bytes, stack
from vbbench.media.pictures import load_picture
from vbbench.media.video_file import VideoFacts

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif")
_EXACT = frozenset({"png", "bmp", "ppm", "tiff"})
_MARKS = {
    b"\x89PNG": "png",
    b"\xff\xd8": "jpeg",
    b"BM": "bmp",
    b"P5": "ppm",
    b"P6": "ppm",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
_DIGITS = re.compile(r"([0-9]+)")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order (``frame 2`` before ``frame 10``). Hidden files do
    not count.

    Raises:
        InputError: there is none, or something else lies among them.
    """
    try:
        found = sorted(
            (entry for entry in folder.iterdir() if not entry.name.startswith(".")),
            key=lambda entry: natural(entry.name),
        )
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror}.") from None
    for entry in found:
        if entry.suffix.lower() not in SUFFIXES or not entry.is_file():
            raise InputError(
                f"the folder {folder} holds {entry.name}, which is no picture: only frames may lie in it."
            )
    if not found:
        raise InputError(f"the folder {folder} holds no picture.")
    return found


def natural(name: str) -> tuple[list[str | int], str]:
    """A sorting key by which numbers in names count as numbers."""
    parts = _DIGITS.split(name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def decode_folder(folder: Path) -> np.ndarray:
    """Every picture as a frame, uint8 (T, H, W, 3): upright, on white.

    Raises:
        InputError: as `pictures_in`; a picture that cannot be read; pictures of different sizes, or
            too many.
    """
    frames: list[np.ndarray] = []
    decoded = 0
    for path in pictures_in(folder):
        frames.append(load_picture(path))
        decoded += frames[-1].nbytes
        check_bytes(decoded, folder)
    return stack(frames, folder)


def probe_folder(folder: Path) -> VideoFacts:
    """What can be told without decoding all of it; JPEG, AVIF and most WebP pictures are lossy.

    Raises:
        InputError: as `pictures_in`, or the first picture cannot be read.
    """
    paths = pictures_in(folder)
    height, width, _ = load_picture(paths[0]).shape
    kinds = {_kind(path) for path in paths}
    return VideoFacts(
        "+".join(sorted(name for name, _ in kinds)),
        all(exact for _, exact in kinds),
        None,
        (height, width),
        len(paths),
    )


def _kind(path: Path) -> tuple[str, bool]:
    """Format of a picture by its first bytes (by its name where they are not known here), and
    whether it keeps every pixel."""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"RIFF"):
        return "webp", start[12:] == b"VP8L"
    name = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    return name or path.suffix[1:].lower(), name in _EXACT
