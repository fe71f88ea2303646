"""A lock that one process at a time holds; it goes with the process, however that ends. Standard
library only."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"
"""Name of the lock file inside of a folder that it keeps to one writer."""


def lock_file(path: Path, on_wait: Callable[[], None] | None = None) -> int:
    """Lock a file, which is made where it is missing.

    Args:
        on_wait: called once if another process holds the lock, which is then waited for; None does
            not wait.
    Returns:
        The open handle that holds it: closing it releases the lock.
    Raises:
        BlockingIOError: another process holds it, and waiting was not asked for.
        OSError: the file cannot be made, or its file system knows no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _try_lock(handle, path):
            if on_wait is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _try_lock(handle: int, path: Path) -> bool:
    """Whether the lock was free, and is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return True


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `lock_file`'s lock while it lasts.

    Raises:
        BlockingIOError, OSError: as `lock_file`.
    """
    handle = lock_file(path, on_wait)
    try:
        yield
    finally:
        os.close(handle)
