"""Pictures of any profile: latency and memory against frames and size, bars of where time goes, and
the roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbbench.profiling.record import Record, Row, Section, ceiling
from vbbench.profiling.words import digits, is_chosen, section_title
from vbbench.report.profile.drawing import (
    FURTHER,
    GREY,
    INK,
    MARKERS,
    STYLE,
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
    from matplotlib.figure import Figure

PANEL_WIDTH, PANEL_HEIGHT = 4.3, 2.75
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.85, 0.38, 0.48
"""Around the axes of a panel, in inches; names stand to the right."""
LABEL_GAP = 10.5
"""Points between the labels of two lines."""


@dataclass(frozen=True)
class Axis:
    """What lies along the bottom: the fact `key` of the rows that name the sweep `sweep`."""

    key: str
    sweep: str
    label: str


AXES = (
    Axis("frames", "frames", "frames"),
    Axis("size", "layers", "pixels a side"),
    Axis("size", "size", "pixels a side"),
)


def draw(record: Record) -> list[Picture]:
    """All pictures that the rows allow, a set for each table."""
    import matplotlib

    found = []
    with matplotlib.rc_context(dict(STYLE)):
        for section, rows in record.sections().items():
            drawn = (
                _sweeps(section, rows),
                ladder(section, rows),
                parts(section, rows),
                roofline(record, section, rows),
            )
            found += [picture for picture in drawn if picture is not None]
    return found


def _sweeps(section: Section, rows: Sequence[Row]) -> Picture | None:
    """Latency and memory, a row of panels for each sweep of at least two points."""
    swept: dict[str, tuple[Axis, list[Row]]] = {}
    for axis in AXES:
        points = [
            row for row in rows if axis.sweep in row.facts.get("sweeps", ()) and _x(row, axis) > 0
        ]
        if axis.key not in swept and len({_x(row, axis) for row in points}) > 1:
            swept[axis.key] = (axis, _one_case_a_point(points, axis))
    if not swept:
        return None
    figure = new_figure(2 * PANEL_WIDTH, PANEL_HEIGHT * len(swept))
    for number, (axis, points) in enumerate(swept.values()):
        latency, memory = (_panel(figure, number, column) for column in range(2))
        about = _about(points)
        _lines(
            latency, points, axis, lambda row: 1e3 * row.median_seconds, f"Latency in ms, {about}"
        )
        _lines(memory, points, axis, lambda row: row.peak_memory_mb, f"Peak memory in MB, {about}")
    words = "Both axes logarithmic. A line that ends early was not measured further on; see below for why."
    return Picture(picture_name("sweeps", section), section_title(section), words, svg_of(figure))


def _x(row: Row, axis: Axis) -> float:
    value = row.facts.get(axis.key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _one_case_a_point(points: Sequence[Row], axis: Axis) -> list[Row]:
    """The largest of several cases at one place: of a network's levels, the top one."""
    largest: dict[float, tuple[float, str]] = {}
    for row in points:
        largest[_x(row, axis)] = max(
            largest.get(_x(row, axis), (-1.0, "")), (row.flops or 0.0, row.case)
        )
    return [row for row in points if largest[_x(row, axis)][1] == row.case]


def _about(points: Sequence[Row]) -> str:
    """What stays the same in the names of the cases."""
    parts = [case.split(", ") for case in dict.fromkeys(row.case for row in points)]
    return (
        ", ".join(part for part in parts[0] if all(part in other for other in parts)) or "top level"
    )


def _lines(axes: Axes, points: Sequence[Row], axis: Axis, value: Any, title: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ends = []
    for place, name in enumerate(dict.fromkeys(row.variant for row in points)):
        line = sorted(
            (_x(row, axis), value(row), is_chosen(row))
            for row in points
            if row.variant == name and value(row) is not None
        )
        line = [(x, y, chosen) for x, y, chosen in line if y > 0]
        if not line:
            continue
        chosen = all(mark for *_, mark in line)
        how: dict[str, Any] = {
            "color": colour(name, place),
            "marker": MARKERS[place % len(MARKERS)],
            "linewidth": 2.4 if chosen else 1.3,
        }
        how |= (
            {"linestyle": "--", "linewidth": 1.5} if name == "dispatched" else {}
        )  # it lies on the lines of those it chose
        axes.plot([x for x, *_ in line], [y for _, y, _ in line], markersize=4.5, **how)
        ends.append((line[-1][0], line[-1][1], name))
    axes.set(xscale="log", yscale="log")
    axes.set_title(title, fontsize=9, loc="left", pad=6)
    axes.set_xlabel(axis.label, labelpad=2)
    ticks = sorted({_x(row, axis) for row in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    few = high / low < 30  # less than one power of ten and a half
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1, 3)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.set_xlim(ticks[0] / 1.08, ticks[-1] * 1.08)
    quiet(axes)
    if not ends:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes, color=GREY)
    _label(axes, ends)


def _label(axes: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Names at the lines' ends, set apart where they would lie on each other."""
    low, high = axes.get_ylim()
    height = 72 * (PANEL_HEIGHT - TOP - BOTTOM)
    at = -math.inf
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        at = max(height * math.log(y / low) / math.log(high / low), at + LABEL_GAP)
        place = (
            (1.0, at / height) if x >= axes.get_xlim()[1] / 1.2 else (_share(axes, x), at / height)
        )
        axes.annotate(
            name,
            place,
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )


def _share(axes: Axes, x: float) -> float:
    """How far along the bottom a place is."""
    left, right = axes.get_xlim()
    return math.log(x / left) / math.log(right / left)


def _panel(figure: Figure, row: int, column: int) -> Axes:
    """Axes at a fixed place, so that labels beside them have room."""
    width, height = figure.get_size_inches()
    top = height - row * PANEL_HEIGHT
    place = (
        (column * PANEL_WIDTH + LEFT) / width,
        (top - PANEL_HEIGHT + BOTTOM) / height,
        (PANEL_WIDTH - LEFT - RIGHT) / width,
        (PANEL_HEIGHT - TOP - BOTTOM) / height,
    )
    return figure.add_axes(place)


# The roofline: what a computation reaches, under what the device could do (Williams, Waterman and
# Patterson 2009).

ROOF_WIDTH, ROOF_HEIGHT = 8.6, 3.9


def roofline(record: Record, section: Section, rows: Sequence[Row]) -> Picture | None:
    """Needed operations a second against needed operations a byte, under this device's ceilings."""
    matmul, copy = (
        ceiling(record.ceilings, "matmul", section.dtype),
        ceiling(record.ceilings, "copy"),
    )
    points = [row for row in rows if row.facts.get("roofline") and row.flops and row.bytes]
    if not matmul or not copy or not points:
        return None
    figure = new_figure(ROOF_WIDTH, ROOF_HEIGHT)
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
        across = (mine[0].flops or 0) / (mine[0].bytes or 1)
        slowest = min((row.flops or 0) / row.median_seconds / 1e9 for row in mine)
        axes.annotate(
            case,
            (across, slowest),
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
BARS_WIDTH, BAR, BARS_LEFT, BARS_TOP, BARS_BOTTOM = 8.6, 0.24, 2.3, 0.4, 0.5
"""Inches: the figure's width, a bar with its gap, the room for names, for the title and for the
axis."""


def ladder(section: Section, rows: Sequence[Row]) -> Picture | None:
    """A bar a variant of the first case that has ratios to the released formulation; None where
    none has."""
    case = next((row.case for row in rows if RATIO in row.facts), None)
    shown = [row for row in rows if row.case == case]
    if case is None or len(shown) < 2:
        return None
    height = BARS_TOP + BARS_BOTTOM + BAR * len(shown)
    figure = new_figure(BARS_WIDTH, height)
    axes = figure.add_axes(
        (
            BARS_LEFT / BARS_WIDTH,
            BARS_BOTTOM / height,
            (BARS_WIDTH - BARS_LEFT - 0.9) / BARS_WIDTH,
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
            _bar_label(row),
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
    height = BARS_TOP + BARS_BOTTOM + 0.18 * lines + 1.4 * BAR * len(divided)
    figure = new_figure(BARS_WIDTH, height)
    axes = figure.add_axes(
        (
            BARS_LEFT / BARS_WIDTH,
            BARS_BOTTOM / height,
            (BARS_WIDTH - BARS_LEFT - 0.3) / BARS_WIDTH,
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


def _bar_label(row: Row) -> str:
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
