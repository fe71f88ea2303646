"""Pictures of any profile: latency and memory against frames and size, bars of where time goes, and
the roofline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbbench.profiling.record import Record, Row, Section
from vbbench.profiling.words import is_chosen, section_title
from vbbench.report.profile.drawing import (
    GREY,
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
from vbbench.report.profile.roofline import ladder, parts, roofline

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
        how = {
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
