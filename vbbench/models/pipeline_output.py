"""Whatever a pipeline gives back, made into frames: uint8 (T, H, W, 3), RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from vbbench.errors import InputError

FIELDS = ("frames", "images", "videos")
_SLACK = 0.01  # by which floats may leave 0..1: rounding, not another range


def frames_of(output: Any) -> np.ndarray:
    """The one video in a pipeline's output.

    Args:
        output: an object with ``frames``, ``images`` or ``videos``, or a tuple that begins with them: lists of PIL pictures, numpy
            arrays (channels last) or torch tensors (channels first), with or without a leading axis of one video; floats within
            0..1 or uint8.
    Returns:
        uint8 (T, H, W, 3).
    Raises:
        InputError: none of these, several videos, numbers that are not finite or of another range (latents).
    """
    found = next((getattr(output, name) for name in FIELDS if hasattr(output, name)), None)
    if found is None and isinstance(output, tuple | list) and output:
        found = output[0]
    if found is None:
        raise InputError(f"the pipeline gave a {type(output).__name__}, in which there are no {', '.join(FIELDS[:-1])} or {FIELDS[-1]}.")
    if isinstance(found, list | tuple):
        return _of_list(list(found))
    return _of_array(found)


def _of_list(found: list[Any]) -> np.ndarray:
    if not found:
        raise InputError("the pipeline gave no frame.")
    if isinstance(found[0], list | tuple) or getattr(found[0], "ndim", 0) >= 4:
        if len(found) > 1:
            raise InputError(f"the pipeline gave {len(found)} videos for one item.")
        return _of_list(list(found[0])) if isinstance(found[0], list | tuple) else _of_array(found[0])
    frames = [_frame(frame) for frame in found]
    if len({frame.shape for frame in frames}) > 1:
        raise InputError("the pipeline gave frames that are not all of one size.")
    return np.stack(frames)


def _frame(frame: Any) -> np.ndarray:
    if isinstance(frame, Image.Image):
        return np.asarray(frame.convert("RGB"), dtype=np.uint8)
    return _of_array(frame[None] if getattr(frame, "ndim", 0) == 3 else frame)[0]


def _of_array(found: Any) -> np.ndarray:
    if not isinstance(found, np.ndarray | torch.Tensor) or found.ndim not in (4, 5):
        kind = f"an array of {found.ndim} axes" if isinstance(found, np.ndarray | torch.Tensor) else f"a {type(found).__name__}"
        raise InputError(f"the pipeline gave {kind} where frames are wanted.")
    if found.ndim == 5:
        if len(found) != 1:
            raise InputError(f"the pipeline gave {len(found)} videos for one item.")
        found = found[0]
    first = isinstance(found, torch.Tensor)
    pixels = found.detach().float().cpu().numpy() if first and found.is_floating_point() else np.asarray(found)
    # tensors have their channels before the picture, arrays behind it; the other order only where that one cannot be
    axes = (1, 3, 0) if first else (3, 1, 0)
    axis = next((axis for axis in axes if pixels.shape[axis] == 3), None)
    if axis is None:
        raise InputError(f"the pipeline gave an array of shape {tuple(pixels.shape)}, in which no axis holds three colours.")
    return to_uint8(np.moveaxis(pixels, axis, -1))


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Floats within 0..1, or uint8 as they are, to uint8.

    Raises:
        InputError: not finite, another range or another type.
    """
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise InputError(f"the pipeline gave pixels of {pixels.dtype}; floats or uint8 are read.")
    if not np.isfinite(pixels).all():
        raise InputError("the pipeline gave numbers that are not finite.")
    if pixels.min() < -_SLACK or pixels.max() > 1 + _SLACK:
        raise InputError(f"the pipeline gave numbers from {pixels.min():.2f} to {pixels.max():.2f}, not pixels within 0..1 (latents?).")
    return np.ascontiguousarray(np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8))


def taken(frames_THWC: np.ndarray, num_frames: int, size: int, *, frames: str, resize: bool) -> np.ndarray:
    """A video that is longer or larger than asked for, as the recipe wants it; others are left as they are.

    Args:
        frames: ``all``, ``first`` (the first ``num_frames``) or ``evenly`` (spread over the whole, first and last included).
        resize: the middle square, resized to ``size`` by Pillow's Lanczos filter.
    """
    from vbbench.video import resize_frames

    count, height, width, _ = frames_THWC.shape
    if frames == "first":
        frames_THWC = frames_THWC[:num_frames]
    elif frames == "evenly" and count > num_frames:
        frames_THWC = frames_THWC[np.linspace(0, count - 1, num_frames).round().astype(int)]
    if not resize or (height, width) == (size, size):
        return frames_THWC
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize_frames(np.ascontiguousarray(frames_THWC[:, top : top + side, left : left + side]), size, resample="lanczos")
