"""What the site's page shows of one result, and the small things that every kind of result needs
for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from vbbench.results import formatting

NOTES = "README.md"
LONGEST = 400
"""Letters of a sentence that is taken from elsewhere."""


@dataclass(frozen=True)
class Figure:
    """A number that matters, ready to be shown: ``8 of 17``, ``claims reproduced``."""

    number: str
    says: str


@dataclass(frozen=True)
class Cell:
    """A field of a table.

    Attributes:
        text, note: what stands there, and what stands below it in small letters.
        kind: ``better``, ``worse``, ``same`` or nothing: the mark before it.
        share: 0..100, how much of a small bar is filled; None for no bar.
    """

    text: str
    note: str = ""
    kind: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Line:
    """A row of a table, with its head; ``soft`` for rows that are there to compare with."""

    head: str
    cells: tuple[Cell, ...]
    soft: bool = False
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A small table. `heads` has one more than the rows have cells."""

    caption: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Picture:
    """A picture below the folder; width and height in pixels, so that the page does not jump."""

    href: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Entry:
    """One result: a title, a sentence, its key figures, and where to read on."""

    id: str
    title: str
    sentence: str
    figures: tuple[Figure, ...] = ()
    table: Table | None = None
    links: tuple[tuple[str, str], ...] = ()
    picture: Picture | None = None
    made: str = ""


def links_of(
    root: Path, folder: Path, files: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """(text, address) of the files that are there, then of the nearest notes."""
    links = [
        (text, address(root, folder / name)) for text, name in files if (folder / name).is_file()
    ]
    notes = next(
        (place / NOTES for place in _upwards(root, folder) if (place / NOTES).is_file()), None
    )
    return (*links, *([("Notes", address(root, notes))] if notes else ()))


def _upwards(root: Path, folder: Path) -> list[Path]:
    """The folder and those above it, below the root."""
    return [
        place for place in (folder, *folder.parents) if place != root and place.is_relative_to(root)
    ]


def address(root: Path, path: Path) -> str:
    """Of a file below the root, as pages name it; whatever is in its name."""
    return quote(path.relative_to(root).as_posix())


def entry_id(root: Path, path: Path) -> str:
    """An anchor: the file's place, in letters that an address may hold; no two files share one."""
    return formatting.file_name(path.relative_to(root).with_suffix("").as_posix())


def picture_of(root: Path, path: Path, alt: str) -> Picture | None:
    """A PNG with its size; None where there is none that can be read."""
    try:
        with Image.open(path) as image:
            return Picture(address(root, path), *image.size, alt)
    except OSError:
        return None


def made_words(created: object, environment: object = None, commit: object = None) -> str:
    """``2026-11-23, Intel Xeon, 1 thread, commit 0123abc``, as far as it is known."""
    facts = environment if isinstance(environment, dict) else {}
    threads = facts.get("threads")
    parts = [
        str(created or "")[:10],
        str(facts.get("device_name") or facts.get("gpu") or facts.get("cpu") or ""),
        formatting.count(threads, "thread") if isinstance(threads, int) else "",
        f"commit {str(commit or facts.get('commit') or '')[:10]}"
        if commit or facts.get("commit")
        else "",
    ]
    return ", ".join(filter(None, parts))


def notes_entry(root: Path, path: Path) -> Entry:
    """A folder that tells its story in words alone: the heading and the first paragraph of its
    README.md."""
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", path.read_text("utf-8"))]
    title = next(
        (block.lstrip("# ") for block in blocks if block.startswith("#")), path.parent.name
    )
    prose = next(
        (
            block
            for block in blocks
            if block and block[0] not in "#|-!<>" and not block.startswith("```")
        ),
        "",
    )
    return Entry(
        entry_id(root, path),
        title,
        formatting.clipped(_plain(prose), LONGEST),
        links=(("Read", address(root, path)),),
    )


def _plain(markdown: str) -> str:
    """A paragraph without its marks."""
    return re.sub(r"\*\*|`", "", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown))
