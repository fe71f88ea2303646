"""A suite made of a manifest's rows, inside of the run folder: from there on, its videos are scored like any other suite's.

Two manifests with the same prompts, whose videos have the same shape, make the same suite, so that their runs can be put side by
side. A second folder of videos for the same prompts is scored by ``--videos DIR --suite RUN/suite``.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vbbench import suite as suites
from vbbench.errors import InputError, RunFolderError, VBBenchError, one_line
from vbbench.resources import file_digest
from vbbench.run.folder import NEW_SUITE, take_lock
from vbbench.run.store import RunStore
from vbbench.run.submission import Given, Submission, listed
from vbbench.run.video_manifest import UNKNOWN_CLASS, Row

NAME = "manifest"
METRICS = ("clip-text", "clip-image", "dino", "temporal-consistency", "motion")
NO_IMAGE = "images/none.png"
USUAL_SHAPE = (8, 256, 8)  # frames, pixels, frames a second, where no header tells


@contextmanager
def opened(
    root: Path, rows: Sequence[Row], *, scale: str, num_frames: int | None, fps: float | None
) -> Iterator[tuple[RunStore, Submission]]:
    """The run folder with the rows' suite in it, which replaces the one of an earlier state of the manifest.

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
    strange = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours) if folder.is_dir() else []
    if strange:
        raise RunFolderError(f"{folder} is no suite made by vbbench score: it holds {strange[0]}. Name another run folder with --out.")


def make_submission(root: Path, rows: Sequence[Row], *, scale: str, num_frames: int | None, fps: float | None) -> Submission:
    """Write the suite to ``root/suite``, in the place of one that is there, and say which video answers which of its items.

    A row whose image cannot be read keeps its place, with the reason, behind a grey picture. Where a subject has several images,
    its videos are held against all of them; the first stands for it as the image prompt.

    Args:
        root: the run folder; the caller holds its lock.
        num_frames, fps: as in `opened`.
    """
    new = root / NEW_SUITE
    shutil.rmtree(new, ignore_errors=True)
    (new / "images").mkdir(parents=True)
    pictures: dict[str, list[str]] = {}
    problems: dict[str, str] = {}
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
    subjects = [_subject_row(name, classes.get(name, UNKNOWN_CLASS), own or [NO_IMAGE]) for name, own in pictures.items()]
    items = [_item_row(row, subject) for row in rows for subject in subjects if subject["id"] == row.subject]
    suites.write(new, _settings(rows, scale, num_frames, fps), subjects, items)
    shutil.rmtree(root / "suite", ignore_errors=True)
    new.rename(root / "suite")
    suite = suites.load(root / "suite")
    given = tuple(_given(row, item, problems.get(row.id)) for row, item in zip(rows, suite.items, strict=True))
    several = [name for name, own in pictures.items() if len(own) > 1]
    notes = (f"videos are held against all images of their subject; more than one have {listed(several)}.",) if several else ()
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
    from vbbench.pictures import load_picture

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
    known = {"id": row.id, "subject": row.subject, "class": subject["class"], "image": subject["image"]}
    return {**known, "text": row.text, "subject_word": row.word}


def _settings(rows: Sequence[Row], scale: str, num_frames: int | None, fps: float | None) -> dict[str, Any]:
    """Settings of the suite; its shape is what most of the videos have, and only pages show it."""
    from vbbench.video import probe

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
