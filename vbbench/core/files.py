"""Files and folders that are there whole or not at all: written beside their place under a hidden
temporary name, then put into it by one rename."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vbbench.core.digests import file_digest
from vbbench.errors import InputError

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.tmp(\.\w+)?", re.DOTALL)
_LONGEST_NAME = 220  # bytes of a target's name that fit into a temporary one, of at most 255


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file, in the place of one that is there; missing folders above it are made.

    Args:
        content: text is written as UTF-8, line ends as they are.
    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(_as_bytes(content))


def write_once(path: Path, content: str | bytes) -> bool:
    """Write a file that nobody has written yet: of several processes the first one wins.

    Returns:
        Whether it was this one; False where the file is there already.
    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_path(path)
    _create(partial)
    try:
        partial.write_bytes(_as_bytes(content))
        os.link(partial, path)  # unlike a rename, it replaces nothing
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


@contextmanager
def atomic_file(path: Path, *, suffix: str = "") -> Iterator[Path]:
    """An empty file beside ``path`` to write to, which takes its place at the end; on any failure
    it is removed, and what was there stays. Missing folders above it are made.

    Args:
        suffix: at the end of the temporary name, for writers that tell the format by it.
    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_path(path, suffix)
    _create(partial)
    try:
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # safetensors keeps what it writes to the owner
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder beside ``path`` to fill, which takes its place at the end; on any failure it
    is removed, and what was there stays. Missing folders above it are made.

    Args:
        replace: also take the place of a folder that is there.
    Raises:
        FileExistsError: at the end there is something at ``path`` (an empty folder is nothing).
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary_path(path)
    partial.mkdir()
    try:
        yield partial
        if replace:
            _replace_folder(partial, path)
        else:
            _rename_folder(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace_folder(partial: Path, path: Path) -> None:
    """What is at ``path`` comes back if the new folder cannot be put there."""
    if not path.is_dir():
        _rename_folder(partial, path)
        return
    old = temporary_path(path)
    os.replace(path, old)
    try:
        _rename_folder(partial, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _rename_folder(partial: Path, path: Path) -> None:
    try:
        os.replace(partial, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None


def copy_whole(source: Path, path: Path, content: str) -> None:
    """Copy a file.

    Args:
        content: digest that the copy must have.
    Raises:
        InputError: it has another: the file was changed in the meantime.
    """
    with atomic_file(path) as partial:
        shutil.copyfile(source, partial)
        if file_digest(partial) != content:
            raise InputError(f"{source} was changed while it was being read.")


def clear_temporary(folder: Path, of: Path | None = None) -> None:
    """Remove what writers that were killed left in a folder; only while nobody else writes there.

    Args:
        of: what they were writing; None: anything.
    """
    for path in folder.iterdir():
        if not is_temporary(path) or (of is not None and not path.name.startswith(_start(of))):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether it is what a writer is writing, or left behind when it was killed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def temporary_path(path: Path, suffix: str = "") -> Path:
    """A hidden name beside ``path`` that nobody else has or can guess."""
    return path.with_name(f"{_start(path)}{secrets.token_hex(8)}.tmp{suffix}")


def _start(path: Path) -> str:
    """How temporary names of ``path`` begin."""
    name = path.name
    return f".{name}." if len(os.fsencode(name)) <= _LONGEST_NAME else f".{name[:50]}."


def _create(path: Path) -> None:
    """An empty file under a name that must be free; a link under it is not followed.

    Raises:
        FileExistsError: the name is taken.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    os.close(os.open(path, flags, 0o666))


def _as_bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content
