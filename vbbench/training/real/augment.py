"""The paper's changes of image prompts in stage 2 (arXiv 2312.00777): crops of the box, flips, turns, shifts and scales.

The crop acts on the box, before the subject is cut out of its frame; all others on the square on white, after it was brought to its
size, as in the released code. That draws one set of changes for the image encoder and another for the injected latent; here both see one
picture.

Shape suffixes: S side in pixels, 3 colours.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps

from vbbench.pictures import WHITE
from vbbench.training.real.draws import Augmentation

Box = tuple[float, float, float, float]


def cropped(box: Box, augmentation: Augmentation) -> Box:
    """A box without a share of it at one side.

    Args:
        box: x1, y1, x2, y2.
    """
    x1, y1, x2, y2 = box
    right, down = augmentation.crop * (x2 - x1), augmentation.crop * (y2 - y1)
    moved = {"top": (x1, y1 + down, x2, y2), "bottom": (x1, y1, x2, y2 - down), "left": (x1 + right, y1, x2, y2)}
    return moved.get(augmentation.side, (x1, y1, x2 - right, y2))


def augmented(square_SS3: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """A square flipped, then turned and scaled around its middle, then shifted; what comes in from outside is white.

    Args:
        square_SS3: uint8, RGB.
    Returns:
        uint8 (S, S, 3); bilinear between pixels.
    """
    picture = Image.fromarray(square_SS3)
    if augmentation.flip:
        picture = ImageOps.mirror(picture)
    backward = _backward(augmentation, picture.width)
    return np.asarray(picture.transform(picture.size, Image.Transform.AFFINE, backward, Image.Resampling.BILINEAR, fillcolor=WHITE)).copy()


def _backward(augmentation: Augmentation, side: int) -> tuple[float, ...]:
    """From a place of the result to the one it comes from: x = a x' + b y' + c, y = d x' + e y' + f; y points down."""
    angle, middle = math.radians(augmentation.degrees), side / 2
    cos, sin = math.cos(angle) / augmentation.scale, math.sin(angle) / augmentation.scale
    to_x, to_y = (middle + share * side for share in augmentation.shift)
    return (cos, -sin, middle - cos * to_x + sin * to_y, sin, cos, middle - sin * to_x - cos * to_y)
