"""One process writes a folder at a time. Standard library only."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def lock_folder(root: Path) -> int:
    """Keep other processes from writing to a folder; the lock goes with the process, however it
    ends.

    Returns:
        The open handle that holds it.
    Raises:
        BlockingIOError: another process holds it.
    """
    handle = os.open(root / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise BlockingIOError(root) from None
    return handle
