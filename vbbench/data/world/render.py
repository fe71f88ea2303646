"""From individuals, scenes and motions to pixels and masks; a pure function of its arguments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vbbench.data.world.drawings import DRAWINGS, FEET, FRONTAL, Part, marking_distance
from vbbench.data.world.individuals import Individual, IndividualBatch, batch_of
from vbbench.data.world.names import (
    CLASSES,
    MARKINGS,
    MASK_BASE,
    MASK_DETAIL,
    MASK_MARKING,
    MASK_SECONDARY,
    MOTIONS,
    NUM_FRAMES,
    SCENES,
    SIZE,
    WORLD_VERSION,
)

# The eight backgrounds: smooth, quiet, and the same at every visit but for a little light and a few
# pixels of horizon.

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
    """Coverage of a pixel whose centre lies at ``distance`` (in pixels) from an edge; negative is
    inside."""
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
    rows, columns = np.meshgrid(
        np.arange(size, dtype=np.float32) + 0.5,
        np.arange(size, dtype=np.float32) + 0.5,
        indexing="ij",
    )
    out = np.empty((len(scenes), size, size, 3), dtype=np.float32)
    horizons = (0.56 + 0.025 * jitter[:, 0]) * size
    for index in np.unique(scenes):
        pick = np.flatnonzero(scenes == index)
        out[pick] = _scene(
            SCENES[index],
            rows[None],
            columns[None],
            horizons[pick, None, None],
            jitter[pick, 2, None, None],
        )
    out *= (1.0 + 0.03 * jitter[:, 1])[:, None, None, None]
    return np.clip(out, 0, 255), horizons


def _scene(name: str, y: Array, x: Array, horizon: Array, side: Array) -> Array:
    sky_top, sky_low, ground_top, ground_low = (
        np.asarray(c, dtype=np.float32) for c in _COLOURS[name]
    )
    up = np.clip(y / horizon, 0, 1)[..., None]
    down = np.clip((y - horizon) / (SIZE - horizon), 0, 1)[..., None]
    sky = sky_top + (sky_low - sky_top) * up
    ground = ground_top + (ground_low - ground_top) * down
    edge = horizon
    if name in ("grass", "snow", "desert"):  # rolling hills
        edge = horizon - 2.5 * np.cos((x - 20.0 - 5.0 * side) * 0.1)
    if name in _SKIES:
        sky = _SKIES[name](sky, y, x, 3.0 * side)
    picture = sky + (ground - sky) * _soft(edge - y)
    return _things_on_the_ground(name, picture, y, x, horizon, side)


# What stands in the sky: (sky, y, x, sideways shift in pixels) -> the sky with it.


def _sun(sky: Array, y: Array, x: Array, shift: Array) -> Array:
    return _over(sky, (255, 244, 176), _soft(np.hypot(x - 50 - shift, y - 11) - 6.0))


def _moon_and_stars(sky: Array, y: Array, x: Array, shift: Array) -> Array:
    for sx, sy in _STARS * SIZE:
        sky = _over(sky, (250, 248, 220), 0.9 * _soft(np.hypot(x - sx, y - sy) - 0.55))
    return _over(sky, (250, 244, 206), _soft(np.hypot(x - 50 - shift, y - 11) - 5.5))


def _cloud(sky: Array, y: Array, x: Array, shift: Array) -> Array:
    for cx, cy, r in ((13, 10, 4.0), (18, 9, 5.0), (23, 11, 3.5)):
        sky = _over(
            sky,
            (250, 253, 255),
            0.85 * _soft((np.hypot(x - cx - shift, (y - cy) * 1.5) - r) * 0.7),
        )
    return sky


def _houses(sky: Array, y: Array, x: Array, shift: Array) -> Array:
    for left, top, width in ((3, 17, 9), (14, 23, 10), (40, 14, 8), (50, 21, 11)):
        inside = np.maximum(np.abs(x - left - shift - width / 2) - width / 2, top - y)
        sky = _over(sky, (176, 196, 212), _soft(inside))
    return sky


def _window(sky: Array, y: Array, x: Array, shift: Array) -> Array:
    across, along = np.abs(x - 48 - shift), np.abs(y - 14)
    frame = np.maximum(across, along) - 9.0
    glass = np.maximum(across, along) - 7.5
    bars = np.maximum(np.minimum(across, along) - 0.6, glass)
    sky = _over(sky, (250, 246, 238), _soft(frame))
    sky = _over(sky, (160, 210, 242), _soft(glass))
    return _over(sky, (250, 246, 238), _soft(bars))


def _trunks_and_leaves(sky: Array, y: Array, x: Array, shift: Array) -> Array:
    for cx, width in ((5, 2.6), (19, 2.0), (34, 2.8), (47, 2.0), (59, 2.6)):
        sky = _over(sky, (92, 70, 54), _soft(np.abs(x - cx - shift) - width))
    return _over(sky, (62, 104, 66), _soft(y - 6.0 - 2.0 * np.cos((x - shift) * 0.45)))


_SKIES: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "desert": _sun,
    "night": _moon_and_stars,
    "grass": _cloud,
    "beach": _cloud,
    "road": _houses,
    "room": _window,
    "forest": _trunks_and_leaves,
}


def _things_on_the_ground(
    name: str, picture: Array, y: Array, x: Array, horizon: Array, side: Array
) -> Array:
    if name == "beach":
        sea = np.maximum(horizon - 6.0 - y, y - horizon - 0.8 * np.cos(x * 0.3 + 2.0 * side))
        return _over(picture, (46, 136, 196), _soft(sea))
    if name == "road":
        line = np.maximum(np.abs(np.mod(x - 3.0 * side, 21.0) - 10.5) - 5.0, np.abs(y - 58.0) - 0.9)
        return _over(picture, (240, 240, 236), _soft(line))
    if name == "room":
        return _over(picture, (246, 238, 226), _soft(np.abs(y - horizon) - 1.0))
    return picture


_CHUNK = 128  # pictures painted at once: bounds memory, changes no pixel


def _uniform(seeds: Array, stream: int, count: int) -> Array:
    """(N, count) numbers in [-1, 1], each row a function of its own seed alone, so that batching
    changes nothing."""
    key = int.from_bytes(WORLD_VERSION.encode(), "big")
    rows = [np.random.default_rng([int(s), stream, key]).uniform(-1, 1, count) for s in seeds]
    return np.array(rows, dtype=np.float32).reshape(-1, count)


def trajectories(motions: Array, jitter: Array, frames: Array, num_frames: int) -> dict[str, Array]:
    """Where the subject is: x, y of its feet and half width, as shares of the frame; flip and leg
    swing. Arrays (N, K).

    Args:
        motions: (N,) indices into MOTIONS.
        jitter: (N, 3) in [-1, 1]: size, sideways start, depth.
        frames: (N, K) frame indices.
    """
    kind = np.array(MOTIONS)[motions][:, None]
    u = frames / max(num_frames - 1, 1)
    size, start, depth = (jitter[:, i : i + 1] for i in range(3))
    half = 0.315 + 0.02 * size + 0.0 * u
    x = 0.5 + 0.03 * start + 0.0 * u
    feet = 0.86 + 0.02 * depth + 0.0 * u
    step = np.where(frames // 2 % 2 == 0, 1.0, -1.0)
    x = np.where(
        kind == "right", x - 0.16 + 0.32 * u, np.where(kind == "left", x + 0.16 - 0.32 * u, x)
    )
    grow = np.where(kind == "closer", u, np.where(kind == "away", 1.0 - u, 0.0))
    depth_motion = (kind == "closer") | (kind == "away")
    half = np.where(depth_motion, half * (0.6 + 0.54 * grow), half)
    feet = np.where(depth_motion, 0.74 + 0.15 * grow + 0.01 * depth, feet)
    hop = 0.2 * np.sin(np.pi * (frames % 4) / 4.0) ** 2
    shadow = feet
    feet = np.where(kind == "jumping", feet - hop, feet)
    swing = np.where(kind == "standing", 0.0, step)
    return {
        "x": x,
        "feet": feet,
        "half": half,
        "flip": np.where(kind == "left", -1.0, 1.0) + 0.0 * u,
        "swing": swing,
        "shadow": shadow,
    }


def _paint(
    pictures: Array,
    masks: Array,
    people: IndividualBatch,
    place: dict[str, Array],
    rotation: Array | None,
) -> None:
    """Draw one subject into each picture (N, S, S, 3) float32 and its parts into the masks (N, S,
    S), in place."""
    for index in np.unique(people.class_index):
        pick = np.flatnonzero(people.class_index == index)
        for part in range(0, len(pick), _CHUNK):
            rows = pick[part : part + _CHUNK]
            turn = None if rotation is None else rotation[rows]
            here = {name: values[rows] for name, values in place.items()}
            pictures[rows], masks[rows] = _paint_class(
                CLASSES[index], pictures[rows], people.take(rows), here, turn
            )


def _local_coordinates(
    place: dict[str, Array], rotation: Array | None
) -> tuple[Array, Array, Array]:
    """Pixels in the subject's own coordinates, (N, S*S) each, and the size of a pixel there (N,
    1)."""
    centres = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    gy, gx = (g.reshape(1, -1) for g in np.meshgrid(centres, centres, indexing="ij"))
    half = place["half"][:, None].astype(np.float32)
    x = (gx - place["x"][:, None].astype(np.float32)) / half
    y = (place["feet"][:, None].astype(np.float32) - gy) / half + FEET
    if rotation is not None:
        c, s = (
            np.cos(rotation)[:, None].astype(np.float32),
            np.sin(rotation)[:, None].astype(np.float32),
        )
        x, y = c * x + s * y, -s * x + c * y
    return x * place["flip"][:, None].astype(np.float32), y, 1.0 / (SIZE * half)


def _paint_class(
    name: str,
    pictures: Array,
    people: IndividualBatch,
    place: dict[str, Array],
    rotation: Array | None,
) -> tuple[Array, Array]:
    n = len(people)
    x, y, pixel = _local_coordinates(place, rotation)
    p = people.shape[:, :, None]
    colours = people.colours.astype(np.float32)
    canvas = pictures.reshape(n, -1, 3)
    mask = np.zeros((n, SIZE * SIZE), dtype=np.uint8)
    marking = np.empty_like(x)
    for kind in np.unique(people.marking):
        rows = people.marking == kind
        marking[rows] = marking_distance(MARKINGS[kind], x[rows], y[rows], p[rows], name in FRONTAL)
    light = (1.0 + 0.10 * np.clip(y, -1, 1))[..., None]
    for part in DRAWINGS[name](p, place["swing"][:, None].astype(np.float32)):
        coverage = np.clip(0.5 - part.distance(x, y) / pixel, 0.0, 1.0)
        inside = coverage > 0.5
        paint = _part_colour(part, colours)
        if part.marked:
            share = np.clip(0.5 - marking / pixel, 0.0, 1.0)[..., None]
            paint = paint + (colours[:, 2][:, None] - paint) * share
            mask = np.where(inside, np.where(marking < 0, MASK_MARKING, MASK_BASE), mask).astype(
                np.uint8
            )
        else:
            mask = np.where(inside, _part_label(part), mask).astype(np.uint8)
        canvas = canvas + (paint * light - canvas) * coverage[..., None]
    return canvas.reshape(pictures.shape), mask.reshape(n, SIZE, SIZE)


def _part_colour(part: Part, colours: Array) -> Array:
    if part.paint == "base":
        return colours[:, 0][:, None] * part.shade
    if part.paint == "secondary":
        return colours[:, 1][:, None] * part.shade
    return np.asarray(part.paint, dtype=np.float32)[None, None]


def _part_label(part: Part) -> int:
    return (
        {"base": MASK_BASE, "secondary": MASK_SECONDARY}.get(part.paint, MASK_DETAIL)
        if isinstance(part.paint, str)
        else MASK_DETAIL
    )


def _shadows(pictures: Array, place: dict[str, Array]) -> None:
    """A soft shadow where the subject stands (or will land); in place."""
    centres = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x, feet, half = (place[k][:, None, None] for k in ("x", "shadow", "half"))
    distance = np.sqrt(
        ((centres[None, None, :] - x) / (0.72 * half)) ** 2
        + ((centres[None, :, None] - feet) / (0.13 * half)) ** 2
    )
    pictures *= 1.0 - 0.28 * np.clip(1.6 - 1.2 * distance, 0.0, 1.0)[..., None].astype(np.float32)


def render_clips(
    people: IndividualBatch,
    scenes: Array,
    motions: Array,
    seeds: Array,
    num_frames: int = NUM_FRAMES,
    frame_indices: Array | None = None,
) -> tuple[Array, Array]:
    """Clips, or single frames of clips.

    Args:
        people: N individuals.
        scenes, motions: (N,) indices into SCENES and MOTIONS.
        seeds: (N,) non-negative integers; small differences of place, size and light. Each clip
            depends on its own seed alone.
        num_frames: length of the whole clip.
        frame_indices: (N, K) the frames wanted of each, all by default.
    Returns:
        frames (N, K, 64, 64, 3) uint8 and masks (N, K, 64, 64) uint8 (see ``names.MASK_*``).
    """
    n = len(people)
    scenes, motions, seeds = np.asarray(scenes), np.asarray(motions), np.asarray(seeds)
    frames = (
        np.tile(np.arange(num_frames), (n, 1))
        if frame_indices is None
        else np.asarray(frame_indices)
    )
    count = frames.shape[1]
    jitter = _uniform(seeds, 0, 6)
    place = {
        k: v.reshape(-1)
        for k, v in trajectories(motions, jitter[:, :3], frames, num_frames).items()
    }
    background, _ = render_scenes(scenes, jitter[:, 3:])
    pictures = np.repeat(background, count, axis=0)
    _shadows(pictures, place)
    masks = np.zeros(pictures.shape[:3], dtype=np.uint8)
    _paint(pictures, masks, people.take(np.repeat(np.arange(n), count)), place, None)
    frames_out = np.clip(np.round(pictures), 0, 255).astype(np.uint8)
    return frames_out.reshape(n, count, SIZE, SIZE, 3), masks.reshape(n, count, SIZE, SIZE)


def render_image_prompts(people: IndividualBatch, seeds: Array) -> tuple[Array, Array]:
    """Image prompts: each subject alone on white, turned, perhaps mirrored, legs anywhere in their
    swing.

    Returns:
        pictures (N, 64, 64, 3) uint8 and masks (N, 64, 64) uint8.
    """
    jitter = _uniform(np.asarray(seeds), 1, 6)
    half = 0.41 + 0.02 * jitter[:, 0]
    place = {
        "x": 0.5 + 0.02 * jitter[:, 1],
        "feet": 0.5
        - FEET * half
        + 0.02 * jitter[:, 2],  # the drawing's middle, about which it turns, in the picture's
        "half": half,
        "flip": np.where(jitter[:, 3] < 0, -1.0, 1.0),
        "swing": jitter[:, 4],
    }
    rotation = 0.3 * jitter[:, 5]
    pictures = np.full((len(people), SIZE, SIZE, 3), 255.0, dtype=np.float32)
    masks = np.zeros(pictures.shape[:3], dtype=np.uint8)
    _paint(pictures, masks, people, place, rotation)
    return np.clip(np.round(pictures), 0, 255).astype(np.uint8), masks


def render_clip(
    subject: Individual, scene: str, motion: str, seed: int, num_frames: int = NUM_FRAMES
) -> tuple[Array, Array]:
    """One clip: frames (T, 64, 64, 3) uint8 and masks (T, 64, 64) uint8. ``scene`` of SCENES,
    ``motion`` of MOTIONS."""
    frames, masks = render_clips(
        batch_of([subject]),
        np.array([SCENES.index(scene)]),
        np.array([MOTIONS.index(motion)]),
        np.array([seed]),
        num_frames,
    )
    return frames[0], masks[0]


def render_image_prompt(subject: Individual, seed: int) -> tuple[Array, Array]:
    """One image prompt: picture (64, 64, 3) uint8 and mask (64, 64) uint8."""
    pictures, masks = render_image_prompts(batch_of([subject]), np.array([seed]))
    return pictures[0], masks[0]
