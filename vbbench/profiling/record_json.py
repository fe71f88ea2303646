"""A profile's record as JSON: written the same for the same record, and read back with
suspicion."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from vbbench.core.schema import NewerFormatError, validate
from vbbench.core.strict_json import parse
from vbbench.errors import RunFolderError
from vbbench.profiling.record import Record

FORMAT, VERSION = "vbbench-profile", 1


def write_record(record: Record, path: Path) -> None:
    """As JSON, the same bytes for the same record.

    Raises:
        ValueError: a number in it is not finite.
    """
    text = json.dumps(
        {"format": FORMAT, "version": VERSION, **dataclasses.asdict(record)},
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    path.write_text(text + "\n", "utf-8")


def read_record(path: Path) -> Record:
    """A record back from JSON.

    Raises:
        RunFolderError: it cannot be read, or is not what `write_record` wrote.
    """
    try:
        data = parse(path.read_text("utf-8"))
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: it is no JSON: {error}.") from error
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise RunFolderError(f"{path} is no profile.")
    version = data.pop("version", None)
    if isinstance(version, int) and version > VERSION:
        raise RunFolderError(f"{path} {NewerFormatError(version, VERSION)}.")
    if version != VERSION:
        raise RunFolderError(
            f"{path} is of another version ({version!r}); this program reads version {VERSION}."
        )
    try:
        return validate(Record, data, "the profile")
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}.") from error
