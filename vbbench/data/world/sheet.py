"""Contact sheets: the world at a glance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vbbench.data.world.individuals import batch_of, individual
from vbbench.data.world.names import CLASSES, MOTIONS, SCENES, SIZE
from vbbench.data.world.render import render_clips, render_image_prompts

_GAP = 3


def grid(pictures: np.ndarray, scale: int = 1) -> np.ndarray:
    """Pictures (R, C, H, W, 3) uint8 as one picture with white gaps, each pixel ``scale`` times as
    large."""
    rows, columns, height, width, _ = pictures.shape
    sheet = np.full(
        (rows * (height * scale + _GAP) + _GAP, columns * (width * scale + _GAP) + _GAP, 3),
        255,
        dtype=np.uint8,
    )
    for r in range(rows):
        for c in range(columns):
            top, left = _GAP + r * (height * scale + _GAP), _GAP + c * (width * scale + _GAP)
            cell = pictures[r, c].repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top : top + height * scale, left : left + width * scale] = cell
    return sheet


def contact_sheet(seed: int = 0, split: str = "train") -> np.ndarray:
    """One row a class: four image prompts of four individuals, then a clip of the first. Returns
    (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, name in enumerate(CLASSES):
        people = batch_of([individual(split, name, 4 * (seed % 20) + i) for i in range(4)])
        prompts, _ = render_image_prompts(people, rng.integers(0, 2**31, 4))
        scene, motion = (
            np.array([(number + seed) % len(SCENES)]),
            np.array([(number + seed) % len(MOTIONS)]),
        )
        clips, _ = render_clips(
            people.take(np.array([0])), scene, motion, rng.integers(0, 2**31, 1)
        )
        rows.append(np.concatenate([prompts, clips[0]]))
    return grid(np.stack(rows), scale=2)


def write_contact_sheet(path: Path, seed: int = 0) -> None:
    """Write the contact sheet as a picture file (kind by suffix; PNG is lossless)."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(seed)).save(path)


__all__ = ["SIZE", "contact_sheet", "grid", "write_contact_sheet"]
