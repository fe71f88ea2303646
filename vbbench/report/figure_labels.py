"""Names beside the points of a figure, so that none lies on another, on a point or on an interval; all in points, y upwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vbbench.report.identity_cost import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 7.6  # of the letters, in points
MARK = 4.0


@dataclass(frozen=True)
class Spot:
    """A point to be named: its place, the ends of its intervals, its name, and whether it is a reference row."""

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


def name_points(axes: Axes, spots: Sequence[Spot], colours: tuple[str, str], lines: Sequence[tuple[str, float]] = ()) -> None:
    """Write every name where there is room; those that stand away from their point are led to it by a thin line.

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
        taken += [Box(room.left, y - 1, room.right, y + 1), Box(room.right - _width(axes, text), y, room.right, y + 1.3 * SIZE)]
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
    lines = [Box(min(x, spot.x) - 1, min(y, spot.y) - 1, max(x, spot.x) + 1, max(y, spot.y) + 1) for x, y in spot.ends]
    return [Box(spot.x - MARK, spot.y - MARK, spot.x + MARK, spot.y + MARK), *lines]


def _width(axes: Axes, text: str) -> float:
    from matplotlib.font_manager import FontProperties

    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return float(renderer.get_text_width_height_descent(text, FontProperties(size=SIZE), ismath=False)[0])


def _places(spot: Spot, width: float, room: Box) -> Iterator[_Place]:
    """Places, the best first: right or left of the point, just above or below its interval, then further and further away."""
    half = 0.62 * SIZE
    for away in range(0, 150, 3):
        for down in dict.fromkeys((away, -away)):
            for side, gap in ((1, 6), (-1, 6), (1, 22), (-1, 22)):
                near = spot.x + side * gap
                left, right = sorted((near, near + side * width))
                box = Box(left, spot.y + down - half, right, spot.y + down + half)
                if room.left <= box.left and box.right <= room.right and room.top <= box.top and box.bottom <= room.bottom:
                    yield _Place(near, spot.y + down, "left" if side > 0 else "right", box, away > 6 or gap > 6)
    yield _Place(spot.x + 6, spot.y, "left", Box(spot.x, spot.y, spot.x, spot.y), False)  # no room at all


def _first_free(places: Sequence[_Place], taken: Sequence[Box]) -> _Place:
    return next((place for place in places if not any(place.box.meets(other) for other in taken)), places[-1])


def _write(axes: Axes, spot: Spot, place: _Place, colour: str) -> None:
    inverse = axes.transData.inverted()
    x, y = inverse.transform((place.x, place.y))
    if place.far:
        (x0, y0), (x1, y1) = (
            inverse.transform((spot.x, spot.y)),
            inverse.transform((place.x - (2 if place.align == "left" else -2), place.y)),
        )
        axes.plot([x0, x1], [y0, y1], color=colour, linewidth=0.4, zorder=1.5, scalex=False, scaley=False)
    style = "italic" if spot.quiet else "normal"
    axes.text(x, y, spot.text, fontsize=SIZE, color=colour, ha=place.align, va="center_baseline", style=style, zorder=4)
