"""The one style of all figures, and how they are written: as SVG and PDF.

Quiet: thin axes on two sides, a pale grid, dark ink on white; two colours that every kind of eyes
tells apart (Okabe and Ito 2008), always with shapes that differ too. The same figure gives the same
bytes: no date, no program, ids from a fixed salt.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.results.formatting import clipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE = "#1b1d1f", "#5c6066", "#dcdad3"
READY, FITTED, REFERENCE = "#0072b2", "#c84c00", "#767a80"
"""A model that is not fitted (a circle), one that is (a square), a reference row (a diamond)."""
STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "svg.hashsalt": "vbbench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # journals ask for TrueType, not for Type 3
    "text.parse_math": False,  # a title may hold dollar signs
    "text.usetex": False,
}
LONGEST = 30
"""Letters of a title in a figure."""
UNSAID: Mapping[
    str, Mapping[str, None]
] = {  # metadata that would differ from day to day, or between versions
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def styled(**changes: Any) -> Iterator[None]:
    """Draws in `STYLE`, and says nothing of letters that the font has not: they are drawn as
    boxes."""
    import matplotlib

    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    settings: Any = {**STYLE, **changes}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        fonts.setLevel(logging.ERROR)
        try:
            yield
        finally:
            fonts.setLevel(level)


def new_figure(width: float, height: float) -> Figure:
    """A figure, in inches, that belongs to no window and to no other drawing of this process."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", dpi=72)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    """A pale grid behind everything."""
    axes.set_axisbelow(True)
    axes.grid(True)
    axes.tick_params(length=3)


def shown_title(title: str, name: str) -> str:
    """A model's title as a figure shows it: in one line, not too long; its name where the font has
    not all letters of the title."""
    text = clipped(title, LONGEST)
    return text if _drawable(text) else clipped(name, LONGEST)


def _drawable(text: str) -> bool:
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(STYLE["font.family"]))
    return all(ord(char) in font.get_charmap() for char in text)


def write(figure: Figure, folder: Path, stem: str) -> str:
    """Write STEM.svg and STEM.pdf; returns the name of the first."""
    for kind, unsaid in UNSAID.items():
        figure.savefig(folder / f"{stem}.{kind}", metadata=dict(unsaid))
    return f"{stem}.svg"
