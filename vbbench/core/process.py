"""A program run as a process group of its own: what it wrote last, how it ended, and that nothing
of it is left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

import psutil

TAIL_CHARACTERS = 16_384
LINE_CHARACTERS = 300
GRACE_SECONDS = 2.0  # between asking a group to end and ending it
_POLL_SECONDS, _WATCH_SECONDS = 0.02, 0.1
_SECRET = re.compile(
    r"key|token|secret|pass|pwd|(^|_)pat(_|$)|credent|auth|cookie|private|dsn|session|(^|_)pin(_|$)",
    re.IGNORECASE,
)
_SHORTEST_SECRET = 6
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+:[^/\s@]+(?=@)")


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: its exit code, negative for a signal; None where it was stopped for taking too long.
        tail: the last `TAIL_CHARACTERS` of what it wrote to standard error, without what the
            environment keeps secret.
        memory_mb: the most memory that it and its children held together, in MB (10^6 bytes); None
            where one could not look.
    """

    code: int | None
    tail: str
    memory_mb: float | None

    @property
    def last_line(self) -> str:
        """The last line that says anything, cut to `LINE_CHARACTERS`."""
        lines = [" ".join(line.split()) for line in self.tail.splitlines() if line.strip()]
        return lines[-1][:LINE_CHARACTERS].rstrip(".") if lines else ""


def run_process(words: Sequence[str], folder: Path, timeout: float) -> Ended:
    """Run a program in a folder, without a shell, and wait for it.

    Its standard output goes nowhere and its input is empty. However this ends (Ctrl-C too), the
    program and all that it started in its group are gone.

    Args:
        timeout: seconds after which it is stopped.
    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        list(words),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    tail, watch = bytearray(), _MemoryWatch(process.pid)
    reader = threading.Thread(target=_keep_tail, args=(process, tail), daemon=True)
    reader.start()
    try:
        code = _wait(process, timeout, watch)
    finally:
        _stop(process)
        reader.join(GRACE_SECONDS)  # a program that left its group may hold the pipe open
    text = without_secrets(bytes(tail).decode("utf-8", "replace"))
    return Ended(code, text[-TAIL_CHARACTERS:], watch.peak_mb)


def _keep_tail(process: subprocess.Popen[bytes], tail: bytearray) -> None:
    """Twice as much as is shown, so that no secret is cut in half before it is looked for."""
    assert process.stderr is not None
    with cast(BufferedReader, process.stderr) as pipe:
        while piece := pipe.read1(TAIL_CHARACTERS):
            tail += piece
            del tail[: -2 * TAIL_CHARACTERS]


class _MemoryWatch:
    """The most resident memory of a program and its children, in MB; None where one could not look.

    The program's own peak is the system's, where it keeps one for a running program; the sum with
    its children is looked at ten times a second. (What the system tells of a program that has ended
    includes what its parent held when it was started.)
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb: float | None = None
        self._pid, self._next = pid, 0.0

    def look(self) -> None:
        seen = [self.peak_mb, high_water_mb(self._pid)]
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _WATCH_SECONDS
            with contextlib.suppress(psutil.Error):
                program = psutil.Process(self._pid)
                seen.append(
                    sum(self._of(each) for each in (program, *program.children(recursive=True)))
                    / 1e6
                )
        self.peak_mb = max((each for each in seen if each is not None), default=None)

    def _of(self, process: psutil.Process) -> int:
        with contextlib.suppress(psutil.Error):
            return process.memory_info().rss
        return 0


def high_water_mb(pid: int | str = "self") -> float | None:
    """The most resident memory that a running process held so far, in MB (10^6 bytes); None where
    the system does not tell (not Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        return next(
            int(line.split()[1]) * 1024 / 1e6
            for line in status.splitlines()
            if line.startswith("VmHWM:")
        )
    except (OSError, StopIteration):
        return None


def _wait(process: subprocess.Popen[bytes], timeout: float, watch: _MemoryWatch) -> int | None:
    """The exit code; None where the time is over."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            return process.returncode
        watch.look()
        time.sleep(_POLL_SECONDS)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group: asked first, then made to."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # nobody is left; macOS says the latter of the dead
        os.killpg(process.pid, number)


def without_secrets(text: str) -> str:
    """A text with dots in the place of passwords in addresses, and of what the environment keeps
    under names like TOKEN or PASSWORD."""
    for name, value in sorted(os.environ.items(), key=lambda pair: -len(pair[1])):
        if len(value) >= _SHORTEST_SECRET and _SECRET.search(name):
            text = text.replace(value, "...")
    return _IN_ADDRESS.sub("...", text)
