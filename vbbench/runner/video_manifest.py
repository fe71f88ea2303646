"""Reads a manifest: a CSV file with one video a row, and what it was made from.

Columns: ``video``, ``image`` (the image prompt), ``text`` (the text prompt), ``subject`` (the
individual's name: rows of one individual count together in the statistics); and, where known,
``id``, ``class``, ``subject_word``. UTF-8; paths are relative to the manifest's folder, or
absolute.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbbench.core.digests import file_digest
from vbbench.core.files import atomic_folder
from vbbench.data import suite as suites
from vbbench.data.suite import has_word
from vbbench.data.suites import load_suite
from vbbench.errors import InputError, RunFolderError, VBBenchError, one_line
from vbbench.runner.run_folder_files import take_lock
from vbbench.runner.store import RunStore
from vbbench.runner.submission import Given, Submission, listed, safe_name

REQUIRED = ("video", "image", "text", "subject")
OPTIONAL = ("id", "class", "subject_word")
UNKNOWN_CLASS = "unknown"


@dataclass(frozen=True)
class Row:
    """A row, checked as far as that is possible without looking at its files.

    Attributes:
        line: where it begins in the file, from 1.
        id, subject: made safe to name files; the id is the row's number and subject where the
            manifest has none.
        subject_name: as it is written.
        video, image: paths; None where the cell is empty.
        class_name, subject_word: None where the manifest says nothing.
    """

    line: int
    id: str
    subject: str
    subject_name: str
    text: str
    video: Path | None
    image: Path | None
    class_name: str | None
    subject_word: str | None

    @property
    def word(self) -> str:
        """The subject word: the manifest's; else the class or the subject's name, whichever stands
        in the text; else all of the text.

        Scores do not depend on it; the last of these says that nobody knows which of its words are
        the subject.
        """
        candidates = (self.subject_word, self.class_name, self.subject_name)
        return next((word for word in candidates if word and has_word(self.text, word)), self.text)


def read_manifest(path: Path) -> tuple[list[Row], list[str]]:
    """The rows, and sentences that the user should read.

    Raises:
        InputError: not there, no CSV in UTF-8, a wrong header, no row, a row without text or
            subject, a subject word that is no word of its text, an id that stands there twice, or a
            subject of two classes. The sentence names the line.
    """
    cells = _cells(path)
    _, header = next(cells, (1, []))
    columns = _columns(path, header)
    rows = [
        _row(path, line, number, values, columns, len(header))
        for number, (line, values) in enumerate(cells, 1)
    ]
    if not rows:
        raise InputError(f"{path} holds no row below its header.")
    _check_together(path, rows)
    unused = [name for name in columns if name not in REQUIRED + OPTIONAL]
    return rows, [
        f"columns of {path} that say nothing to vbbench: {', '.join(unused)}."
    ] if unused else []


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not empty."""
    if not path.is_file():
        raise InputError(
            f"{path} is a folder, not a manifest."
            if path.is_dir()
            else f"there is no manifest {path}."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            line = 1
            for values in reader:
                if any(value.strip() for value in values):
                    yield line, [value.strip() for value in values]
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: this is no CSV: {error}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    names = [name.lower() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        found = f"it has {', '.join(header)}" if header else "it is empty"
        hint = "; columns are separated by commas" if len(header) == 1 and ";" in header[0] else ""
        raise InputError(
            f"{path}, line 1: the columns {', '.join(REQUIRED)} are needed, {', '.join(missing)} is missing ({found}{hint})."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}, line 1: the column {twice[0]} stands there twice.")
    return {name: place for place, name in enumerate(names)}


def _row(
    path: Path,
    line: int,
    number: int,
    values: Sequence[str],
    columns: Mapping[str, int],
    width: int,
) -> Row:
    where = f"{path}, line {line}"
    if len(values) != width:
        raise InputError(
            f"{where}: it has {len(values)} cells, the header has {width}; texts with commas stand in quotes."
        )
    if any("\0" in value for value in values):
        raise InputError(f"{where}: it holds a NUL character; this is no text.")
    cell = {name: values[columns[name]] if name in columns else "" for name in REQUIRED + OPTIONAL}
    empty = [name for name in ("text", "subject") if not cell[name]]
    if empty or ("id" in columns and not cell["id"]):
        raise InputError(f"{where}: the {(*empty, 'id')[0]} is missing.")
    if cell["subject_word"] and not has_word(cell["text"], cell["subject_word"]):
        raise InputError(
            f"{where}: the subject word {cell['subject_word']!r} is not a word of the text."
        )
    return Row(
        line=line,
        id=safe_name(cell["id"]) if cell["id"] else f"{number:04d}-{safe_name(cell['subject'])}",
        subject=safe_name(cell["subject"]),
        subject_name=cell["subject"],
        text=cell["text"],
        video=path.parent / cell["video"] if cell["video"] else None,
        image=path.parent / cell["image"] if cell["image"] else None,
        class_name=cell["class"] or None,
        subject_word=cell["subject_word"] or None,
    )


def _check_together(path: Path, rows: Sequence[Row]) -> None:
    first: dict[str, int] = {}
    classes: dict[str, Row] = {}
    for row in rows:
        if first.setdefault(row.id, row.line) != row.line:
            raise InputError(
                f"{path}, line {row.line}: the id {row.id!r} stands in line {first[row.id]} too."
            )
        known = classes.setdefault(row.subject, row) if row.class_name else row
        if known.class_name != row.class_name:
            differ = f"a {row.class_name}, in line {known.line} a {known.class_name}"
            raise InputError(
                f"{path}, line {row.line}: the subject {row.subject_name!r} is {differ}."
            )


# A suite made of a manifest's rows, inside of the run folder: from there on, its videos are scored
# like any other suite's.
#
# Two manifests with the same prompts, whose videos have the same shape, make the same suite, so
# that their runs can be put side by
# side. A second folder of videos for the same prompts is scored by ``--videos DIR --suite
# RUN/suite``.

NAME = "manifest"
METRICS = ("clip-text", "clip-image", "dino", "temporal-consistency", "motion")
NO_IMAGE = "images/none.png"
USUAL_SHAPE = (8, 256, 8)  # frames, pixels, frames a second, where no header tells


@contextmanager
def opened(
    root: Path, rows: Sequence[Row], *, scale: str, num_frames: int | None, fps: float | None
) -> Iterator[tuple[RunStore, Submission]]:
    """The run folder with the rows' suite in it, which replaces the one of an earlier state of the
    manifest.

    Args:
        num_frames, fps: what the command line says of all videos; None where it says nothing.
    Raises:
        RunFolderError: as `RunStore`.
    """
    _refuse_strange_suite(root / "suite")
    lock = take_lock(root)
    try:
        submission = make_submission(root, rows, scale=scale, num_frames=num_frames, fps=fps)
    except BaseException:
        os.close(lock)
        raise
    with RunStore(root, submission.suite, scale, own_suite=True, lock=lock) as store:
        yield store, submission


def _refuse_strange_suite(folder: Path) -> None:
    """The folder is going to be replaced: it must be one that was made here.

    Raises:
        RunFolderError: it holds anything that a suite made here does not.
    """
    ours = {"suite.toml", "items.jsonl", "subjects.jsonl", "images"}
    strange = (
        sorted(entry.name for entry in folder.iterdir() if entry.name not in ours)
        if folder.is_dir()
        else []
    )
    if strange:
        raise RunFolderError(
            f"{folder} is no suite made by vbbench score: it holds {strange[0]}. Name another run folder with --out."
        )


def make_submission(
    root: Path, rows: Sequence[Row], *, scale: str, num_frames: int | None, fps: float | None
) -> Submission:
    """Write the suite to ``root/suite``, in the place of one that is there, and say which video
    answers which of its items.

    A row whose image cannot be read keeps its place, with the reason, behind a grey picture. Where
    a subject has several images, its videos are held against all of them; the first stands for it
    as the image prompt.

    Args:
        root: the run folder; the caller holds its lock.
        num_frames, fps: as in `opened`.
    """
    pictures: dict[str, list[str]] = {}
    problems: dict[str, str] = {}
    with atomic_folder(root / "suite", replace=True) as new:
        (new / "images").mkdir()
        for row in rows:
            own = pictures.setdefault(row.subject, [])
            try:
                copy = _keep_image(row, new)
            except InputError as error:
                problems[row.id] = one_line(error)
            else:
                own += [copy] if copy not in own else []
        if not all(pictures.values()):
            _draw_nothing(new / NO_IMAGE)
        classes = {row.subject: row.class_name for row in rows if row.class_name}
        subjects = [
            _subject_row(name, classes.get(name, UNKNOWN_CLASS), own or [NO_IMAGE])
            for name, own in pictures.items()
        ]
        items = [
            _item_row(row, subject)
            for row in rows
            for subject in subjects
            if subject["id"] == row.subject
        ]
        suites.write(new, _settings(rows, scale, num_frames, fps), subjects, items)
    suite = load_suite(root / "suite")
    given = tuple(
        _given(row, item, problems.get(row.id)) for row, item in zip(rows, suite.items, strict=True)
    )
    several = [name for name, own in pictures.items() if len(own) > 1]
    notes = (
        (
            f"videos are held against all images of their subject; more than one have {listed(several)}.",
        )
        if several
        else ()
    )
    return Submission(suite, scale, given, notes)


def _given(row: Row, item: Any, problem: str | None) -> Given:
    if problem is None and row.video is None:
        problem = f"line {row.line} of the manifest names no video."
    return Given(item, None if problem else row.video, problem)


def _keep_image(row: Row, folder: Path) -> str:
    """Copy a row's image into the suite, under a name made of its bytes; returns that name.

    Raises:
        InputError: there is none, or it is no picture.
    """
    from vbbench.media.pictures import load_picture

    if row.image is None:
        raise InputError(f"line {row.line} of the manifest names no image.")
    try:
        load_picture(row.image)
    except OSError as error:
        raise InputError(f"{row.image} cannot be read: {error.strerror}.") from None
    suffix = row.image.suffix.lower()
    name = f"images/{file_digest(row.image)[:20]}{suffix if suffix[1:].isalnum() and suffix.isascii() else ''}"
    shutil.copyfile(row.image, folder / name)
    return name


def _draw_nothing(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), (128, 128, 128)).save(path)


def _subject_row(name: str, class_name: str, pictures: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "class": class_name, "image": pictures[0]}
    return {**row, "references": list(pictures[1:])} if len(pictures) > 1 else row


def _item_row(row: Row, subject: dict[str, Any]) -> dict[str, Any]:
    known = {
        "id": row.id,
        "subject": row.subject,
        "class": subject["class"],
        "image": subject["image"],
    }
    return {**known, "text": row.text, "subject_word": row.word}


def _settings(
    rows: Sequence[Row], scale: str, num_frames: int | None, fps: float | None
) -> dict[str, Any]:
    """Settings of the suite; its shape is what most of the videos have, and only pages show it."""
    from vbbench.media.video import probe

    facts = []
    for row in rows:
        try:
            facts += [probe(row.video)] if row.video is not None else []
        except VBBenchError:
            continue  # told when the video is read
    frames, size, rate = USUAL_SHAPE
    return {
        "name": NAME,
        "version": "1",
        "description": "Prompts that came with their videos",
        "scale": scale,
        "num_frames": num_frames or _most((fact.frames for fact in facts if fact.frames), frames),
        "size": _most((min(fact.size) for fact in facts), size),
        "fps": max(1, round(fps or _most((fact.fps for fact in facts if fact.fps), rate))),
        "seed": 0,
        "metrics": list(METRICS),
    }


def _most(values: Iterable[Any], otherwise: Any) -> Any:
    """The commonest value, the smallest of several."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else otherwise
