"""The roofline: what a computation reaches, under what the device could do (Williams, Waterman and
Patterson 2009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vbbench.profiling.record import Record, Row, Section, ceiling
from vbbench.profiling.words import digits, section_title
from vbbench.report.profile.drawing import (
    FURTHER,
    GREY,
    INK,
    MARKERS,
    Picture,
    colour,
    new_figure,
    picture_name,
    plain,
    quiet,
    svg_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 8.6, 3.9


def roofline(record: Record, section: Section, rows: Sequence[Row]) -> Picture | None:
    """Needed operations a second against needed operations a byte, under this device's ceilings."""
    matmul, copy = (
        ceiling(record.ceilings, "matmul", section.dtype),
        ceiling(record.ceilings, "copy"),
    )
    points = [row for row in rows if row.facts.get("roofline") and row.flops and row.bytes]
    if not matmul or not copy or not points:
        return None
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_axes((0.07, 0.13, 0.9, 0.76))
    across = [(row.flops or 0) / (row.bytes or 1) for row in points]
    rates = [(row.flops or 0) / row.median_seconds / 1e9 for row in points]
    ridge = matmul / copy
    left, right = min(*across, ridge) / 2, max(*across, ridge) * 2
    axes.plot(
        [left, ridge, right],
        [left * copy / 1e9, matmul / 1e9, matmul / 1e9],
        color=GREY,
        linewidth=1.5,
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(left, right),
        ylim=(min(*rates, left * copy / 1e9) / 2, matmul / 1e9 * 1.8),
    )
    axes.text(
        right,
        matmul / 1e9 * 1.06,
        f"products of matrices: {_rate(matmul)}",
        ha="right",
        va="bottom",
        color=INK,
        fontsize=8,
    )
    axes.annotate(
        f"copying: {copy / 1e9:.3g} GB/s",
        (left, left * copy / 1e9),
        xytext=(6, -2),
        textcoords="offset points",
        va="top",
        fontsize=8,
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
        axes.plot(
            x,
            y,
            linestyle="",
            marker=MARKERS[place % len(MARKERS)],
            color=colour(name, place),
            markersize=6,
            label=name,
        )
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    for case in dict.fromkeys(row.case for row in points):  # under the slowest of each
        mine = [row for row in points if row.case == case]
        x = (mine[0].flops or 0) / (mine[0].bytes or 1)
        y = min((row.flops or 0) / row.median_seconds / 1e9 for row in mine)
        axes.annotate(
            case,
            (x, y),
            xytext=(0, -7),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
        )


def _rate(per_second: float) -> str:
    return (
        f"{per_second / 1e12:.3g} TFLOP/s"
        if per_second >= 1e12
        else f"{per_second / 1e9:.3g} GFLOP/s"
    )


# Pictures of where time goes: the variants of a case as bars, divided by kind of work where that
# was measured.

PARTS = ("seconds_by_kind", "seconds_by_part")
"""Facts that divide a row's time."""
RATIO = "ratio_released"
LEGEND_COLUMNS = 5
BARS_WIDTH, BAR, LEFT, TOP, BOTTOM = 8.6, 0.24, 2.3, 0.4, 0.5
"""Inches: the figure's width, a bar with its gap, the room for names, for the title and for the
axis."""


def ladder(section: Section, rows: Sequence[Row]) -> Picture | None:
    """A bar a variant of the first case that has ratios to the released formulation; None where
    none has."""
    case = next((row.case for row in rows if RATIO in row.facts), None)
    shown = [row for row in rows if row.case == case]
    if case is None or len(shown) < 2:
        return None
    height = TOP + BOTTOM + BAR * len(shown)
    figure = new_figure(BARS_WIDTH, height)
    axes = figure.add_axes(
        (
            LEFT / BARS_WIDTH,
            BOTTOM / height,
            (BARS_WIDTH - LEFT - 0.9) / BARS_WIDTH,
            BAR * len(shown) / height,
        )
    )
    milliseconds = [1e3 * row.median_seconds for row in shown]
    places = range(len(shown))
    axes.barh(
        places,
        milliseconds,
        height=0.7,
        color=[FURTHER[3] if row.facts.get("chosen") is True else GREY for row in shown],
    )
    for place, row in enumerate(shown):
        axes.annotate(
            _label(row),
            (milliseconds[place], place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    _name(axes, [row.variant for row in shown])
    axes.set_title(f"Milliseconds, {case}", loc="left", fontsize=9)
    words = "Each bar is one removal more than the one above it, down to what the models run (coloured); then further switches."
    return Picture(picture_name("ladder", section), section_title(section), words, svg_of(figure))


def parts(section: Section, rows: Sequence[Row]) -> Picture | None:
    """A bar a variant, divided by kind of work; None where no row tells."""
    divided = {row.variant: found for row in rows if (found := _divided(row))}
    if not divided:
        return None
    kinds = list(dict.fromkeys(kind for found in divided.values() for kind in found))
    lines = -(-len(kinds) // LEGEND_COLUMNS)
    height = TOP + BOTTOM + 0.18 * lines + 1.4 * BAR * len(divided)
    figure = new_figure(BARS_WIDTH, height)
    axes = figure.add_axes(
        (
            LEFT / BARS_WIDTH,
            BOTTOM / height,
            (BARS_WIDTH - LEFT - 0.3) / BARS_WIDTH,
            1.4 * BAR * len(divided) / height,
        )
    )
    reached = [0.0] * len(divided)
    for number, kind in enumerate(kinds):
        widths = [1e3 * found.get(kind, 0.0) for found in divided.values()]
        shade = FURTHER[number % len(FURTHER)] if number < len(FURTHER) else GREY
        axes.barh(range(len(divided)), widths, left=reached, height=0.7, color=shade, label=kind)
        reached = [start + width for start, width in zip(reached, widths, strict=True)]
    _name(axes, list(divided))
    axes.legend(
        frameon=False,
        ncols=LEGEND_COLUMNS,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        fontsize=7.5,
        handlelength=1,
        borderpad=0,
    )
    return Picture(
        picture_name("parts", section),
        section_title(section),
        "Where the milliseconds go, by kind of work.",
        svg_of(figure),
    )


def _divided(row: Row) -> Mapping[str, float] | None:
    found = next((row.facts[name] for name in PARTS if name in row.facts), None)
    return (
        found
        if isinstance(found, Mapping)
        and all(isinstance(value, float | int) for value in found.values())
        else None
    )


def _label(row: Row) -> str:
    ratio = row.facts.get(RATIO)
    return digits(1e3 * row.median_seconds) + (
        f"  {ratio:.2f}x" if isinstance(ratio, float | int) else ""
    )


def _name(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.grid(axis="x", color=GREY, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
