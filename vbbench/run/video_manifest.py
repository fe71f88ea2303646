"""Reads a manifest: a CSV file with one video a row, and what it was made from.

Columns: ``video``, ``image`` (the image prompt), ``text`` (the text prompt), ``subject`` (the individual's name: rows of one
individual count together in the statistics); and, where known, ``id``, ``class``, ``subject_word``. UTF-8; paths are relative to
the manifest's folder, or absolute.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.errors import InputError
from vbbench.run.submission import safe_name
from vbbench.suite import has_word

REQUIRED = ("video", "image", "text", "subject")
OPTIONAL = ("id", "class", "subject_word")
UNKNOWN_CLASS = "unknown"


@dataclass(frozen=True)
class Row:
    """A row, checked as far as that is possible without looking at its files.

    Attributes:
        line: where it begins in the file, from 1.
        id, subject: made safe to name files; the id is the row's number and subject where the manifest has none.
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
        """The subject word: the manifest's; else the class or the subject's name, whichever stands in the text; else all of the text.

        Scores do not depend on it; the last of these says that nobody knows which of its words are the subject.
        """
        candidates = (self.subject_word, self.class_name, self.subject_name)
        return next((word for word in candidates if word and has_word(self.text, word)), self.text)


def read_manifest(path: Path) -> tuple[list[Row], list[str]]:
    """The rows, and sentences that the user should read.

    Raises:
        InputError: not there, no CSV in UTF-8, a wrong header, no row, a row without text or subject, a subject word that is no
            word of its text, an id that stands there twice, or a subject of two classes. The sentence names the line.
    """
    cells = _cells(path)
    _, header = next(cells, (1, []))
    columns = _columns(path, header)
    rows = [_row(path, line, number, values, columns, len(header)) for number, (line, values) in enumerate(cells, 1)]
    if not rows:
        raise InputError(f"{path} holds no row below its header.")
    _check_together(path, rows)
    unused = [name for name in columns if name not in REQUIRED + OPTIONAL]
    return rows, [f"columns of {path} that say nothing to vbbench: {', '.join(unused)}."] if unused else []


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not empty."""
    if not path.is_file():
        raise InputError(f"{path} is a folder, not a manifest." if path.is_dir() else f"there is no manifest {path}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            line = 1
            for values in reader:
                if any(value.strip() for value in values):
                    yield line, [value.strip() for value in values]
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8.") from None
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
        raise InputError(f"{path}, line 1: the columns {', '.join(REQUIRED)} are needed, {', '.join(missing)} is missing ({found}{hint}).")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}, line 1: the column {twice[0]} stands there twice.")
    return {name: place for place, name in enumerate(names)}


def _row(path: Path, line: int, number: int, values: Sequence[str], columns: Mapping[str, int], width: int) -> Row:
    where = f"{path}, line {line}"
    if len(values) != width:
        raise InputError(f"{where}: it has {len(values)} cells, the header has {width}; texts with commas stand in quotes.")
    if any("\0" in value for value in values):
        raise InputError(f"{where}: it holds a NUL character; this is no text.")
    cell = {name: values[columns[name]] if name in columns else "" for name in REQUIRED + OPTIONAL}
    empty = [name for name in ("text", "subject") if not cell[name]]
    if empty or ("id" in columns and not cell["id"]):
        raise InputError(f"{where}: the {(*empty, 'id')[0]} is missing.")
    if cell["subject_word"] and not has_word(cell["text"], cell["subject_word"]):
        raise InputError(f"{where}: the subject word {cell['subject_word']!r} is not a word of the text.")
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
            raise InputError(f"{path}, line {row.line}: the id {row.id!r} stands in line {first[row.id]} too.")
        known = classes.setdefault(row.subject, row) if row.class_name else row
        if known.class_name != row.class_name:
            differ = f"a {row.class_name}, in line {known.line} a {known.class_name}"
            raise InputError(f"{path}, line {row.line}: the subject {row.subject_name!r} is {differ}.")
