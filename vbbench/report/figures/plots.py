"""What figures show of a leaderboard: metric against metric, identity against cost, and every
metric on the scale of the references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from vbbench.report.figures.identity_cost import Box
from vbbench.report.figures.style import (
    FITTED,
    INK,
    READY,
    REFERENCE,
    SOFT,
    new_figure,
    plain_axes,
    shown_title,
)
from vbbench.results import formatting
from vbbench.results.costs import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vbbench.results.tables import Column

# Names beside the points of a figure, so that none lies on another, on a point or on an interval;
# all in points, y upwards.

SIZE = 7.6  # of the letters, in points
MARK = 4.0


@dataclass(frozen=True)
class Spot:
    """A point to be named: its place, the ends of its intervals, its name, and whether it is a
    reference row."""

    x: float
    y: float
    ends: tuple[tuple[float, float], ...]
    text: str
    quiet: bool = False


@dataclass(frozen=True)
class _Place:
    x: float
    y: float
    align: str
    box: Box
    far: bool


def name_points(
    axes: Axes,
    spots: Sequence[Spot],
    colours: tuple[str, str],
    lines: Sequence[tuple[str, float]] = (),
) -> None:
    """Write every name where there is room; those that stand away from their point are led to it by
    a thin line.

    Args:
        axes: of their final size and limits.
        spots: in the axes' data; the first choose first.
        colours: of names, and of names of reference rows.
        lines: names and heights of lines across, their names above their right ends.
    """
    at = [_in_points(axes, spot) for spot in spots]
    corner = axes.transAxes.transform((0, 0)), axes.transAxes.transform((1, 1))
    room = Box(corner[0][0], corner[0][1], corner[1][0], corner[1][1])
    taken = [box for spot in at for box in _occupied(spot)]
    for text, height in lines:
        y = float(axes.transData.transform((1, height))[1])
        taken += [
            Box(room.left, y - 1, room.right, y + 1),
            Box(room.right - _width(axes, text), y, room.right, y + 1.3 * SIZE),
        ]
    for spot in at:
        place = _first_free(list(_places(spot, _width(axes, spot.text), room)), taken)
        taken.append(place.box)
        _write(axes, spot, place, colours[spot.quiet])


def _in_points(axes: Axes, spot: Spot) -> Spot:
    x, y = axes.transData.transform((spot.x, spot.y))
    ends = tuple(tuple(map(float, axes.transData.transform(end))) for end in spot.ends)
    return Spot(float(x), float(y), ends, spot.text, spot.quiet)  # type: ignore[arg-type]


def _occupied(spot: Spot) -> list[Box]:
    """The point's mark and its intervals."""
    lines = [
        Box(min(x, spot.x) - 1, min(y, spot.y) - 1, max(x, spot.x) + 1, max(y, spot.y) + 1)
        for x, y in spot.ends
    ]
    return [Box(spot.x - MARK, spot.y - MARK, spot.x + MARK, spot.y + MARK), *lines]


def _width(axes: Axes, text: str) -> float:
    from matplotlib.font_manager import FontProperties

    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return float(
        renderer.get_text_width_height_descent(text, FontProperties(size=SIZE), ismath=False)[0]
    )


def _places(spot: Spot, width: float, room: Box) -> Iterator[_Place]:
    """Places, the best first: right or left of the point, just above or below its interval, then
    further and further away."""
    half = 0.62 * SIZE
    for away in range(0, 150, 3):
        for down in dict.fromkeys((away, -away)):
            for side, gap in ((1, 6), (-1, 6), (1, 22), (-1, 22)):
                near = spot.x + side * gap
                left, right = sorted((near, near + side * width))
                box = Box(left, spot.y + down - half, right, spot.y + down + half)
                if (
                    room.left <= box.left
                    and box.right <= room.right
                    and room.top <= box.top
                    and box.bottom <= room.bottom
                ):
                    yield _Place(
                        near,
                        spot.y + down,
                        "left" if side > 0 else "right",
                        box,
                        away > 6 or gap > 6,
                    )
    yield _Place(
        spot.x + 6, spot.y, "left", Box(spot.x, spot.y, spot.x, spot.y), False
    )  # no room at all


def _first_free(places: Sequence[_Place], taken: Sequence[Box]) -> _Place:
    return next(
        (place for place in places if not any(place.box.meets(other) for other in taken)),
        places[-1],
    )


def _write(axes: Axes, spot: Spot, place: _Place, colour: str) -> None:
    inverse = axes.transData.inverted()
    x, y = inverse.transform((place.x, place.y))
    if place.far:
        (x0, y0), (x1, y1) = (
            inverse.transform((spot.x, spot.y)),
            inverse.transform((place.x - (2 if place.align == "left" else -2), place.y)),
        )
        axes.plot(
            [x0, x1], [y0, y1], color=colour, linewidth=0.4, zorder=1.5, scalex=False, scaley=False
        )
    style = "italic" if spot.quiet else "normal"
    axes.text(
        x,
        y,
        spot.text,
        fontsize=SIZE,
        color=colour,
        ha=place.align,
        va="center_baseline",
        style=style,
        zorder=4,
    )


Ends = tuple[float, float] | None
_MARGINS = (0.62, 0.56, 0.16, 0.42)  # inches: left, bottom, right, top


@dataclass(frozen=True)
class Mark:
    """A row of the table in a plot: its place and its intervals (None where there is none)."""

    title: str
    kind: str  # "ready", "fitted" or "reference"
    x: float
    y: float
    x_ends: Ends
    y_ends: Ends


_SHAPES = {
    "ready": ("o", READY, 5.2),
    "fitted": ("s", FITTED, 4.8),
    "reference": ("D", REFERENCE, 4.2),
}
_LEGEND = {"ready": "not fitted", "fitted": "fitted to each subject", "reference": "reference row"}


def marks_of(table: pd.DataFrame, x: str, y: str, references: Sequence[str] = ()) -> list[Mark]:
    """The competitors, and the reference rows named, that have both numbers."""
    found = []
    for record in table.to_dict("records"):
        if record["reference"] and record["model"] not in references:
            continue
        place = known(record[x]), known(record[y])
        if place[0] is None or place[1] is None:
            continue
        kind = (
            "reference"
            if record["reference"]
            else "ready"
            if known(record["fits"]) is None
            else "fitted"
        )
        title = shown_title(str(record["title"]), str(record["model"]))
        found.append(Mark(title, kind, place[0], place[1], _ends(record, x), _ends(record, y)))
    return found


def _ends(record: dict[object, object], name: str) -> Ends:
    low, high = (known(record.get(f"{name}.{end}")) for end in ("low", "high"))
    return (low, high) if low is not None and high is not None else None


def metric_against_metric(marks: Sequence[Mark], x: Column, y: Column) -> Figure:
    """Means with their intervals, one metric to the right and one upwards."""
    figure, axes = _canvas(len(marks))
    _draw(axes, marks)
    axes.margins(0.09, 0.1)
    axes.set_xlabel(f"{x.title} {x.arrow}")
    _finish(axes, marks, f"{y.title} {y.arrow}")
    return figure


def metric_against_cost(
    marks: Sequence[Mark], lines: Sequence[tuple[str, float]], y: Column
) -> Figure:
    """Means against the seconds to the first clip of a new subject, on a logarithmic axis;
    reference rows as lines across."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure, axes = _canvas(len(marks))
    for _, value in lines:
        axes.axhline(value, color=REFERENCE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    _draw(axes, marks)
    axes.set_xscale("log")
    axes.margins(0.12, 0.1)
    low, high = axes.get_xlim()
    middle = (low * high) ** 0.5
    axes.set_xlim(min(low, middle / 3.2), max(high, middle * 3.2))  # at least a decade
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_tick_params(which="minor", length=0)
    axes.set_xlabel("seconds to the first clip of a new subject")
    for title, value in lines:
        axes.annotate(
            title, (1, value), xycoords=("axes fraction", "data"), xytext=(0, 2.5), textcoords="offset points", ha="right", fontsize=7.6,
            color=SOFT, style="italic",
        )  # fmt: skip
    _finish(axes, marks, f"{y.title} {y.arrow}", lines)
    return figure


def reference_lines(
    table: pd.DataFrame, metric: str, bounds: Sequence[str]
) -> list[tuple[str, float]]:
    """Title and mean of the reference rows that bound what can be reached."""
    rows = table[table["model"].isin(bounds) & table[metric].notna()].to_dict("records")
    return [(shown_title(str(row["title"]), str(row["model"])), float(row[metric])) for row in rows]


def scaled(table: pd.DataFrame, columns: Sequence[Column]) -> Figure:
    """A panel a metric: every competitor between floor (0) and ceiling (1)."""
    records = table[~table["reference"]].to_dict("records")
    titles = [shown_title(str(record["title"]), str(record["model"])) for record in records]
    left, span = 0.3 + 0.062 * max(map(len, titles)), 1.03
    width, height = left + span * len(columns) + 0.15, 1.12 + 0.23 * len(records)
    figure = new_figure(width, height)
    for place, column in enumerate(columns):
        axes = figure.add_axes(
            ((left + place * span) / width, 0.47 / height, (span - 0.13) / width, 1 - 1.12 / height)
        )
        _panel(axes, records, column.name)
        axes.set_title(column.title.replace(" ", "\n", 1), fontsize=8.2, pad=6)
        axes.set_yticks(range(len(records)), titles if not place else [])
    middle = (left + span * len(columns) / 2) / width
    figure.text(
        middle,
        0.07 / height,
        "0: floor, 1: ceiling of the reference rows",
        ha="center",
        fontsize=7.6,
        color=SOFT,
    )
    return figure


def _panel(axes: Axes, records: Sequence[dict[object, object]], metric: str) -> None:
    for end in (0, 1):
        axes.axvline(end, color=REFERENCE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    lowest, highest = 0.0, 1.0
    for row, record in enumerate(records):
        value, low, high = (known(record[f"{metric}.scaled{end}"]) for end in ("", "_low", "_high"))
        if value is None:
            continue
        shape, colour, size = _SHAPES["ready" if known(record["fits"]) is None else "fitted"]
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=1.1, zorder=2)
        axes.plot([value], [row], shape, color=colour, markersize=size - 0.6, zorder=3)
        lowest, highest = (
            min(lowest, value if low is None else low),
            max(highest, value if high is None else high),
        )
    room = 0.06 * (highest - lowest)
    axes.set(xlim=(lowest - room, highest + room), ylim=(len(records) - 0.4, -0.6))
    axes.set_xticks([0, 0.5, 1], ["0", "", "1"])
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def _canvas(marks: int) -> tuple[Figure, Axes]:
    width, height = 5.4, max(3.6, 2.4 + 0.13 * marks)
    left, bottom, right, top = _MARGINS
    figure = new_figure(width, height)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )
    plain_axes(axes)
    return figure, axes


def _draw(axes: Axes, marks: Sequence[Mark]) -> None:
    for mark in marks:
        shape, colour, size = _SHAPES[mark.kind]
        if mark.x_ends:
            axes.plot(
                mark.x_ends, [mark.y, mark.y], color=colour, linewidth=1.0, alpha=0.75, zorder=2
            )
        if mark.y_ends:
            axes.plot(
                [mark.x, mark.x], mark.y_ends, color=colour, linewidth=1.0, alpha=0.75, zorder=2
            )
        axes.plot(
            [mark.x], [mark.y], shape, color=colour, markersize=size, zorder=3, **_hollow(mark.kind)
        )


def _hollow(kind: str) -> dict[str, Any]:
    return {"markerfacecolor": "none"} if kind == "reference" else {}


def _finish(
    axes: Axes, marks: Sequence[Mark], y_label: str, lines: Sequence[tuple[str, float]] = ()
) -> None:
    """The upright axis' name on top, where it reads level; the legend beside it; names of the
    points last, when all places are known."""
    from matplotlib.lines import Line2D

    axes.text(-0.07, 1.03, y_label, transform=axes.transAxes, ha="left", va="bottom", fontsize=8.8)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=shape,
            color=colour,
            markersize=size,
            label=_LEGEND[kind],
            **_hollow(kind),
        )
        for kind, (shape, colour, size) in _SHAPES.items()
        if any(mark.kind == kind for mark in marks)
    ]
    spaces = {"handletextpad": 0.2, "columnspacing": 1.2}
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.01, 1.0),
        ncols=3,
        frameon=False,
        fontsize=7.6,
        **spaces,
    )
    axes.set(
        xlim=axes.get_xlim(), ylim=axes.get_ylim()
    )  # names are placed by where the points are, so that must not change any more
    spots = [Spot(m.x, m.y, tuple(_corners(m)), m.title, m.kind == "reference") for m in marks]
    name_points(axes, spots, (INK, SOFT), lines)


def _corners(mark: Mark) -> list[tuple[float, float]]:
    return [(x, mark.y) for x in mark.x_ends or ()] + [(mark.x, y) for y in mark.y_ends or ()]


def described(
    marks: Sequence[Mark], x_title: str, y_title: str, x_decimals: int, y_decimals: int
) -> str:
    """The points in words."""
    each = [
        f"{m.title}: {y_title} {formatting.number(m.y, y_decimals)}, {x_title} {formatting.number(m.x, x_decimals)}"
        for m in marks
    ]
    return "; ".join(each) + "."
