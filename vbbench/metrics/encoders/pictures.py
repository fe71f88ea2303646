"""What happens to a frame before an encoder sees it: resize, centre crop, mean and std.

Sizes and offsets are rounded as torchvision's Resize and CenterCrop round them, because open_clip
and timm are built on those: the pixels are theirs, bit for bit. Shape suffixes: B batch, T frames,
H/W pixels, C channels.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vbbench.errors import InputError
from vbbench.media.video import resize_frames
from vbbench.metrics.encoders.configs import EncoderConfig


def preprocess(frames_THWC: np.ndarray, config: EncoderConfig) -> Tensor:
    """Frames as the encoder wants them: `resize_and_crop`, normalised; float32 (T, 3, crop,
    crop)."""
    return normalise(torch.from_numpy(resize_and_crop(frames_THWC, config)), config)


def resize_and_crop(frames_THWC: np.ndarray, config: EncoderConfig) -> np.ndarray:
    """Frames resized by the short side and cropped in the middle.

    Args:
        frames_THWC: RGB of any size; uint8 0..255, or floating 0..1.
        config: says to which size, and by which filter.
    Returns:
        (T, crop, crop, 3); uint8 from uint8, float32 0..1 from floats (bicubic overshoot is
        clipped, as it is in bytes).
    Raises:
        InputError: floats that are not within 0..1, or numbers of another kind.
    """
    if frames_THWC.dtype != np.uint8:
        frames_THWC = _unit_floats(frames_THWC)
    height, width = frames_THWC.shape[1:3]
    size = resized_size(height, width, config.resize)
    window = crop_window(size, config.crop)
    if (height, width) == size:
        cropped = frames_THWC[:, *window]
    else:  # frame by frame, so that no more than one frame lies about between resize and crop
        resize = resize_frames if frames_THWC.dtype == np.uint8 else _resize_floats
        cropped = np.concatenate(
            [
                resize(frame[None], size, resample=config.resample)[:, *window]
                for frame in frames_THWC
            ]
        )
    # a copy where the frames are read-only (memory maps, broadcasts), which torch will not take
    return np.require(cropped, requirements=("C", "W"))


def normalise(pixels_BHWC: Tensor, config: EncoderConfig) -> Tensor:
    """uint8 0..255 or float 0..1 (B, H, W, 3) to float32 (B, 3, H, W) with the encoder's mean and
    std taken out."""
    mean, std = (torch.tensor(v, device=pixels_BHWC.device) for v in (config.mean, config.std))
    unit = pixels_BHWC if pixels_BHWC.is_floating_point() else pixels_BHWC.float() / 255
    return ((unit - mean) / std).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def resized_size(height: int, width: int, short: int) -> tuple[int, int]:
    """(height, width) with the short side as asked for and the long side in proportion, its
    fraction cut off."""
    long = int(short * max(height, width) / min(height, width))
    return (short, long) if height <= width else (long, short)


def crop_window(size: tuple[int, int], side: int) -> tuple[slice, slice]:
    """Rows and columns of a centre crop; half pixels round to even."""
    top, left = (round((length - side) / 2) for length in size)
    return slice(top, top + side), slice(left, left + side)


def _unit_floats(frames: np.ndarray) -> np.ndarray:
    if not np.issubdtype(frames.dtype, np.floating):
        raise InputError(f"frames are uint8, or floats within 0..1; these are {frames.dtype}.")
    frames = np.asarray(frames, dtype=np.float32)
    if not ((frames >= 0) & (frames <= 1)).all():  # NaN fails too
        raise InputError(
            f"frames of floats lie within 0..1; these reach from {frames.min():g} to {frames.max():g}."
        )
    return frames


def _resize_floats(frames_THWC: np.ndarray, size: tuple[int, int], *, resample: str) -> np.ndarray:
    """`resize_frames` for floats: Pillow has no RGB of floats, so each channel is a picture of its
    own."""
    method = Image.Resampling[resample.upper()]
    planes = [
        [Image.fromarray(plane).resize(size[::-1], method) for plane in np.moveaxis(f, -1, 0)]
        for f in frames_THWC
    ]
    return np.clip(
        np.stack([np.stack([np.asarray(p) for p in frame], axis=-1) for frame in planes]), 0, 1
    )
