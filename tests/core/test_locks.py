"""One process at a time, and whoever comes second waits or is told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vbbench.core import locks
from vbbench.core.locks import lock_file, locked

HOLD = """
import sys
from pathlib import Path
from vbbench.core.locks import lock_file
lock_file(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def other(path: Path):
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_does_not_wait_is_told_which_file(path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(BlockingIOError) as caught:
        lock_file(path)
    assert caught.value.filename == str(path)


def test_who_waits_is_told_once_and_gets_it(path: Path, other: subprocess.Popen[str]) -> None:
    told: list[bool] = []

    def release() -> None:
        told.append(True)
        assert other.stdin is not None
        other.stdin.close()

    with locked(path, on_wait=release), pytest.raises(BlockingIOError):
        lock_file(path)
    assert told == [True]


def test_it_goes_with_the_process_however_it_ends(path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    os.close(lock_file(path))


def test_it_ends_with_the_block_also_by_an_error(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(path, on_wait=pytest.fail):
        raise KeyboardInterrupt
    os.close(lock_file(path))


def test_nobody_who_waits_keeps_a_handle_open(path: Path, other: subprocess.Popen[str]) -> None:
    handles = len(os.listdir("/proc/self/fd"))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lock_file(path, on_wait=interrupt)
    assert len(os.listdir("/proc/self/fd")) == handles


def test_a_file_system_without_locks_is_not_another_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks available") as caught:
        lock_file(path)
    assert not isinstance(caught.value, BlockingIOError)
