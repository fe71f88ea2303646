"""Files of a run folder: its manifest, its lock, and how anything is written so that it is there
whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbbench.core.digests import file_digest
from vbbench.core.locks import LOCK, lock_file
from vbbench.errors import InputError, RunFolderError

MANIFEST = "manifest.json"
NEW_SUITE = "suite.new"  # a suite that is being made inside of a run folder


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a run folder; empty where a new run may be.

    Raises:
        RunFolderError: it is no run folder and not empty, or its manifest is damaged.
    """
    if root.exists() and not root.is_dir():
        raise RunFolderError(f"{root} is a file, not a run folder.")
    path = root / MANIFEST
    if not path.is_file():
        others = (
            [entry.name for entry in root.iterdir() if entry.name not in (LOCK, "suite", NEW_SUITE)]
            if root.is_dir()
            else []
        )
        if others:
            raise RunFolderError(
                f"{root} is not a run folder and not empty: it holds {sorted(others)[0]}. Name another one with --out."
            )
        return {}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = [
            *(manifest["suite"][key] for key in ("name", "version", "digest")),
            manifest["scale"],
        ]
        for key in ("models", "metrics", "environment"):
            dict(manifest.get(key, {}))
        spec_ids(manifest.get("metrics", {}))
        if not isinstance(manifest.get("prompts_per_subject"), int | None):
            raise TypeError("prompts_per_subject")
    except (OSError, ValueError, KeyError, TypeError):
        known = [None]
    if not all(isinstance(value, str) for value in known):
        raise RunFolderError(f"the run folder {root} is damaged: {MANIFEST} cannot be read.")
    return manifest


def take_lock(root: Path) -> int:
    """Make a run folder, and keep other processes from writing to it. The lock goes with the
    process, however it ends.

    Raises:
        RunFolderError: another process is writing to it.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        return lock_file(root / LOCK)
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
