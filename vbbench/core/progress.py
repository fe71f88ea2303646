"""The progress a person sees while something long is done: a bar on a terminal, plain lines
elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

PLAIN_EVERY_SECONDS = 20.0
BAR_EVERY_SECONDS = 0.5


def figures(values: Mapping[str, float]) -> str:
    """Figures as words: "iou 0.91  loss 0.2"."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def say(line: str) -> None:
    """Write a line to standard output at once, also where that is a file."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Progress:
    """A progress bar with time left on a terminal, a plain line every 20 s elsewhere."""

    def __init__(self, title: str, steps: int, done: int, shown: bool = True) -> None:
        self.title, self.steps, self.first = title, steps, done
        self.started = self.printed = time.monotonic()
        self.validation: dict[str, float] = {}
        self.bar: Any = None
        if shown and sys.stderr.isatty():
            self._open_bar(done)

    def due(self) -> bool:
        """Whether it is time to show something new."""
        return time.monotonic() - self.printed >= (
            PLAIN_EVERY_SECONDS if self.bar is None else BAR_EVERY_SECONDS
        )

    def update(self, done: int, loss: float | None = None) -> None:
        """Show that ``done`` steps are done, the last of them at ``loss``."""
        words = "" if loss is None else f"loss {loss:.4f}"
        self.printed = time.monotonic()
        speed = (done - self.first) / max(1e-9, self.printed - self.started)
        if self.bar is not None:
            self.bar.update(
                self.task,
                completed=done,
                words=f"{speed:.2f} steps/s  {words}  {figures(self.validation)}",
            )
            return
        left = _clock((self.steps - done) / max(1e-9, speed))
        line = f"{self.title}  {done}/{self.steps}  {speed:.2f} steps/s  {left} left  {words}  {figures(self.validation)}"
        say(line.rstrip())

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.stop()

    def _open_bar(self, done: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}"),
            console=Console(stderr=True),
        )
        self.bar.start()
        self.task = self.bar.add_task(self.title, total=self.steps, completed=done, words="")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
