"""Digests of published weights that came without one: written down at the first use, and held from then on.

One small JSON a file, made whole and then linked to its name, which only the first of several processes can do: nobody ever rewrites a
record, so none is lost. To accept another file, delete its record.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from vbbench import resources
from vbbench.errors import WeightsError


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read once a process as long as the file does not change.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        status = path.stat()
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {error.strerror}.") from None


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    return resources.file_digest(path)


def record_path(encoder: str, file: str) -> Path:
    """Where the digest of an encoder's file is written down."""
    return resources.cache_dir() / "digests" / f"{encoder}--{file}.json"


def hold(encoder: str, path: Path) -> str:
    """The file's SHA-256, held against the one recorded for this encoder and file name; recorded now if there is none.

    Raises:
        WeightsError: another digest was recorded, or records cannot be read or written.
    """
    digest = digest_of(path)
    record = record_path(encoder, path.name)
    recorded = _read(record) or _write(record, {"encoder": encoder, "file": path.name, "sha256": digest, "when": _now()})
    if recorded != digest:
        raise WeightsError(
            f"{path} is not the file that {encoder} was first used with: its SHA-256 starts with {digest[:12]}, {record} says "
            f"{recorded[:12]}; bring the old file back, or delete that record to accept the new one."
        )
    return digest


def _read(record: Path) -> str | None:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"the digest recorded in {record} cannot be read ({error}): delete it to record it anew.") from None


def _write(record: Path, known: dict[str, str]) -> str:
    """The digest that is on record in the end: ours, or another process's that came first."""
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=record.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(known, indent=2) + "\n")
            os.link(partial, record)
        except FileExistsError:
            return _read(record) or known["sha256"]
        finally:
            os.unlink(partial)
    except OSError as error:
        raise WeightsError(
            f"the digest of {known['file']} cannot be recorded in {record.parent}: {error.strerror}; "
            f"set {resources.CACHE_VARIABLE} to a folder that can be written to."
        ) from None
    return known["sha256"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
