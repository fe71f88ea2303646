"""SHA-256, as 64 hex digits, of all that is told apart by its content: texts, bytes, JSON, files,
folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NUMBER_DIGITS = 16  # hex digits of 8 bytes


def sha256_of(content: str | bytes) -> str:
    """SHA-256 of bytes, or of a text in UTF-8 (half surrogates, as in odd file names, included)."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def sha256_number(text: str) -> int:
    """The first 8 bytes of a text's SHA-256 as an integer in [0, 2^64): a seed, or a draw."""
    return int(sha256_of(text)[:_NUMBER_DIGITS], 16)


def json_digest(content: Any, default: Callable[[Any], Any] | None = None) -> str:
    """SHA-256 of what JSON can hold; the order of keys does not count.

    Args:
        default: turns what JSON cannot hold into what it can.
    Raises:
        TypeError: something in it is not JSON's, and there is no ``default``.
        UnicodeEncodeError: a text holds half a surrogate pair.
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=default)
    return sha256_of(text.encode())


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, digest_of: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 over the names and contents of a recipe's files.

    Args:
        digest_of: what a file counts by; by default all its bytes.
    Raises:
        OSError: one of them cannot be read.
    """
    lines = [
        f"{path.relative_to(folder).as_posix()}\0{digest_of(path)}\n"
        for path in folder_files(folder)
    ]
    return sha256_of("".join(lines).encode())


def folder_files(folder: Path) -> list[Path]:
    """The files that belong to a recipe, sorted; hidden files, Python's caches and records of a
    tuning (tuning*.json) do not."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not _is_clutter(path.relative_to(folder)))


def _is_clutter(relative: Path) -> bool:
    return (
        relative.suffix == ".pyc"
        or relative.match("tuning*.json")
        or any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
    )
