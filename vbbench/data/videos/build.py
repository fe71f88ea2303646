"""From videos and captions to image prompts, as the paper made its training data (section 4.1), in
the released dataset's layout."""

from __future__ import annotations

import csv
import json
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vbbench.core.files import clear_temporary, is_temporary, write_atomic
from vbbench.core.locks import LOCK, lock_file
from vbbench.data.videos.captions import Caption
from vbbench.data.videos.clips import AGAIN, KEPT, Record, Terms, build_clip, make_builder
from vbbench.data.videos.layout import COLUMNS, SOURCE, find_video, read_mask
from vbbench.data.videos.parallel import each
from vbbench.errors import InputError

# The contact sheet of a build: what was kept, beside the frame it was cut from, and what was
# dropped, with the reason.

MOST_KEPT, MOST_DROPPED = 40, 20
SHEET_COLUMNS, CELL, GAP, LINE, LINES, TITLE = 5, 112, 8, 12, 3, 24  # pixels and lines of text
_INK, _GREY, _EMPTY, _MARK = (20, 20, 20), (90, 90, 90), (235, 235, 235), (255, 0, 120)


def write_sheet(path: Path, records: Sequence[Record], videos: Path, root: Path) -> None:
    """Write a PNG with up to `MOST_KEPT` kept and `MOST_DROPPED` dropped clips, thinned out evenly;
    frames are decoded again."""
    groups = [
        ("kept", [r for r in records if r["status"] == KEPT], MOST_KEPT),
        ("dropped", [], MOST_DROPPED),
    ]
    groups[1][1].extend(r for r in records if r["status"] != KEPT)
    wide, high = 2 * CELL + GAP, CELL + LINES * LINE + GAP
    rows = [-(-min(len(some), most) // SHEET_COLUMNS) for _, some, most in groups]
    sheet = Image.new(
        "RGB",
        (GAP + SHEET_COLUMNS * (wide + GAP), sum(TITLE + count * high for count in rows) + GAP),
        "white",
    )
    draw, y = ImageDraw.Draw(sheet), 0
    for (name, some, most), count in zip(groups, rows, strict=True):
        shown = _thinned(some, most)
        title = f"{name}: {len(some)} of {len(records)} clips" + (
            f", {len(shown)} shown" if len(shown) < len(some) else ""
        )
        draw.text((GAP, y + 5), title, fill=_INK, font=ImageFont.load_default(size=13))
        for place, record in enumerate(shown):
            x = GAP + place % SHEET_COLUMNS * (wide + GAP)
            _draw_clip(sheet, record, videos, root, (x, y + TITLE + place // SHEET_COLUMNS * high))
        y += TITLE + count * high
    sheet.save(path)


def _thinned(records: list[Record], most: int) -> list[Record]:
    return (
        records
        if len(records) <= most
        else [records[len(records) * place // most] for place in range(most)]
    )


def _draw_clip(
    sheet: Image.Image, record: Record, videos: Path, root: Path, corner: tuple[int, int]
) -> None:
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
    words = f"{record.get('class', '-')} {record['videoid']}: " + (
        record["name"] if kept else f"{record['kind']}; {record['name']}"
    )
    lines = textwrap.wrap(
        words.encode("latin-1", "replace").decode("latin-1"), width=2 * CELL // 6
    )[:LINES]
    font = ImageFont.load_default(size=10)
    for place, line in enumerate(lines):
        ImageDraw.Draw(sheet).text((x, y + CELL + place * LINE), line, fill=_GREY, font=font)


def _outlined(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The frame with the mask's outline, wide enough to be seen when it is shrunk."""
    from scipy.ndimage import binary_dilation

    width = max(1, round(max(mask.shape) / CELL))
    edge = binary_dilation(mask, iterations=width) & ~mask
    return np.where(edge[..., None], np.array(_MARK, np.uint8), frame)


def _paste(sheet: Image.Image, picture: np.ndarray | None, x: int, y: int) -> None:
    if picture is None:
        sheet.paste(_EMPTY, (x, y, x + CELL, y + CELL))
        return
    image = Image.fromarray(picture)
    factor = min(CELL / image.width, CELL / image.height)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    sheet.paste(image.resize(size, Image.Resampling.LANCZOS), (x, y))


# The memory of a build: its settings, and a record of every clip, kept or dropped.
#
# build.json       the settings; a build goes on only under the same ones
# manifest.jsonl   a record a line, in the order of the captions; written whole at the end
# progress.jsonl records since then, in the order in which they were made; gone when the manifest is
# written

SETTINGS, MANIFEST, PROGRESS = "build.json", "manifest.jsonl", "progress.jsonl"
_CLIP = ("videoid", "page_dir", "name", "source")


class Records:
    """The records of a build's folder, which belongs to this process while it is open.

    Args:
        root: a new folder, or one that was built under the same settings.
    Raises:
        InputError: it is used by another process, was built under other settings, or is no build
            and not empty.
    """

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file, not a folder.")
        others = (
            []
            if not root.is_dir() or (root / SETTINGS).exists()
            else sorted(x.name for x in root.iterdir() if x.name != LOCK and not is_temporary(x))
        )
        if others:
            raise InputError(
                f"{root} is not the folder of a build and not empty: it holds {others[0]}. Name another one with --out."
            )
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._lock = _take_lock(root)
        try:
            self._check_settings(settings)
            self.known = self._read()
            self._progress: TextIO = (root / PROGRESS).open("a", encoding="utf-8")
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.close()
        os.close(self._lock)

    def add(self, record: Record) -> None:
        """Keep a record; it is on its way to the disk when this returns."""
        self.known[record["videoid"]] = record
        self._progress.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._progress.flush()

    def missing(self, captions: Sequence[Caption]) -> list[Caption]:
        """The clips that must be looked at: new ones, those whose video was not there, and those
        whose folder is gone.

        Raises:
            InputError: a clip that was looked at has another caption now, or is not among the
                captions any more.
        """
        by_id = {clip.videoid: clip for clip in captions}
        for videoid, record in self.known.items():
            clip = by_id.get(videoid)
            if clip is None or any(record.get(key) != getattr(clip, key) for key in _CLIP):
                what = (
                    "is not among the captions any more"
                    if clip is None
                    else "stands otherwise in the captions now"
                )
                raise InputError(
                    f"the clip {videoid} of {self.root} {what}: name a new folder with --out."
                )
        return [clip for clip in captions if not self._is_done(self.known.get(clip.videoid))]

    def finish(self, captions: Sequence[Caption]) -> list[Record]:
        """Write the manifest and the classes' CSV files; returns the records in the order of the
        captions."""
        records = [self.known[clip.videoid] for clip in captions if clip.videoid in self.known]
        kept: dict[str, list[Record]] = {}
        for record in records:
            if record["status"] == KEPT:
                kept.setdefault(record["class"], []).append(record)
        columns = [*COLUMNS, *([SOURCE] if any(record["source"] for record in records) else [])]
        for class_name, rows in kept.items():
            write_atomic(self.root / f"{class_name}.csv", _csv(columns, rows))
        write_atomic(
            self.root / MANIFEST,
            "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
        )
        self._progress.truncate(0)
        (self.root / PROGRESS).unlink()
        return records

    def _is_done(self, record: Record | None) -> bool:
        if record is None or record.get("kind") in AGAIN:
            return False
        return (
            record["status"] != KEPT
            or (self.root / record["class"] / record["videoid"] / "mask.json").is_file()
        )

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        path = self.root / SETTINGS
        if not path.exists():
            write_atomic(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(f"{path} is damaged: name a new folder with --out.") from None
        now = json.loads(json.dumps(settings))
        if before != now:
            keys = (
                sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
                if isinstance(before, dict)
                else ["all"]
            )
            raise InputError(
                f"{self.root} was built with other settings ({', '.join(keys)}): name a new folder with --out."
            )

    def _read(self) -> dict[str, Record]:
        """Records by videoid; the last line of the progress may have been cut off."""
        known: dict[str, Record] = {}
        for name in (MANIFEST, PROGRESS):
            path = self.root / name
            lines = (
                path.read_text(encoding="utf-8", errors="replace").split("\n")
                if path.is_file()
                else [""]
            )
            for number, line in enumerate(lines[:-1], 1):
                try:
                    record = json.loads(line)
                    known[record["videoid"]] = {**record, "status": record["status"]}
                except (ValueError, KeyError, TypeError):
                    raise InputError(
                        f"{path}, line {number} is damaged: take the line out, and its clip is looked at again."
                    ) from None
            if name == PROGRESS and lines[-1]:
                write_atomic(path, "".join(f"{line}\n" for line in lines[:-1]))
        return known


def _csv(columns: Sequence[str], rows: Iterable[Record]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _take_lock(root: Path) -> int:
    """The lock goes with the process, however it ends."""
    try:
        return lock_file(root / LOCK)
    except BlockingIOError:
        raise InputError(f"another process is writing to {root}.") from None


SHEET = "contact-sheet.png"
_FORMAT = 1


@dataclass(frozen=True)
class Built:
    """What a build came to: the records of all clips, in the order of the captions."""

    records: tuple[Record, ...]

    @property
    def kept(self) -> int:
        """How many clips are in the dataset."""
        return sum(record["status"] == KEPT for record in self.records)

    @property
    def unjudged(self) -> int:
        """How many could not be judged: their videos were missing or unreadable, or the segmenter
        failed."""
        return sum(record.get("kind") in AGAIN for record in self.records)

    def dropped(self) -> dict[str, int]:
        """How many were dropped, by the kind of reason, the commonest first."""
        counts: dict[str, int] = {}
        for record in self.records:
            if record["status"] != KEPT:
                counts[record["kind"]] = counts.get(record["kind"], 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def settings_of(terms: Terms) -> dict[str, Any]:
    """Everything that decides a dataset besides videos and captions. Makes the segmenter, so that
    it fails here if it must."""
    segmenter = make_builder(terms).segmenter
    how = {"name": segmenter.name, **segmenter.settings()}
    return {
        "format": _FORMAT,
        "classes": list(terms.classes),
        "segmenter": how,
        "filters": asdict(terms.filters),
    }


def build(
    terms: Terms,
    captions: Sequence[Caption],
    *,
    workers: int = 1,
    advance: Callable[[Record], None] = lambda _: None,
) -> Built:
    """Look at every clip that has not been looked at, and write the dataset's files.

    Stopped at any moment, all but the clips that were being looked at is kept, and the same call
    goes on. The files do not depend on the number of workers, nor on interruptions.

    Args:
        workers: processes.
        advance: told of every new record.
    Raises:
        InputError: no folder of videos; or as `Records`.
        UsageError, WeightsError: as `make_segmenter`.
        IncompleteError: a worker was killed.
    """
    if not terms.videos.is_dir():
        raise InputError(f"there is no folder of videos {terms.videos}.")
    with Records(terms.out, settings_of(terms)) as records:
        # what was being written when an earlier build was killed
        for folder in (terms.out, *terms.out.glob("*/")):
            clear_temporary(folder)
        for record in each(records.missing(captions), build_clip, make_builder, (terms,), workers):
            records.add(record)
            advance(record)
        done = records.finish(captions)
        write_sheet(terms.out / SHEET, done, terms.videos, terms.out)
    return Built(tuple(done))
