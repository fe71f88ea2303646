"""Loss curves as a table and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from vbbench.core.files import write_atomic

Row = Mapping[str, float]


def write_csv(path: Path, history: Sequence[Row]) -> None:
    """One row per logged step: step, seconds, loss, its parts, and validation figures (``val/...``)
    where there were any."""
    columns = list(
        dict.fromkeys(["step", "seconds", "loss", *(key for row in history for key in row)])
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _short(value) for key, value in row.items()} for row in history)
    write_atomic(path, text.getvalue().encode())


def draw_png(path: Path, history: Sequence[Row], title: str) -> None:
    """One panel for the loss and its parts, one for each validation figure. No display is
    needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(
        dict.fromkeys(key for row in history for key in row if key not in ("step", "seconds", "lr"))
    )
    parts, figures = (
        [k for k in keys if not k.startswith("val/")],
        [k for k in keys if k.startswith("val/")],
    )
    panels = [parts, *([key] for key in figures)]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    for number, names in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        for name in names:
            points = [(row["step"], row[name]) for row in history if name in row]
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                linewidth=1.2,
                marker="." if name.startswith("val/") else "",
            )
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        if names:
            axes.legend(fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=10)
    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    write_atomic(path, picture.getvalue())


def _short(value: float) -> float | int:
    return value if isinstance(value, int) else float(f"{value:.6g}")
