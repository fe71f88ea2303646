"""Loss curves as a table and as a picture, and the progress a person sees while training."""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, float]
PLAIN_EVERY_SECONDS = 20.0
BAR_EVERY_SECONDS = 0.5


def write_csv(path: Path, history: Sequence[Row]) -> None:
    """One row per logged step: step, seconds, loss, its parts, and validation figures (``val/...``) where there were any."""
    columns = list(dict.fromkeys(["step", "seconds", "loss", *(key for row in history for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in row.items()} for row in history)
    _replace(path, text.getvalue().encode())


def draw_png(path: Path, history: Sequence[Row], title: str) -> None:
    """One panel for the loss and its parts, one for each validation figure. No display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(dict.fromkeys(key for row in history for key in row if key not in ("step", "seconds", "lr")))
    parts, figures = [k for k in keys if not k.startswith("val/")], [k for k in keys if k.startswith("val/")]
    panels = [parts, *([key] for key in figures)]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    for number, names in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        for name in names:
            points = [(row["step"], row[name]) for row in history if name in row]
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2, marker="." if name.startswith("val/") else "")
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        if names:
            axes.legend(fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=10)
    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    _replace(path, picture.getvalue())


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
        return time.monotonic() - self.printed >= (PLAIN_EVERY_SECONDS if self.bar is None else BAR_EVERY_SECONDS)

    def update(self, done: int, loss: float | None = None) -> None:
        """Show that ``done`` steps are done, the last of them at ``loss``."""
        words = "" if loss is None else f"loss {loss:.4f}"
        self.printed = time.monotonic()
        speed = (done - self.first) / max(1e-9, self.printed - self.started)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, words=f"{speed:.2f} steps/s  {words}  {figures(self.validation)}")
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
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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


def _short(value: float) -> float | int:
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _replace(path: Path, content: bytes) -> None:
    """Write beside the file and rename, so that nobody reads half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
