"""Files of a run folder: its lock, and how anything is written so that it is there
whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbbench.core.locks import lock_folder
from vbbench.errors import InputError, RunFolderError

_CHUNK_BYTES = 1 << 20
MANIFEST = "manifest.json"
NEW_SUITE = "suite.new"  # a suite that is being made inside of a run folder


def take_lock(root: Path) -> int:
    """Make a run folder, and keep other processes from writing to it. The lock goes with the
    process, however it ends.

    Raises:
        RunFolderError: another process is writing to it.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        return lock_folder(root)
    except BlockingIOError:
        raise RunFolderError(f"another process is writing to the run folder {root}.") from None


def copy_whole(source: Path, path: Path, content: str) -> None:
    """Copy a file.

    Args:
        content: digest that the copy must have.
    Raises:
        InputError: it has another: the file was changed in the meantime.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    try:
        shutil.copyfile(source, partial)
        if file_digest(partial) != content:
            raise InputError(f"{source} was changed while it was being read.")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text in the place of what is there."""
    partial = path.with_name(f"{path.name}.tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def spec_ids(metrics: Mapping[str, Any]) -> set[str]:
    """Ids of the specs in a manifest."""
    return {str(spec["id"]) for spec in metrics.values()}


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


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a recipe's files."""
    digest = hashlib.sha256()
    for path in folder_files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
