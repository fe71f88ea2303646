"""What all pictures share: colours, a figure, SVG that is readable on light and on dark pages."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbbench.profiling.record import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY = "#010203", "#8a8a8a"
"""Ink is what the page writes with: `svg_of` puts that in. Grey is seen on both."""
COLOURS: Mapping[str, str] = {  # Okabe and Ito 2008: told apart by every kind of eyes
    "released": "#d55e00",
    "plain": "#e69f00",
    "concat": "#0072b2",
    "merge": "#009e73",
    "flex": "#56b4e9",
    "triton": "#cc79a7",
    "dispatched": INK,
}
FURTHER = ("#cc79a7", "#56b4e9", "#e69f00", "#0072b2", "#d55e00", "#009e73")
MARKERS = "osD^vP<>X*"
STYLE: Mapping[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "svg.hashsalt": "vbbench",
    "svg.fonttype": "none",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
}
ALONE = "<style>:root { color: #1b1d1f } @media (prefers-color-scheme: dark) { :root { color: #e9e7e2 } }</style>"


@dataclass(frozen=True)
class Picture:
    """A drawing: its file name, what it shows in words, and SVG."""

    name: str
    title: str
    words: str
    svg: str


def picture_name(kind: str, section: Section) -> str:
    """A file name: what it shows, type, gradients."""
    words = (
        kind,
        section.dtype,
        "backward" if section.grad else "",
        "" if section.exact else "approximate",
    )
    return re.sub(r"[^a-z0-9-]+", "-", "-".join(filter(None, words)).lower())


def plain(number: float, _: object = None) -> str:
    """A number along an axis."""
    return f"{number:,.0f}".replace(",", "\u00a0") if number >= 1 else f"{number:g}"


def colour(name: str, place: int) -> str:
    """Of a variant: its own where it has one, else by its place."""
    return COLOURS.get(name, FURTHER[place % len(FURTHER)])


def quiet(axes: Axes) -> None:
    """Lines across where numbers stand, and no frame."""
    axes.grid(axis="y", color=GREY, alpha=0.3, linewidth=0.6)
    axes.tick_params(which="both", length=2)
    axes.spines[["top", "right"]].set_visible(False)


def new_figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window; inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    return figure


def svg_of(figure: Figure) -> str:
    """Without date and program, so that the same numbers give the same bytes; transparent, and
    written with the page's own colour."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    shorter = re.sub(
        r"\d+\.\d{3,}",
        lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."),
        out.getvalue(),
    )
    return shorter.replace(INK, "currentColor")


def standing_alone(svg: str) -> str:
    """A drawing as a file: with a colour of its own to write with, by the viewer's scheme."""
    return re.sub(r"(<svg\b[^>]*>)", lambda match: match[1] + ALONE, svg, count=1)


def within_a_page(svg: str, prefix: str) -> str:
    """A drawing as a part of a page: without its head, its names made its own."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    return re.sub(r'(\bid="|href="#|url\(#)', lambda match: f"{match[1]}{prefix}-", body)
