"""Files of a run folder that are known before it is opened: its manifest and its lock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbbench.core.files import clear_temporary, is_temporary
from vbbench.core.locks import LOCK, lock_file
from vbbench.errors import RunFolderError

MANIFEST = "manifest.json"
# what lies in a folder that a new run may be written to; "suite.new" was left by version 0.1.0
_BEFORE_A_RUN = (LOCK, "suite", "suite.new")


def may_lie_in_new(entry: Path) -> bool:
    """Whether a folder that holds it may still become a new run folder."""
    return entry.name in _BEFORE_A_RUN or is_temporary(entry)


def take_lock(root: Path) -> int:
    """Make a run folder, and keep other processes from writing to it. The lock goes with the
    process, however it ends. What writers that were killed left behind is removed.

    Raises:
        RunFolderError: another process is writing to it.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        handle = lock_file(root / LOCK)
    except BlockingIOError:
        raise RunFolderError(f"another process is writing to the run folder {root}.") from None
    for folder in (root, *root.glob("videos/*/"), *root.glob("adapters/*/")):
        clear_temporary(folder)
    return handle


def spec_ids(metrics: Mapping[str, Any]) -> set[str]:
    """Ids of the specs in a manifest."""
    return {str(spec["id"]) for spec in metrics.values()}
