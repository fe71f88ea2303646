"""A small dataset in the released layout, for tests: a square that moves over a gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.media.videos import encode
from vbbench.data.videos.loader import Example

BOX = (20.0, 6.0, 44.0, 22.0)  # x1, y1, x2, y2
HEIGHT, WIDTH = 40, 64


def video(path: Path, count: int, seed: int = 0, keys: int = 12) -> Path:
    """H.264 with B-frames and several keyframes; frame t is told by its brightness, which rises by
    4 a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 40, (HEIGHT, WIDTH, 3))
    frames = np.stack([noise // 4 + 4 * t for t in range(count)])
    frames[:, 8:20, 22:42] = (180, 60, 30)
    options = {"g": str(keys), "crf": "10", "x264-params": "log-level=none"}
    return encode(path, frames.clip(0, 255).astype(np.uint8), "libx264", "yuv420p", **options)


def example(folder: Path, name: str = "c0", count: int = 40, **changes: object) -> Example:
    """An example whose files are made where they are missing."""
    path, mask = folder / "videos" / f"{name}.mp4", folder / "masks" / f"{name}.png"
    if not path.exists():
        video(path, count, seed=len(name))
    if not mask.exists():
        mask.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
        pixels[8:20, 22:42] = 255
        Image.fromarray(pixels).save(mask)
    values = {
        "class_name": "dog",
        "videoid": name,
        "source": name,
        "video": path,
        "mask": mask,
        "box": BOX,
        "label": "dog",
    }
    return Example(**{**values, "score": 0.9, "caption": "a dog runs over the beach", **changes})
