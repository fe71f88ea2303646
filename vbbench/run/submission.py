"""Videos that somebody hands in: which of them answers which prompt item.

A name says which item a video is for, and nothing else is ever read from it: texts and pictures come from the suite.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.errors import InputError
from vbbench.types import PromptItem, PromptSuite

SHOWN = 5  # names in one line
MOST_COMPARED = 100  # names that are held against all ids; it takes a while
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Given:
    """What was handed in for an item: a file or a folder of pictures, or the reason why there is none to look at."""

    item: PromptItem
    source: Path | None
    reason: str | None = None


@dataclass(frozen=True)
class Submission:
    """One video an item of a suite, in its order; the scale to score them at; and sentences that the user should read."""

    suite: PromptSuite
    scale: str
    given: tuple[Given, ...]
    notes: tuple[str, ...] = ()


def is_safe(name: str) -> bool:
    """Whether a name may name files and folders anywhere."""
    return _SAFE.fullmatch(name) is not None


def safe_name(name: str) -> str:
    """The name itself if it is safe, else what is safe of it and a digest of the whole: different names stay different."""
    if is_safe(name):
        return name
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:40]
    return f"{kept or 'x'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def listed(names: Sequence[str]) -> str:
    """The first `SHOWN` of them in one line, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def match_folder(folder: Path, suite: PromptSuite, scale: str) -> Submission:
    """The videos of a folder: ``<item id>.mp4`` (or another suffix of `vbbench.video.SUFFIXES`), or a folder ``<item id>`` of pictures.

    Links are followed, wherever they lead; those that lead out of the folder are told.

    Raises:
        InputError: no folder, or nothing in it is called like an item of the suite.
    """
    from vbbench.video import SUFFIXES

    if not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder of videos." if folder.exists() else f"there is no folder {folder}.")
    ids = {item.id for item in suite.items}
    found: dict[str, list[Path]] = {}
    strangers = []
    for entry in sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
        video = entry.name if entry.is_dir() else entry.stem if entry.suffix.lower() in SUFFIXES else None
        if video in ids:
            found.setdefault(video, []).append(entry)
        else:
            strangers.append(entry)
    missing = [item.id for item in suite.items if item.id not in found]
    notes = [_about_strangers(folder, strangers, missing, suite)] if strangers else []
    if not found:
        raise InputError(
            f"nothing in {folder} is called like an item of the suite {suite.name}, whose first video would be {suite.items[0].id}.mp4."
            f"{' ' + notes[0] if notes else ''}"
        )
    outside = [path for paths in found.values() for path in paths if _leads_out(path, folder)]
    if outside:
        notes.append(f"{len(outside)} of the videos are links out of {folder}, which were followed: {_names(outside)}.")
    given = tuple(_given(item, found.get(item.id, []), strangers, folder, SUFFIXES) for item in suite.items)
    return Submission(suite, scale, given, tuple(notes))


def _given(item: PromptItem, paths: Sequence[Path], strangers: Iterable[Path], folder: Path, suffixes: Sequence[str]) -> Given:
    if len(paths) == 1:
        return Given(item, paths[0])
    if paths:
        return Given(item, None, f"there are {len(paths)} videos for this item: {_names(paths)}.")
    alike = [entry for entry in strangers if entry.stem == item.id]
    hint = f" ({_names(alike)}: known are {', '.join(suffixes)} and folders of pictures)" if alike else ""
    return Given(item, None, f"there is no video for this item: {item.id}.* in {folder}{hint}.")


def _about_strangers(folder: Path, strangers: Sequence[Path], missing: Sequence[str], suite: PromptSuite) -> str:
    lower: Mapping[str, str] = {item_id.lower(): item_id for item_id in missing}
    near = {entry: _nearest(entry, lower) for entry in strangers[:MOST_COMPARED]}
    ordered = sorted(strangers, key=lambda entry: near.get(entry) is None)  # those that may be meant for an item come first
    shown = [f"{entry.name} (did you mean {near[entry]}?)" if near.get(entry) else entry.name for entry in ordered]
    count = f"{len(strangers)} names in {folder} are" if len(strangers) > 1 else f"one name in {folder} is"
    return f"{count} no item of the suite {suite.name} and left out: {listed(shown)}."


def _nearest(entry: Path, lower: Mapping[str, str]) -> str | None:
    near = difflib.get_close_matches(entry.stem.lower(), lower, n=1, cutoff=0.75)
    return lower[near[0]] if near else None


def _leads_out(path: Path, folder: Path) -> bool:
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _names(paths: Sequence[Path]) -> str:
    return listed([path.name for path in paths])
