"""How each class is drawn: painter-ordered parts in the subject's own coordinates.

The subject looks to the right; x is to the right and y up; it fits [-1, 1] x [-1, 1] with its feet
at y = FEET. ``p`` are the proportions (N, P, 1) in [-1, 1]; ``swing`` (N, 1) in [-1, 1] moves the
legs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# Signed distance functions, vectorised over pictures: negative inside, in the units of the
# coordinates.
#
# Legend: x, y are (N, P) coordinates of P pixels in N pictures; parameters are scalars or (N, 1).

Array = np.ndarray


def ellipse(
    x: Array, y: Array, cx: Array | float, cy: Array | float, rx: Array | float, ry: Array | float
) -> Array:
    """Distance to an axis-parallel ellipse, first-order exact at its edge."""
    dx, dy = x - cx, y - cy
    k0 = np.sqrt((dx / rx) ** 2 + (dy / ry) ** 2)
    k1 = np.sqrt((dx / (rx * rx)) ** 2 + (dy / (ry * ry)) ** 2)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-6)


def capsule(
    x: Array,
    y: Array,
    x1: Array | float,
    y1: Array | float,
    x2: Array | float,
    y2: Array | float,
    r1: Array | float,
    r2: Array | float | None = None,
) -> Array:
    """Distance to a thick line from (x1, y1) to (x2, y2) whose radius goes from r1 to r2."""
    px, py = x - x1, y - y1
    bx, by = x2 - x1, y2 - y1
    h = np.clip((px * bx + py * by) / np.maximum(bx * bx + by * by, 1e-9), 0.0, 1.0)
    radius = r1 if r2 is None else r1 + (r2 - r1) * h
    return np.sqrt((px - bx * h) ** 2 + (py - by * h) ** 2) - radius


def box(
    x: Array,
    y: Array,
    cx: Array | float,
    cy: Array | float,
    hx: Array | float,
    hy: Array | float,
    r: float,
) -> Array:
    """Distance to a box of half sizes hx, hy with corners rounded by r."""
    qx, qy = np.abs(x - cx) - hx + r, np.abs(y - cy) - hy + r
    return (
        np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2)
        + np.minimum(np.maximum(qx, qy), 0)
        - r
    )


Distance = Callable[[Array, Array], Array]

FEET = -0.8
DARK, LIGHT, GLASS, LAMP = (34, 32, 44), (252, 246, 236), (196, 232, 250), (255, 236, 150)


@dataclass(frozen=True)
class Part:
    """One shape: its distance function, its paint ("base", "secondary" or an RGB), whether it wears
    the marking, its shade."""

    distance: Distance
    paint: str | tuple[int, int, int]
    marked: bool = False
    shade: float = 1.0


def _e(cx: Array | float, cy: Array | float, rx: Array | float, ry: Array | float) -> Distance:
    return lambda x, y: ellipse(x, y, cx, cy, rx, ry)


def _c(
    x1: Array | float,
    y1: Array | float,
    x2: Array | float,
    y2: Array | float,
    r1: Array | float,
    r2: Array | float | None = None,
) -> Distance:
    return lambda x, y: capsule(x, y, x1, y1, x2, y2, r1, r2)


def _b(
    cx: Array | float, cy: Array | float, hx: Array | float, hy: Array | float, r: float
) -> Distance:
    return lambda x, y: box(x, y, cx, cy, hx, hy, r)


def _legs(
    swing: Array, rear: float, front: float, hip: float, r: float, paint: str, stride: float = 0.14
) -> Iterator[Part]:
    """Far legs (darker) and near legs; the two pairs swing against each other."""
    foot = FEET + r
    for sign, gap, shade in ((-1.0, 0.13, 0.72), (1.0, 0.0, 1.0)):
        for at, way in ((rear, 1.0), (front, -1.0)):
            yield Part(
                _c(at + gap * 0.8, hip, at + gap + sign * way * stride * swing, foot, r, r),
                paint,
                shade=shade,
            )


def _eye(cx: float, cy: float, r: float = 0.055) -> Iterator[Part]:
    yield Part(_e(cx, cy, r, r * 1.15), DARK)


def _bear(p: Array, swing: Array) -> Iterator[Part]:
    fat = 0.42 + 0.04 * p[:, 0]
    yield from _legs(swing, -0.46, 0.3, -0.25, 0.15, "secondary", 0.1)
    yield Part(_e(-0.62, 0.12, 0.1, 0.1), "secondary")
    yield Part(_e(-0.06, -0.08, 0.62, fat), "base", marked=True)
    yield Part(_e(0.42, 0.52, 0.11, 0.11), "secondary")
    yield Part(_e(0.56, 0.24, 0.29, 0.27), "base")
    yield Part(_e(0.66, 0.5, 0.1, 0.1), "secondary")
    yield Part(_e(0.79, 0.14, 0.15, 0.12), LIGHT)
    yield Part(_e(0.89, 0.19, 0.055, 0.05), DARK)
    yield from _eye(0.62, 0.32)


def _car(p: Array, swing: Array) -> Iterator[Part]:
    roof = 0.3 + 0.05 * p[:, 0]
    yield Part(_b(-0.08, 0.12, 0.48, roof, 0.16), "secondary")
    yield Part(_b(-0.31, 0.16, 0.17, 0.17, 0.06), GLASS)
    yield Part(_b(0.13, 0.16, 0.18, 0.17, 0.06), GLASS)
    yield Part(_b(0.0, -0.32, 0.92, 0.27, 0.13), "base", marked=True)
    yield Part(_e(0.84, -0.25, 0.09, 0.09), LAMP)
    for cx in (-0.52, 0.5):
        yield Part(_e(cx, FEET + 0.22, 0.23, 0.23), DARK)
        yield Part(_e(cx + 0.05 * swing, FEET + 0.22, 0.1, 0.1), LIGHT)


def _cat(p: Array, swing: Array) -> Iterator[Part]:
    slim = 0.38 + 0.04 * p[:, 0]
    yield Part(_c(0.28, -0.66, 0.66, -0.52, 0.085), "secondary")
    yield Part(_c(0.66, -0.52, 0.74, -0.02 + 0.06 * p[:, 1], 0.085), "secondary")
    yield Part(_e(0.0, -0.34, slim, 0.44), "base", marked=True)
    for side in (-1.0, 1.0):
        yield Part(
            _e(side * 0.2, FEET + 0.09 + 0.07 * np.maximum(side * swing, 0), 0.17, 0.1), "secondary"
        )
        yield Part(_c(side * 0.2, 0.46, side * 0.35, 0.86, 0.17, 0.03), "secondary")
    yield Part(_e(0.0, 0.32, 0.42, 0.33), "base")
    for side in (-1.0, 1.0):
        yield Part(_e(side * 0.17, 0.36, 0.085, 0.1), LIGHT)
        yield Part(_e(side * 0.16, 0.35, 0.045, 0.085), DARK)
    yield Part(_e(0.0, 0.2, 0.065, 0.045), (235, 110, 130))


def _dog(p: Array, swing: Array) -> Iterator[Part]:
    yield Part(_c(-0.48, 0.08, -0.82, 0.5 + 0.08 * p[:, 1], 0.085, 0.06), "secondary")
    yield from _legs(swing, -0.42, 0.3, -0.15, 0.095, "secondary")
    yield Part(_c(-0.34, -0.04, 0.3, 0.0, 0.25 + 0.02 * p[:, 0]), "base", marked=True)
    yield Part(_c(0.35, 0.1, 0.52, 0.35, 0.17), "base")
    yield Part(_e(0.56, 0.42, 0.26, 0.24), "base")
    yield Part(_c(0.66, 0.34, 0.86, 0.31, 0.12, 0.1), "base")
    yield Part(_e(0.94, 0.37, 0.065, 0.06), DARK)
    yield Part(_c(0.42, 0.52, 0.34, 0.2, 0.1, 0.13), "secondary", shade=0.86)
    yield from _eye(0.64, 0.49)


def _elephant(p: Array, swing: Array) -> Iterator[Part]:
    yield Part(_c(-0.66, 0.2, -0.78, -0.16, 0.05), "secondary")
    yield from _legs(swing, -0.46, 0.2, -0.2, 0.15, "base", 0.08)
    yield Part(_e(-0.12, 0.06, 0.6, 0.46), "base", marked=True)
    yield Part(_c(0.7, 0.26, 0.86, -0.2, 0.15, 0.11), "base")
    yield Part(_c(0.86, -0.2, 0.82, -0.62, 0.11, 0.08), "base")
    yield Part(_e(0.52, 0.34, 0.3, 0.3), "base")
    yield Part(_c(0.68, 0.02, 0.94, -0.06, 0.055, 0.03), LIGHT)
    yield Part(_e(0.3, 0.3, 0.2 + 0.02 * p[:, 0], 0.32), "secondary")
    yield from _eye(0.62, 0.42)


def _horse(p: Array, swing: Array) -> Iterator[Part]:
    yield Part(_c(-0.5, 0.06, -0.74, -0.42, 0.09, 0.11), "secondary")
    yield from _legs(swing, -0.4, 0.24, -0.1, 0.078, "base", 0.16)
    yield Part(_c(-0.32, 0.0, 0.26, 0.02, 0.235 + 0.015 * p[:, 0]), "base", marked=True)
    yield Part(_c(0.22, 0.22, 0.44, 0.84, 0.12, 0.1), "secondary")
    yield Part(_c(0.32, 0.1, 0.54, 0.66, 0.18, 0.13), "base")
    yield Part(_c(0.54, 0.72, 0.84, 0.5, 0.15, 0.1), "base")
    yield Part(_c(0.48, 0.8, 0.46, 0.98, 0.07, 0.02), "base")
    yield from _eye(0.62, 0.72, 0.05)


def _lion(p: Array, swing: Array) -> Iterator[Part]:
    yield Part(_c(-0.5, 0.0, -0.84, 0.3, 0.055), "base")
    yield Part(_e(-0.86, 0.34, 0.12, 0.12), "secondary")
    yield from _legs(swing, -0.42, 0.26, -0.2, 0.105, "base")
    yield Part(_c(-0.34, -0.1, 0.26, -0.06, 0.245), "base", marked=True)
    yield Part(_e(0.46, 0.24, 0.43 + 0.03 * p[:, 0], 0.45), "secondary")
    yield Part(_e(0.54, 0.22, 0.25, 0.25), "base")
    yield Part(_e(0.66, 0.1, 0.15, 0.11), LIGHT)
    yield Part(_e(0.72, 0.17, 0.06, 0.05), DARK)
    yield from _eye(0.46, 0.31)
    yield from _eye(0.65, 0.31)


def _panda(p: Array, swing: Array) -> Iterator[Part]:
    for side in (-1.0, 1.0):
        yield Part(_e(side * 0.33, 0.72, 0.15, 0.15), "secondary")
    yield Part(_e(0.0, -0.3, 0.46 + 0.03 * p[:, 0], 0.44), "base", marked=True)
    for side in (-1.0, 1.0):
        yield Part(_c(side * 0.4, -0.1, side * 0.54, -0.4 + 0.1 * side * swing, 0.14), "secondary")
        yield Part(
            _e(side * 0.32, FEET + 0.14 + 0.06 * np.maximum(side * swing, 0), 0.22, 0.15),
            "secondary",
        )
    yield Part(_e(0.0, 0.38, 0.45, 0.36), "base")
    for side in (-1.0, 1.0):
        yield Part(_e(side * 0.19, 0.4, 0.12, 0.14), "secondary")
        yield Part(_e(side * 0.18, 0.41, 0.055, 0.065), LIGHT)
        yield Part(_e(side * 0.17, 0.41, 0.03, 0.04), DARK)
    yield Part(_e(0.0, 0.24, 0.08, 0.055), DARK)


def _tiger(p: Array, swing: Array) -> Iterator[Part]:
    yield Part(_c(-0.6, 0.0, -0.9, 0.2, 0.075), "base")
    yield Part(_c(-0.9, 0.2, -0.82, 0.52, 0.075), "secondary")
    yield from _legs(swing, -0.48, 0.3, -0.28, 0.11, "secondary", 0.12)
    yield Part(_c(-0.44, -0.12, 0.36, -0.08, 0.27 + 0.02 * p[:, 0]), "base", marked=True)
    for cx in (0.44, 0.74):
        yield Part(_e(cx, 0.48, 0.1, 0.1), "secondary")
    yield Part(_e(0.6, 0.24, 0.3, 0.27), "base", marked=True)
    yield Part(_e(0.7, 0.12, 0.18, 0.12), LIGHT)
    yield Part(_e(0.76, 0.18, 0.06, 0.05), DARK)
    yield from _eye(0.52, 0.31)
    yield from _eye(0.72, 0.33)


DRAWINGS: dict[str, Callable[[Array, Array], Iterator[Part]]] = {
    f.__name__.removeprefix("_"): f
    for f in (_bear, _car, _cat, _dog, _elephant, _horse, _lion, _panda, _tiger)
}


def marking_distance(kind: str, x: Array, y: Array, p: Array, frontal: bool) -> Array:
    """Distance to the marking of the given kind, in the subject's coordinates; clipped to the
    marked parts by the painter.

    ``frontal`` subjects (cat, panda) sit upright, so their body's centre lies lower and it is
    narrower.
    """
    cx, cy = (0.0, -0.34) if frontal else (-0.05, -0.05)
    if kind == "stripes":
        width = 0.30 + 0.04 * p[:, 3]
        u = (x - cx) + 0.25 * p[:, 2] * (y - cy)
        return np.abs(np.mod(u + 0.1 * p[:, 4], width) - 0.5 * width) - 0.27 * width
    if kind == "spots":
        pitch = 0.29 + 0.03 * p[:, 3]
        row = np.round((y - cy) / pitch)
        u = (
            np.mod(x - cx + 0.5 * pitch * np.mod(row, 2) + 0.1 * p[:, 4] + 0.5 * pitch, pitch)
            - 0.5 * pitch
        )
        return np.sqrt(u * u + (y - cy - row * pitch) ** 2) - 0.105
    if kind == "patch":
        return ellipse(
            x,
            y,
            cx + (0.08 if frontal else 0.16) * p[:, 2],
            cy + 0.06 * p[:, 4],
            0.24 + 0.02 * p[:, 3],
            0.24,
        )
    if kind == "half":
        return (
            (x - cx) + 0.1 * p[:, 2] + 0.2 * p[:, 3] * (y - cy)
            if not frontal
            else (cy + 0.05 * p[:, 2]) - y
        )
    return (
        cy + 0.06 + 0.04 * p[:, 2] - y if not frontal else np.abs(x - cx + 0.04 * p[:, 2]) - 0.13
    )  # saddle


FRONTAL = frozenset({"cat", "panda"})
