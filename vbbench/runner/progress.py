"""What a run tells while it works, on stderr: bars on a terminal, one line a stage elsewhere (in
logs, in CI)."""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import Any, Protocol


class Progress(Protocol):
    """Told of every stage and every finished job."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...

    def stage(self, name: str, total: int) -> None:
        """A stage of so many jobs begins; the one before it has ended."""
        ...

    def advance(self, *, failed: bool = False) -> None:
        """One job of the stage is finished."""
        ...

    def say(self, sentence: str) -> None:
        """Something worth a line."""
        ...


class Silent:
    """Tells nothing; for tests and programs."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, *, failed: bool = False) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Nothing."""


class Terminal:
    """Bars with the time left, one a stage."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<34}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("[red]{task.fields[trouble]}"),
        )
        self._bars = Bars(*columns, console=Console(stderr=True))
        self._task: Any = None
        self._failed = 0

    def __enter__(self) -> Terminal:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def stage(self, name: str, total: int) -> None:
        """A new bar."""
        self._failed = 0
        self._task = self._bars.add_task(name, total=total, trouble="")

    def advance(self, *, failed: bool = False) -> None:
        """The bar grows."""
        self._failed += failed
        self._bars.update(
            self._task, advance=1, trouble=f"{self._failed} failed" if self._failed else ""
        )

    def say(self, sentence: str) -> None:
        """A line above the bars."""
        self._bars.console.print(sentence, markup=False, highlight=False)


class Lines:
    """One line a stage, printed when it ends."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._name, self._total, self._done, self._failed, self._started = "", 0, 0, 0, 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def stage(self, name: str, total: int) -> None:
        """Ends the stage before with its line."""
        self._end()
        self._name, self._total, self._done, self._failed, self._started = (
            name,
            total,
            0,
            0,
            time.perf_counter(),
        )

    def advance(self, *, failed: bool = False) -> None:
        """Counts."""
        self._done += 1
        self._failed += failed

    def say(self, sentence: str) -> None:
        """A line."""
        self._console.print(sentence, markup=False, soft_wrap=True)

    def _end(self) -> None:
        if self._name:
            trouble = f", {self._failed} failed" if self._failed else ""
            seconds = time.perf_counter() - self._started
            self.say(f"{self._name}: {self._done}/{self._total} in {seconds:.1f} s{trouble}")
        self._name = ""


def make_progress() -> Terminal | Lines:
    """Bars where somebody is watching (a terminal, a notebook that can draw them), lines
    elsewhere."""
    watched = sys.stderr.isatty() or _in_drawing_notebook()
    return Terminal() if watched else Lines()


def _in_drawing_notebook() -> bool:
    """Whether this is a notebook with ipywidgets, without which rich draws no bars there."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell is not None else None
    if type(shell).__name__ != "ZMQInteractiveShell":
        return False
    return importlib.util.find_spec("ipywidgets") is not None


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
