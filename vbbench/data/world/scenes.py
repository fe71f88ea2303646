"""The eight backgrounds: smooth, quiet, and the same at every visit but for a little light and a few pixels of horizon."""

from __future__ import annotations

import numpy as np

from vbbench.data.world.names import SCENES, SIZE

Array = np.ndarray

# sky top, sky bottom, ground top, ground bottom
_COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "grass": ((96, 178, 240), (198, 232, 250), (138, 196, 92), (84, 150, 62)),
    "beach": ((112, 200, 244), (216, 242, 250), (240, 220, 164), (222, 190, 122)),
    "snow": ((172, 196, 224), (226, 236, 246), (250, 252, 255), (214, 226, 242)),
    "road": ((150, 186, 214), (222, 232, 236), (112, 114, 122), (82, 84, 92)),
    "night": ((18, 22, 62), (58, 60, 120), (60, 58, 104), (36, 36, 72)),
    "desert": ((250, 176, 104), (254, 224, 166), (232, 166, 96), (204, 126, 68)),
    "forest": ((120, 158, 128), (176, 200, 150), (88, 122, 64), (58, 90, 48)),
    "room": ((236, 216, 194), (226, 202, 178), (172, 118, 78), (138, 90, 58)),
}
_STARS = np.random.default_rng(7).uniform((0.03, 0.03), (0.97, 0.48), (14, 2))


def _soft(distance: Array) -> Array:
    """Coverage of a pixel whose centre lies at ``distance`` (in pixels) from an edge; negative is inside."""
    return np.clip(0.5 - distance, 0.0, 1.0)[..., None]


def _over(picture: Array, colour: tuple[int, int, int], coverage: Array) -> Array:
    return picture + (np.asarray(colour, dtype=np.float32) - picture) * coverage


def render_scenes(scenes: Array, jitter: Array) -> tuple[Array, Array]:
    """Backgrounds of clips.

    Args:
        scenes: (N,) indices into SCENES.
        jitter: (N, 3) in [-1, 1]: horizon, light, sideways position of things.
    Returns:
        pictures (N, S, S, 3) float32 in 0..255 and horizons (N,) in pixels from the top.
    """
    size = SIZE
    rows, columns = np.meshgrid(np.arange(size, dtype=np.float32) + 0.5, np.arange(size, dtype=np.float32) + 0.5, indexing="ij")
    out = np.empty((len(scenes), size, size, 3), dtype=np.float32)
    horizons = (0.56 + 0.025 * jitter[:, 0]) * size
    for index in np.unique(scenes):
        pick = np.flatnonzero(scenes == index)
        out[pick] = _scene(SCENES[index], rows[None], columns[None], horizons[pick, None, None], jitter[pick, 2, None, None])
    out *= (1.0 + 0.03 * jitter[:, 1])[:, None, None, None]
    return np.clip(out, 0, 255), horizons


def _scene(name: str, y: Array, x: Array, horizon: Array, side: Array) -> Array:
    sky_top, sky_low, ground_top, ground_low = (np.asarray(c, dtype=np.float32) for c in _COLOURS[name])
    up = np.clip(y / horizon, 0, 1)[..., None]
    down = np.clip((y - horizon) / (SIZE - horizon), 0, 1)[..., None]
    sky = sky_top + (sky_low - sky_top) * up
    ground = ground_top + (ground_low - ground_top) * down
    edge = horizon
    if name in ("grass", "snow", "desert"):  # rolling hills
        edge = horizon - 2.5 * np.cos((x - 20.0 - 5.0 * side) * 0.1)
    sky = _things_in_the_sky(name, sky, y, x, horizon, side)
    picture = sky + (ground - sky) * _soft(edge - y)
    return _things_on_the_ground(name, picture, y, x, horizon, side)


def _things_in_the_sky(name: str, sky: Array, y: Array, x: Array, horizon: Array, side: Array) -> Array:
    shift = 3.0 * side
    if name == "desert":
        return _over(sky, (255, 244, 176), _soft(np.hypot(x - 50 - shift, y - 11) - 6.0))
    if name == "night":
        for sx, sy in _STARS * SIZE:
            sky = _over(sky, (250, 248, 220), 0.9 * _soft(np.hypot(x - sx, y - sy) - 0.55))
        return _over(sky, (250, 244, 206), _soft(np.hypot(x - 50 - shift, y - 11) - 5.5))
    if name in ("grass", "beach"):
        for cx, cy, r in ((13, 10, 4.0), (18, 9, 5.0), (23, 11, 3.5)):
            sky = _over(sky, (250, 253, 255), 0.85 * _soft((np.hypot(x - cx - shift, (y - cy) * 1.5) - r) * 0.7))
        return sky
    if name == "road":
        for left, top, width in ((3, 17, 9), (14, 23, 10), (40, 14, 8), (50, 21, 11)):
            inside = np.maximum(np.abs(x - left - shift - width / 2) - width / 2, top - y)
            sky = _over(sky, (176, 196, 212), _soft(inside))
        return sky
    if name == "room":
        frame = np.maximum(np.abs(x - 48 - shift), np.abs(y - 14)) - 9.0
        sky = _over(sky, (250, 246, 238), _soft(frame))
        glass = np.maximum(np.abs(x - 48 - shift), np.abs(y - 14)) - 7.5
        sky = _over(sky, (160, 210, 242), _soft(glass))
        return _over(sky, (250, 246, 238), _soft(np.maximum(np.minimum(np.abs(x - 48 - shift), np.abs(y - 14)) - 0.6, glass)))
    if name == "forest":
        for cx, width in ((5, 2.6), (19, 2.0), (34, 2.8), (47, 2.0), (59, 2.6)):
            sky = _over(sky, (92, 70, 54), _soft(np.abs(x - cx - shift) - width))
        return _over(sky, (62, 104, 66), _soft(y - 6.0 - 2.0 * np.cos((x - shift) * 0.45)))
    return sky


def _things_on_the_ground(name: str, picture: Array, y: Array, x: Array, horizon: Array, side: Array) -> Array:
    if name == "beach":
        sea = np.maximum(horizon - 6.0 - y, y - horizon - 0.8 * np.cos(x * 0.3 + 2.0 * side))
        return _over(picture, (46, 136, 196), _soft(sea))
    if name == "road":
        line = np.maximum(np.abs(np.mod(x - 3.0 * side, 21.0) - 10.5) - 5.0, np.abs(y - 58.0) - 0.9)
        return _over(picture, (240, 240, 236), _soft(line))
    if name == "room":
        return _over(picture, (246, 238, 226), _soft(np.abs(y - horizon) - 1.0))
    return picture
