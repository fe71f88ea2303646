"""Pictures of a page: image prompts, and clips as strips of frames.

A clip is one picture that holds all of its frames side by side; the page shows one of them at a
time. Other than video files, strips of a page move in step to the frame, can be stepped through,
and keep every pixel as it was scored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vbbench.core.digests import sha256_of
from vbbench.media.video import load_image_prompt, read_video, resize_frames

FOLDER = "media"
LOSSLESS_SIDE = 128
"""Frames up to this side are kept exactly; larger ones are compressed, and shrunk to
`LARGEST_SIDE`."""
LARGEST_SIDE = 320
WEBP_SIDE = 16_383
_OURS = re.compile(r"[0-9a-f]{20}\.webp")


@dataclass(frozen=True)
class Strip:
    """All frames of a clip in one picture, row by row.

    Attributes:
        file: relative to the report.
        frames, columns, rows: number of frames, and how they are laid out.
        width, height: of one frame in pixels.
    """

    file: str
    frames: int
    columns: int
    rows: int
    width: int
    height: int


class MediaFolder:
    """Writes a report's pictures under names made from their bytes, and forgets those of an earlier
    report."""

    def __init__(self, report: Path) -> None:
        self._folder = report / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._used: set[str] = set()
        self._strips: dict[Path, Strip] = {}
        self._prompts: dict[tuple[Path, int], str] = {}

    def strip(self, video: Path) -> Strip:
        """Write a video's strip; one that several pages show is made once.

        Raises:
            InputError: the file cannot be read.
        """
        if video not in self._strips:
            self._strips[video] = self._new_strip(video)
        return self._strips[video]

    def _new_strip(self, video: Path) -> Strip:
        frames = shrink(read_video(video).frames)
        sheet, columns = lay_out(frames)
        count, height, width = frames.shape[:3]
        file = self._write(sheet, lossless=max(height, width) <= LOSSLESS_SIDE)
        return Strip(file, count, columns, sheet.shape[0] // height, width, height)

    def image_prompt(self, image: Path, size: int) -> str:
        """Write an image prompt as models see it, (size, size); returns its file relative to the
        report.

        Raises:
            InputError: the file cannot be read.
        """
        if (image, size) not in self._prompts:
            picture, _ = load_image_prompt(image, size)
            self._prompts[image, size] = self._write(picture, lossless=size <= LOSSLESS_SIDE)
        return self._prompts[image, size]

    def remove_unused(self) -> None:
        """Delete pictures that an earlier report left here and this one does not show."""
        for path in self._folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in self._used:
                path.unlink()

    def _write(self, picture_HWC: np.ndarray, *, lossless: bool) -> str:
        buffer = BytesIO()
        Image.fromarray(picture_HWC).save(buffer, "WEBP", lossless=lossless, quality=90, method=4)
        data = buffer.getvalue()
        name = f"{sha256_of(data)[:20]}.webp"
        self._used.add(name)
        path = self._folder / name
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)
        return f"{FOLDER}/{name}"


def shrink(frames_THWC: np.ndarray) -> np.ndarray:
    """Frames of at most `LARGEST_SIDE` pixels a side, in their own proportions."""
    height, width = frames_THWC.shape[1:3]
    factor = LARGEST_SIDE / max(height, width)
    if factor >= 1:
        return frames_THWC
    return resize_frames(
        frames_THWC, (max(1, round(height * factor)), max(1, round(width * factor)))
    )


def lay_out(frames_THWC: np.ndarray) -> tuple[np.ndarray, int]:
    """Frames side by side in as few rows as a WebP picture allows; spare places are black.

    Returns:
        (rows * H, columns * W, 3) and the number of columns.
    """
    count, height, width = frames_THWC.shape[:3]
    columns = min(count, WEBP_SIDE // width)
    rows = -(-count // columns)
    sheet = np.zeros((rows, height, columns, width, 3), dtype=np.uint8)
    for place, frame in enumerate(frames_THWC):
        sheet[place // columns, :, place % columns] = frame
    return sheet.reshape(rows * height, columns * width, 3), columns
