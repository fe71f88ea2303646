"""Identity against cost as a picture: who keeps the subject, and how long a new subject waits for
its first clip.

An SVG of its own, without a drawing library: it takes its colours from the page, light or dark,
stays sharp, and equal runs give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from vbbench.results import formatting
from vbbench.results.costs import known

GLYPH, LINE = (
    6.9,
    15,
)  # pixels: a generous width of a letter at 12.5 px, and the height of a line of text
TOP, BOTTOM, LEFT, RIGHT = 40, 46, 52, 14
_MARK = 5


@dataclass(frozen=True)
class Point:
    """A competitor: seconds to the first clip of a new subject, mean of the metric and its
    interval."""

    title: str
    fitted: bool
    seconds: float
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Plot:
    """What is drawn, and what cannot be.

    Attributes:
        metric: its title.
        lines: title and mean of reference rows.
        left_out: titles of competitors without a mean or without a cost.
    """

    metric: str
    points: tuple[Point, ...]
    lines: tuple[tuple[str, float], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True)
class Label:
    """A point's name: where it begins (or ends, ``anchor`` "end"), and where a thin line leads from
    it, if it is not beside the point."""

    x: float
    y: float
    anchor: str
    text: str
    leader: tuple[float, float, float, float] | None


def plot_of(
    table: pd.DataFrame, metric: str, title: str, bounds: Sequence[str] = ()
) -> Plot | None:
    """What a leaderboard has to draw; None where that is nothing.

    Args:
        title: of the metric.
        bounds: names of the reference rows that bound what a model can reach.
    """
    points, left_out = [], []
    for record in table[~table["reference"]].to_dict("records"):
        mean, low, high, seconds = (
            known(record[name])
            for name in (metric, f"{metric}.low", f"{metric}.high", "first_clip_seconds")
        )
        if mean is None or seconds is None or seconds <= 0:
            left_out.append(str(record["title"]))
        else:
            points.append(
                Point(
                    str(record["title"]),
                    known(record["fits"]) is not None,
                    seconds,
                    mean,
                    low,
                    high,
                )
            )
    rows = table[table["model"].isin(bounds) & table[metric].notna()]
    lines = tuple((str(row["title"]), float(row[metric])) for row in rows.to_dict("records"))
    return Plot(title, tuple(points), lines, tuple(left_out)) if points else None


class Axes:
    """Where values lie in a picture of ``width`` x ``height`` pixels: seconds on a logarithmic
    axis, the metric on a plain one."""

    def __init__(self, plot: Plot, width: int) -> None:
        self.width, self.height = width, max(340, 24 * len(plot.points) + 140)
        values = [v for p in plot.points for v in (p.mean, p.low, p.high) if v is not None] + [
            mean for _, mean in plot.lines
        ]
        low, high = min(values), max(values)
        margin = 0.07 * (high - low) or 0.05
        self._low, self._high = low - margin, high + margin
        seconds = [p.seconds for p in plot.points]
        first, last = math.log10(min(seconds)), math.log10(max(seconds))
        room = 0.12 * (last - first) + max(0.0, 1.0 - (last - first)) / 2  # at least a decade
        self._first, self._last = first - room, last + room

    def x(self, seconds: float) -> float:
        """Pixels from the left."""
        share = (math.log10(seconds) - self._first) / (self._last - self._first)
        return LEFT + share * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return TOP + (self._high - value) / (self._high - self._low) * (self.height - TOP - BOTTOM)

    def seconds_ticks(self) -> list[float]:
        """1, 2 and 5 times powers of ten inside the axis; of more than two decades the powers
        alone."""
        steps = (1, 2, 5) if self._last - self._first <= 2 else (1,)
        tens = range(math.floor(self._first), math.ceil(self._last) + 1)
        return [
            n * 10.0**k
            for k in tens
            for n in steps
            if self._first <= math.log10(n * 10.0**k) <= self._last
        ]

    def value_ticks(self) -> list[float]:
        """About five round values inside the axis."""
        rough = (self._high - self._low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough)
        return [
            round(k * step, 9)
            for k in range(math.ceil(self._low / step), math.floor(self._high / step) + 1)
        ]


def labels_of(plot: Plot, axes: Axes) -> tuple[list[Label], list[Label]]:
    """A place for every name, so that none lies on another, on a point or on an interval: those of
    the points, those of the lines.

    A line's name stands at one of its ends; a point's beside the point where there is room, else
    further up or down with a thin line.
    """
    taken = []
    for point in plot.points:
        x, y = axes.x(point.seconds), axes.y(point.mean)
        ends = [axes.y(value) for value in (point.low, point.high) if value is not None]
        taken += [
            Box(x - _MARK - 1, y - _MARK - 1, x + _MARK + 1, y + _MARK + 1),
            Box(x - 3, min([y, *ends]), x + 3, max([y, *ends])),
        ]
    bounds = []
    for title, mean in plot.lines:
        label, box = _first_free(list(_ends(title, axes.y(mean), axes)), taken)
        taken.append(box)
        bounds.append(label)
    found = []
    for point in sorted(plot.points, key=lambda point: (-point.mean, point.seconds, point.title)):
        label, box = _first_free(list(_places(point, axes)), taken)
        taken.append(box)
        found.append(label)
    return found, bounds


def _first_free(places: Sequence[tuple[Label, Box]], taken: Sequence[Box]) -> tuple[Label, Box]:
    """The first place that meets nothing; the very first where there is none."""
    return next(
        (place for place in places if not any(place[1].meets(other) for other in taken)), places[0]
    )


def _ends(title: str, y: float, axes: Axes) -> Iterator[tuple[Label, Box]]:
    """Places for a line's name: right and left end, above and below."""
    width = GLYPH * len(title)
    for middle in (y - 8, y + 9):
        for x, anchor in ((axes.width - RIGHT, "end"), (LEFT, "start")):
            left = x - width if anchor == "end" else x
            yield (
                Label(x, middle, anchor, title, None),
                Box(left, middle - LINE / 2, left + width, middle + LINE / 2),
            )


def _places(point: Point, axes: Axes) -> Iterator[tuple[Label, Box]]:
    """Places for a name, the best first; all inside the picture."""
    x, y = axes.x(point.seconds), axes.y(point.mean)
    width = GLYPH * len(point.title)
    for away in range(0, axes.height, 3):
        for down in dict.fromkeys((-away, away)):
            for side, gap in ((1, 11), (-1, 11), (1, 40), (-1, 40)):
                near = x + side * (gap if away else 10)
                box = Box(
                    min(near, near + side * width),
                    y + down - LINE / 2,
                    max(near, near + side * width),
                    y + down + LINE / 2,
                )
                if (
                    box.left >= LEFT
                    and box.right <= axes.width - 4
                    and box.top >= 2
                    and box.bottom <= axes.height - BOTTOM
                ):
                    leader = (x, y, near - side * 2, y + down) if away > _MARK or gap > 11 else None
                    yield (
                        Label(near, y + down, "start" if side > 0 else "end", point.title, leader),
                        box,
                    )
    yield (
        Label(x + 10, y, "start", point.title, None),
        Box(x, y, x, y),
    )  # a name longer than the picture is wide


def described(plot: Plot) -> str:
    """The picture in words."""
    each = [f"{p.title}: {_score(p)} after {formatting.seconds(p.seconds)} s" for p in plot.points]
    lines = [f"{title}: {formatting.number(mean, 3)}" for title, mean in plot.lines]
    return "; ".join([*each, *lines]) + "."


def _score(point: Point) -> str:
    around = formatting.interval(point.low, point.high, 3)
    return formatting.number(point.mean, 3) + (f" ({around})" if around else "")


def drawing(plot: Plot, width: int) -> dict[str, object]:
    """Everything the template of the picture needs, in pixels, at a width in pixels."""
    axes = Axes(plot, width)
    labels, bounds = labels_of(plot, axes)
    decimals = max(
        0, *(len(f"{tick:.9f}".rstrip("0").partition(".")[2]) for tick in axes.value_ticks()), 0
    )
    return {
        "width": width,
        "height": axes.height,
        "left": LEFT,
        "right": width - RIGHT,
        "bottom": axes.height - BOTTOM,
        "top": TOP,
        "mark": _MARK,
        "metric": plot.metric,
        "words": described(plot),
        "x_ticks": [(_px(axes.x(tick)), f"{tick:g}") for tick in axes.seconds_ticks()],
        "y_ticks": [
            (_px(axes.y(tick)), formatting.number(tick, decimals)) for tick in axes.value_ticks()
        ],
        "lines": [_px(axes.y(mean)) for _, mean in plot.lines],
        "line_labels": [_rounded(label) for label in bounds],
        "points": [
            {
                "x": _px(axes.x(p.seconds)),
                "y": _px(axes.y(p.mean)),
                "low": None if p.low is None else _px(axes.y(p.low)),
                "high": None if p.high is None else _px(axes.y(p.high)),
                "fitted": p.fitted,
                "says": f"{p.title}: {_score(p)}, first clip after {formatting.seconds(p.seconds)} s",
            }
            for p in plot.points
        ],
        "labels": [_rounded(label) for label in labels],
    }


def _rounded(label: Label) -> Label:
    leader = None if label.leader is None else _four(label.leader)
    return Label(_px(label.x), _px(label.y), label.anchor, label.text, leader)


def _four(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    a, b, c, d = map(_px, numbers)
    return a, b, c, d


def _px(value: float) -> float:
    return round(value, 1)
