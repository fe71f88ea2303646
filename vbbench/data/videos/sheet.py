"""The contact sheet of a build: what was kept, beside the frame it was cut from, and what was dropped, with the reason."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vbbench.data.videos.clips import KEPT, Record
from vbbench.data.videos.layout import find_video, read_mask
from vbbench.errors import InputError

MOST_KEPT, MOST_DROPPED = 40, 20
COLUMNS, CELL, GAP, LINE, LINES, TITLE = 5, 112, 8, 12, 3, 24  # pixels and lines of text
_INK, _GREY, _EMPTY, _MARK = (20, 20, 20), (90, 90, 90), (235, 235, 235), (255, 0, 120)


def write_sheet(path: Path, records: Sequence[Record], videos: Path, root: Path) -> None:
    """Write a PNG with up to `MOST_KEPT` kept and `MOST_DROPPED` dropped clips, thinned out evenly; frames are decoded again."""
    groups = [("kept", [r for r in records if r["status"] == KEPT], MOST_KEPT), ("dropped", [], MOST_DROPPED)]
    groups[1][1].extend(r for r in records if r["status"] != KEPT)
    wide, high = 2 * CELL + GAP, CELL + LINES * LINE + GAP
    rows = [-(-min(len(some), most) // COLUMNS) for _, some, most in groups]
    sheet = Image.new("RGB", (GAP + COLUMNS * (wide + GAP), sum(TITLE + count * high for count in rows) + GAP), "white")
    draw, y = ImageDraw.Draw(sheet), 0
    for (name, some, most), count in zip(groups, rows, strict=True):
        shown = _thinned(some, most)
        title = f"{name}: {len(some)} of {len(records)} clips" + (f", {len(shown)} shown" if len(shown) < len(some) else "")
        draw.text((GAP, y + 5), title, fill=_INK, font=ImageFont.load_default(size=13))
        for place, record in enumerate(shown):
            x = GAP + place % COLUMNS * (wide + GAP)
            _draw_clip(sheet, record, videos, root, (x, y + TITLE + place // COLUMNS * high))
        y += TITLE + count * high
    sheet.save(path)


def _thinned(records: list[Record], most: int) -> list[Record]:
    return records if len(records) <= most else [records[len(records) * place // most] for place in range(most)]


def _draw_clip(sheet: Image.Image, record: Record, videos: Path, root: Path, corner: tuple[int, int]) -> None:
    from vbbench.media.video import read_start

    x, y = corner
    folder = root / record.get("class", "") / record["videoid"]
    video = find_video(videos, record["page_dir"], record["videoid"])
    kept = record["status"] == KEPT
    try:
        frame = read_start(video)[0] if video else None
    except InputError:
        frame = None
    try:
        mask = read_mask(folder / "mask_1.png") if kept else None
        with Image.open(folder / "prompt_1.png") as picture:
            prompt = np.asarray(picture.convert("RGB")) if kept else None
    except (InputError, OSError):
        mask = prompt = None
    if frame is not None and mask is not None and mask.shape == frame.shape[:2]:
        frame = _outlined(frame, mask)
    _paste(sheet, frame, x, y)
    _paste(sheet, prompt, x + CELL + 1, y)
    words = f"{record.get('class', '-')} {record['videoid']}: " + (record["name"] if kept else f"{record['kind']}; {record['name']}")
    lines = textwrap.wrap(words.encode("latin-1", "replace").decode("latin-1"), width=2 * CELL // 6)[:LINES]
    font = ImageFont.load_default(size=10)
    for place, line in enumerate(lines):
        ImageDraw.Draw(sheet).text((x, y + CELL + place * LINE), line, fill=_GREY, font=font)


def _outlined(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The frame with the mask's outline, wide enough to be seen when it is shrunk."""
    from scipy.ndimage import binary_dilation

    width = max(1, round(max(mask.shape) / CELL))
    edge = binary_dilation(mask, iterations=width) & ~mask
    return np.where(edge[..., None], np.uint8(_MARK), frame)


def _paste(sheet: Image.Image, picture: np.ndarray | None, x: int, y: int) -> None:
    if picture is None:
        sheet.paste(_EMPTY, (x, y, x + CELL, y + CELL))
        return
    image = Image.fromarray(picture)
    factor = min(CELL / image.width, CELL / image.height)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    sheet.paste(image.resize(size, Image.Resampling.LANCZOS), (x, y))
