"""Files of the released dataset, ``yumingj/VideoBoothDataset``; what `vbbench data build` writes
has the same layout.

    <class>.csv                     a row a clip; columns videoid, page_dir, name (the caption), and
    others that are passed over <class>/<videoid>/mask.json     a list of {value, label, logit,
    box}; an entry without a box is the background <class>/<videoid>/mask_<value>.png   of the first
    frame's size, 0 where the subject is not

The videos are WebVid's and lie elsewhere, as ``<page_dir>/<videoid>.mp4``. Ours adds
``prompt_<value>.png``, the image prompt itself, and a column ``source`` where the captions had one.

Shape suffixes: H/W pixels, 3 colours.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from vbbench.data.videos.filters import clipped_box
from vbbench.errors import InputError
from vbbench.media.video_file import SUFFIXES

COLUMNS = ("videoid", "page_dir", "name")
SOURCE = "source"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_ID = 200  # characters


@dataclass(frozen=True)
class Row:
    """A row of a class's CSV.

    Attributes:
        line: where it ends in the file, from 1.
        source: id of what the clip was cut from; the videoid where the file has no such column.
    """

    line: int
    videoid: str
    page_dir: str
    name: str
    source: str


@dataclass(frozen=True)
class Instance:
    """A subject of a clip's first frame: an entry of mask.json.

    Attributes:
        value: number of the entry, and of its mask.
        label: what it was taken for.
        score: the detector's (``logit`` in the file, a number in 0..1).
        box: x1, y1, x2, y2 in pixels of the first frame.
        mask: its file, which may not be there.
    """

    value: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    mask: Path


def is_id(text: str) -> bool:
    """Whether a videoid can name a folder."""
    return _ID.fullmatch(text) is not None and len(text) <= _LONGEST_ID


def class_files(root: Path) -> dict[str, Path]:
    """The CSV files of a dataset by class, in the order of the classes' names.

    Raises:
        InputError: no such folder, or none in it.
    """
    if not root.is_dir():
        raise InputError(
            f"there is no dataset {root}."
            if not root.exists()
            else f"{root} is a file, not the folder of a dataset."
        )
    found = {
        path.stem: path for path in sorted(root.glob("*.csv")) if not path.name.startswith(".")
    }
    if not found:
        raise InputError(f"{root} is no dataset of this layout: it holds no <class>.csv.")
    return found


def read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> list[Row]:
    """The rows of a class's CSV; ids may be strange or stand there twice.

    Raises:
        InputError: unreadable, no CSV in UTF-8, without one of the columns, or a row without an id.
            The sentence names the line.
    """
    rows = []
    for line, cells in read_table(path, columns):
        if not cells["videoid"]:
            raise InputError(f"{path}, line {line}: the videoid is missing.")
        rows.append(
            Row(
                line,
                cells["videoid"],
                cells.get("page_dir", ""),
                cells["name"],
                cells.get(SOURCE) or cells["videoid"],
            )
        )
    return rows


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of every row that is not empty; names of columns in lower case.

    Raises:
        InputError: as `read_rows`.
    """
    if not path.is_file():
        raise InputError(
            f"{path} is a folder, not a CSV file." if path.is_dir() else f"there is no file {path}."
        )
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(
                    f"{path}, line 1: the columns {', '.join(columns)} are needed, {', '.join(missing)} is missing."
                )
            for values in reader:
                if not any(value.strip() for value in values):
                    continue
                if len(values) != len(header):
                    raise InputError(
                        f"{path}, line {reader.line_num}: it has {len(values)} cells, the header has {len(header)}; "
                        "texts with commas stand in quotes."
                    )
                rows.append(
                    (reader.line_num, dict(zip(header, map(str.strip, values), strict=True)))
                )
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: this is no CSV: {error}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    return rows


def read_instances(folder: Path) -> list[Instance]:
    """The subjects of a clip, from its mask.json, without the background.

    Raises:
        InputError: missing, damaged, or without a subject.
    """
    path = folder / "mask.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no {path}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} is not a list of entries.")
    found = [
        _instance(entry, path)
        for entry in entries
        if "box" in entry or entry.get("label") != "background"
    ]
    if not found:
        raise InputError(f"{path} names no subject.")
    if len({instance.value for instance in found}) < len(found):
        raise InputError(f"{path} has two entries of one value.")
    return found


def _instance(entry: dict[str, Any], path: Path) -> Instance:
    fields: list[Any] = [entry.get(key) for key in ("value", "label", "logit", "box")]
    value, label, score, box = fields
    numbers = [score, *box] if isinstance(box, list) and len(box) == 4 else [None]
    good = (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value >= 0
        and isinstance(label, str)
    )
    if not good or not all(
        isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers
    ):
        raise InputError(
            f"{path} has an entry that cannot be understood: {json.dumps(entry)[:120]}."
        )
    x1, y1, x2, y2 = map(float, box)
    mask = path.parent / f"mask_{value}.png"
    return Instance(value, label, float(score), (x1, y1, x2, y2), mask)


def read_mask(path: Path) -> np.ndarray:
    """A mask, bool (H, W): everything that is not 0 is the subject, as the released code has it;
    opacity does not count.

    Raises:
        InputError: missing, or no picture.
    """
    from vbbench.media.pictures import MAX_PIXELS

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(f"{path} is too large: {picture.width} x {picture.height} pixels.")
            pixels = np.asarray(picture)
    except FileNotFoundError:
        raise InputError(f"there is no mask {path}.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not a mask that can be read: {error}.") from None
    return (
        pixels != 0
        if pixels.ndim == 2
        else (pixels[..., : 3 if pixels.shape[2] > 2 else 1] != 0).any(axis=2)
    )


def find_video(videos: Path, page_dir: str, videoid: str) -> Path | None:
    """The video of a clip: ``<page_dir>/<videoid>.mp4``, else without the folder, or with another
    suffix; None where there is none."""
    inside = PurePosixPath(page_dir)
    folders = (
        [videos]
        if not page_dir or inside.is_absolute() or ".." in inside.parts
        else [videos / inside, videos]
    )
    places = (folder / f"{videoid}{suffix}" for folder in folders for suffix in SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def cut_out(
    frame_HW3: np.ndarray, mask_HW: np.ndarray, box: tuple[float, float, float, float]
) -> np.ndarray:
    """The image prompt: the masked frame on white, cut to the box, padded with white to a square;
    never resized.

    Args:
        frame_HW3: uint8, RGB.
        mask_HW: bool, of the same size.
        box: x1, y1, x2, y2 in pixels; what lies outside of the frame is left out.
    Returns:
        uint8 (S, S, 3), S the longer side of the box.
    Raises:
        InputError: mask and frame differ in size, or nothing of the box lies in the frame.
    """
    if mask_HW.shape != frame_HW3.shape[:2]:
        sizes = " and ".join(f"{size[1]} x {size[0]}" for size in (mask_HW.shape, frame_HW3.shape))
        raise InputError(f"mask and frame are not of one size: {sizes} pixels.")
    x1, y1, x2, y2 = clipped_box(box, mask_HW.shape)
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"the box {list(box)} lies outside of the frame.")
    crop = np.where(mask_HW[..., None], frame_HW3, np.uint8(255))[y1:y2, x1:x2]
    height, width, _ = crop.shape
    side = max(height, width)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = crop
    return square
