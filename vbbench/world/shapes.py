"""Signed distance functions, vectorised over pictures: negative inside, in the units of the coordinates.

Legend: x, y are (N, P) coordinates of P pixels in N pictures; parameters are scalars or (N, 1).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def ellipse(x: Array, y: Array, cx: Array | float, cy: Array | float, rx: Array | float, ry: Array | float) -> Array:
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


def box(x: Array, y: Array, cx: Array | float, cy: Array | float, hx: Array | float, hy: Array | float, r: float) -> Array:
    """Distance to a box of half sizes hx, hy with corners rounded by r."""
    qx, qy = np.abs(x - cx) - hx + r, np.abs(y - cy) - hy + r
    return np.sqrt(np.maximum(qx, 0) ** 2 + np.maximum(qy, 0) ** 2) + np.minimum(np.maximum(qx, qy), 0) - r
