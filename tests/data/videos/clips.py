"""Clips for the tests of this folder: rendered ones, whose true masks are known, and pans over
drawn pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.media.videos import encode
from vbbench.data.world import CLASSES, MOTIONS, individual, render_clip
from vbbench.media.video import write_video_lossless
from vbbench.types import Video

PLAIN = ("beach", "night", "forest")  # scenes whose border shows what stands behind the subject


def rendered(place: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Class, frames (T, 64, 64, 3) and the mask of the first one, bool (64, 64)."""
    name = CLASSES[place % len(CLASSES)]
    frames, masks = render_clip(
        individual("test", name, place),
        PLAIN[place % len(PLAIN)],
        MOTIONS[place * 5 % len(MOTIONS)],
        place,
    )
    return name, frames, masks[0] > 0


def pan(seed: int, step: int = 2, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A camera that moves over one drawn picture: frames (T, 160, 200, 3), and the subject's mask
    in the first."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (180, 240, 3), dtype=np.uint8)).filter(
        ImageFilter.GaussianBlur(2)
    )
    ground = Image.new("RGB", noise.size, [(90, 140, 70), (170, 150, 110), (60, 80, 120)][seed % 3])
    picture, mask = Image.blend(ground, noise, 0.25), Image.new("L", noise.size, 0)
    x, y, wide, tall, head = (
        int(rng.integers(*span)) for span in ((90, 130), (80, 95), (28, 46), (14, 34), (12, 28))
    )
    body = [
        (x - wide, y - 15, x + wide - 5, y + tall),
        (x + wide - 25, y - 2 * head, x + wide - 25 + 2 * head, y),
    ]
    legs = [
        (x - wide + 8, y, x - wide + 22, y + tall + 25),
        (x + 5, y, x + 19, y + tall + int(rng.integers(15, 40))),
    ]
    colour = [(200, 60, 40), (40, 60, 180), (240, 220, 60)][seed % 3]
    for image, paint in ((picture, colour), (mask, 255)):
        draw = ImageDraw.Draw(image)
        for box in body:
            draw.ellipse(box, fill=paint)
        for box in legs:
            draw.rectangle(box, fill=paint)
    pixels, true = np.asarray(picture), np.asarray(mask) > 127
    windows = [(slice(10, 170), slice(step * t, step * t + 200)) for t in range(count)]
    return np.stack([pixels[window] for window in windows]), true[windows[0]]


def write_clips(folder: Path, count: int) -> Path:
    """Videos ``<folder>/videos/p/c000.mkv`` ... and ``captions.csv``; every second is a pan, which
    H.264 packs. Returns the captions."""
    (folder / "videos" / "p").mkdir(parents=True)
    rows = []
    for place in range(count):
        if place % 2:
            frames, _ = pan(place)
            name, path = "car", folder / "videos" / "p" / f"c{place:03d}.mp4"
            encode(path, frames, "libx264", "yuv420p", **{"x264-params": "log-level=none"})
        else:
            name, frames, _ = rendered(place)
            write_video_lossless(folder / "videos" / "p" / f"c{place:03d}.mkv", Video(frames, 8))
        rows.append((f"c{place:03d}", "p", f'Close-up: a {name}, "free", walks by'))
    return write_captions(folder / "captions.csv", rows)


def write_captions(
    path: Path,
    rows: list[tuple[str, ...]],
    columns: tuple[str, ...] = ("videoid", "page_dir", "name"),
) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
