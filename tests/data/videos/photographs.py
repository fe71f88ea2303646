"""A copy of the DreamBooth dataset for tests: drawn pictures in folders, and a file of prompts in
the dataset's own form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

FILE = """Classes

subject_name,class
cat2,cat
rex,dog
rc_car,toy
owl_plushie,stuffed animal
vase,vase

Prompts

Object Prompts

prompt_list = [
'a {0} {1} in a box'.format(unique_token, class_token),
'a shiny {0} {1}'.format(unique_token, class_token),
'a {0} {1} under water'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} in a box'.format(unique_token, class_token),
'a {0} {1} wearing a hat'.format(unique_token, class_token)
]
"""
COUNTS = {"rex": 3, "cat2": 1, "rc_car": 2, "vase": 2}
"""Photographs of each subject; the file names one more."""


def picture(seed: int, size: tuple[int, int] = (40, 40)) -> np.ndarray:
    """A grey room with a coloured square in it, uint8 (H, W, 3); none is like another."""
    rng = np.random.default_rng(seed)
    drawn = np.full((*size, 3), 120, np.uint8) + rng.integers(0, 20, (*size, 3), dtype=np.uint8)
    drawn[10:25, 12:30] = rng.integers(0, 256, 3)
    return drawn


def write_copy(
    root: Path, counts: Mapping[str, int] = COUNTS, text: str = FILE
) -> tuple[Path, Path]:
    """The folder of photographs, named so that natural order is not the order of letters, and the
    file of prompts."""
    for place, (name, count) in enumerate(counts.items()):
        (root / "photographs" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(100 * place + number)).save(
                root / "photographs" / name / f"{8 + number}.png"
            )
    (root / "prompts.txt").write_text(text, encoding="utf-8")
    return root / "photographs", root / "prompts.txt"
