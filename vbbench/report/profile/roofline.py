"""The roofline: what a computation reaches, under what the device could do (Williams, Waterman and Patterson 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vbbench.profiling.record import Record, Row, Section, ceiling
from vbbench.profiling.words import section_title
from vbbench.report.profile.drawing import GREY, INK, MARKERS, Picture, colour, new_figure, picture_name, plain, quiet, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 8.6, 3.9


def roofline(record: Record, section: Section, rows: Sequence[Row]) -> Picture | None:
    """Needed operations a second against needed operations a byte, under this device's ceilings."""
    matmul, copy = ceiling(record.ceilings, "matmul", section.dtype), ceiling(record.ceilings, "copy")
    points = [row for row in rows if row.facts.get("roofline") and row.flops and row.bytes]
    if not matmul or not copy or not points:
        return None
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_axes((0.07, 0.13, 0.9, 0.76))
    across = [(row.flops or 0) / (row.bytes or 1) for row in points]
    rates = [(row.flops or 0) / row.median_seconds / 1e9 for row in points]
    ridge = matmul / copy
    left, right = min(*across, ridge) / 2, max(*across, ridge) * 2
    axes.plot([left, ridge, right], [left * copy / 1e9, matmul / 1e9, matmul / 1e9], color=GREY, linewidth=1.5)
    axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(min(*rates, left * copy / 1e9) / 2, matmul / 1e9 * 1.8))
    axes.text(right, matmul / 1e9 * 1.06, f"products of matrices: {_rate(matmul)}", ha="right", va="bottom", color=INK, fontsize=8)
    axes.annotate(
        f"copying: {copy / 1e9:.3g} GB/s", (left, left * copy / 1e9), xytext=(6, -2), textcoords="offset points", va="top", fontsize=8
    )
    _points(axes, points)
    quiet(axes)
    _numbered(axes)
    axes.set_xlabel("operations needed a byte of least traffic")
    axes.set_title("Needed operations a second, in GFLOP/s", fontsize=9, loc="left", pad=8)
    words = "The grey line is the most that this device reached in this run: copying to its left, products of matrices to its right."
    return Picture(picture_name("roofline", section), section_title(section), words, svg_of(figure))


def _numbered(axes: Axes) -> None:
    """Plain numbers along both logarithmic axes."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(plain))


def _points(axes: Axes, points: Sequence[Row]) -> None:
    for place, name in enumerate(dict.fromkeys(row.variant for row in points)):
        mine = [row for row in points if row.variant == name]
        x = [row.flops / row.bytes for row in mine if row.flops and row.bytes]
        y = [row.flops / row.median_seconds / 1e9 for row in mine if row.flops and row.bytes]
        axes.plot(x, y, linestyle="", marker=MARKERS[place % len(MARKERS)], color=colour(name, place), markersize=6, label=name)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    for case in dict.fromkeys(row.case for row in points):  # under the slowest of each
        mine = [row for row in points if row.case == case]
        x = (mine[0].flops or 0) / (mine[0].bytes or 1)
        y = min((row.flops or 0) / row.median_seconds / 1e9 for row in mine)
        axes.annotate(case, (x, y), xytext=(0, -7), textcoords="offset points", ha="center", va="top", fontsize=7)


def _rate(per_second: float) -> str:
    return f"{per_second / 1e12:.3g} TFLOP/s" if per_second >= 1e12 else f"{per_second / 1e9:.3g} GFLOP/s"
