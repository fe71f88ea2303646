"""Pictures of where time goes: the variants of a case as bars, divided by kind of work where that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vbbench.profiling.record import Row, Section
from vbbench.profiling.words import digits, section_title
from vbbench.report.profile.drawing import FURTHER, GREY, Picture, new_figure, picture_name, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = ("seconds_by_kind", "seconds_by_part")
"""Facts that divide a row's time."""
RATIO = "ratio_released"
LEGEND_COLUMNS = 5
WIDTH, BAR, LEFT, TOP, BOTTOM = 8.6, 0.24, 2.3, 0.4, 0.5
"""Inches: the figure's width, a bar with its gap, the room for names, for the title and for the axis."""


def ladder(section: Section, rows: Sequence[Row]) -> Picture | None:
    """A bar a variant of the first case that has ratios to the released formulation; None where none has."""
    case = next((row.case for row in rows if RATIO in row.facts), None)
    shown = [row for row in rows if row.case == case]
    if case is None or len(shown) < 2:
        return None
    height = TOP + BOTTOM + BAR * len(shown)
    figure = new_figure(WIDTH, height)
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / height, (WIDTH - LEFT - 0.9) / WIDTH, BAR * len(shown) / height))
    milliseconds = [1e3 * row.median_seconds for row in shown]
    places = range(len(shown))
    axes.barh(places, milliseconds, height=0.7, color=[FURTHER[3] if row.facts.get("chosen") is True else GREY for row in shown])
    for place, row in enumerate(shown):
        axes.annotate(_label(row), (milliseconds[place], place), (4, 0), textcoords="offset points", va="center", fontsize=7.5)
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
    figure = new_figure(WIDTH, height)
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / height, (WIDTH - LEFT - 0.3) / WIDTH, 1.4 * BAR * len(divided) / height))
    reached = [0.0] * len(divided)
    for number, kind in enumerate(kinds):
        widths = [1e3 * found.get(kind, 0.0) for found in divided.values()]
        shade = FURTHER[number % len(FURTHER)] if number < len(FURTHER) else GREY
        axes.barh(range(len(divided)), widths, left=reached, height=0.7, color=shade, label=kind)
        reached = [start + width for start, width in zip(reached, widths, strict=True)]
    _name(axes, list(divided))
    axes.legend(frameon=False, ncols=LEGEND_COLUMNS, loc="lower left", bbox_to_anchor=(0, 1), fontsize=7.5, handlelength=1, borderpad=0)
    return Picture(picture_name("parts", section), section_title(section), "Where the milliseconds go, by kind of work.", svg_of(figure))


def _divided(row: Row) -> Mapping[str, float] | None:
    found = next((row.facts[name] for name in PARTS if name in row.facts), None)
    return found if isinstance(found, Mapping) and all(isinstance(value, float | int) for value in found.values()) else None


def _label(row: Row) -> str:
    ratio = row.facts.get(RATIO)
    return digits(1e3 * row.median_seconds) + (f"  {ratio:.2f}x" if isinstance(ratio, float | int) else "")


def _name(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.grid(axis="x", color=GREY, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
