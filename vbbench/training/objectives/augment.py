"""Random changes to training pictures, each a function of its generator alone.

Pictures are float32 (B, 3, H, W) in 0..255. Shape suffixes: B batch, C channels, H/W pixels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Ranges = tuple[float, float]


def to_pictures(frames_BHWC: np.ndarray, device: str = "cpu") -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W), still 0..255."""
    return (
        torch.from_numpy(np.require(frames_BHWC, requirements=["C", "W"]))
        .to(device)
        .permute(0, 3, 1, 2)
        .float()
    )


def normalised(pictures_B3HW: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """As `vbbench.metrics.encoders.pictures.normalise`, for pictures that are already (B, 3, H, W)
    and perhaps not whole numbers."""
    mean_13, std_13 = (
        torch.tensor(v, device=pictures_B3HW.device).view(1, 3, 1, 1) for v in (mean, std)
    )
    return ((pictures_B3HW / 255 - mean_13) / std_13).contiguous(memory_format=torch.channels_last)


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(count,) numbers in [low, high)."""
    return low + (high - low) * torch.rand(count, generator=generator)


def white_out(pictures_B3HW: Tensor, masks_BHW: Tensor, keep_ground: Tensor) -> Tensor:
    """The subjects cut out on white, except where ``keep_ground`` (B,) is true."""
    cut = (masks_BHW == 0)[:, None] & ~keep_ground.to(masks_BHW.device).view(-1, 1, 1, 1)
    return torch.where(cut, torch.full_like(pictures_B3HW, 255.0), pictures_B3HW)


def affine(
    pictures_BCHW: Tensor,
    generator: torch.Generator,
    *,
    zoom: Ranges = (1.0, 1.0),
    shift: float = 0.0,
    turn: float = 0.0,
    flip: bool = False,
    nearest: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Zoom, shift, turn and mirror each picture; what comes in from outside repeats the edge.

    Args:
        zoom: factor by which the subject grows.
        shift: largest shift, as a share of the picture.
        turn: largest angle, radians.
        nearest: label maps (B, H, W) that go along, without blending.
    """
    count = len(pictures_BCHW)
    scale = 1.0 / uniform(count, math.log(zoom[0]), math.log(zoom[1]), generator).exp()
    angle = uniform(count, -turn, turn, generator)
    mirror = (
        torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
        if flip
        else torch.ones(count)
    )
    cos, sin = scale * angle.cos(), scale * angle.sin()
    at = 2 * shift * (2 * torch.rand(2, count, generator=generator) - 1)
    theta = torch.stack(
        [torch.stack([cos * mirror, -sin, at[0]], 1), torch.stack([sin * mirror, cos, at[1]], 1)], 1
    ).to(pictures_BCHW.device)
    grid = F.affine_grid(theta, list(pictures_BCHW.shape), align_corners=False)
    moved = F.grid_sample(pictures_BCHW, grid, padding_mode="border", align_corners=False)
    if nearest is None:
        return moved, None
    labels = F.grid_sample(
        nearest[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return moved, labels[:, 0].to(nearest.dtype)


def blur(pictures_B3HW: Tensor, generator: torch.Generator, largest: float) -> Tensor:
    """Gaussian blur with a standard deviation of 0 .. ``largest`` pixels, another for each
    picture."""
    count, radius = len(pictures_B3HW), max(1, math.ceil(2 * largest))
    sigma = uniform(count, 0.05, max(largest, 0.05), generator).to(pictures_B3HW.device)
    offsets = torch.arange(-radius, radius + 1, device=pictures_B3HW.device)
    kernel = torch.softmax(-(offsets**2) / (2 * sigma[:, None] ** 2), dim=1).repeat_interleave(3, 0)
    x = F.pad(
        pictures_B3HW.reshape(1, 3 * count, *pictures_B3HW.shape[2:]),
        (radius,) * 4,
        mode="replicate",
    )
    x = F.conv2d(x, kernel[:, None, :, None], groups=3 * count)
    return F.conv2d(x, kernel[:, None, None, :], groups=3 * count).reshape(pictures_B3HW.shape)


def damage(
    pictures_B3HW: Tensor,
    generator: torch.Generator,
    *,
    noise: float,
    blocks: float,
    share: float = 0.5,
) -> Tensor:
    """What generated and compressed frames suffer from, in a ``share`` of the pictures: grain, and
    errors of whole 8 x 8 or 4 x 4 blocks.

    Args:
        noise, blocks: largest standard deviation of each, in 0..255.
    """
    hit = torch.nonzero(torch.rand(len(pictures_B3HW), generator=generator) < share)[:, 0]
    count, (height, width) = len(hit), pictures_B3HW.shape[2:]
    error = torch.randn(count, 3, height, width, generator=generator) * uniform(
        count, 0, noise, generator
    ).view(-1, 1, 1, 1)
    for size in (8, 4):
        coarse = torch.randn(count, 3, height // size, width // size, generator=generator)
        error += F.interpolate(
            coarse * uniform(count, 0, blocks, generator).view(-1, 1, 1, 1),
            scale_factor=float(size),
        )
    hit, error = hit.to(pictures_B3HW.device), error.to(pictures_B3HW.device)
    return pictures_B3HW.index_copy(0, hit, (pictures_B3HW[hit] + error).clamp(0, 255))


def relight(
    pictures_B3HW: Tensor, generator: torch.Generator, *, brightness: float, tint: float = 0.0
) -> Tensor:
    """Multiply each picture by 1 +- ``brightness`` and each of its channels by 1 +- ``tint``."""
    count = len(pictures_B3HW)
    gain = 1 + uniform(count, -brightness, brightness, generator).view(-1, 1, 1, 1)
    gain = gain * (1 + tint * (2 * torch.rand(count, 3, 1, 1, generator=generator) - 1))
    return (pictures_B3HW * gain.to(pictures_B3HW.device)).clamp(0, 255)
