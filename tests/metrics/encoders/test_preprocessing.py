"""Frames are prepared as Pillow, open_clip and timm prepare them: the same pixels, whatever the
size.

Bytes must be equal, all of them. Floats are held against torchvision's own resize of float tensors
(which is what open_clip's and timm's transforms do to a tensor): the same filter computed in
another order, so to 3e-5 of the range.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import open_clip
import pytest
import timm.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vbbench.errors import InputError
from vbbench.metrics.encoders.configs import ENCODERS, EncoderConfig
from vbbench.metrics.encoders.pictures import (
    crop_window,
    normalise,
    preprocess,
    resize_and_crop,
    resized_size,
)

CLIP, DINO = ENCODERS["sd14"]["clip"][0], ENCODERS["sd14"]["dino"][0]
SMALL = EncoderConfig("clip", "x", "x", 24, 21, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
SIZES = {
    "square": (224, 224),
    "crop only": (256, 256),
    "one more": (225, 224),
    "landscape": (360, 640),
    "portrait": (641, 481),
    "odd": (97, 131),
    "odd, enlarged": (131, 97),
    "long side to be cut off, not rounded": (191, 338),
    "half a pixel": (227, 313),
    "tiny": (3, 5),
    "one pixel": (1, 1),
    "a strip": (9, 301),
    "large": (1079, 1921),
}


def picture(size: tuple[int, int]) -> np.ndarray:
    """Noise over soft colours: shows both a shifted window and a wrong filter. uint8 (H, W, 3)."""
    rng = np.random.default_rng(sum(size))
    soft = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(
        size[::-1], Image.Resampling.BILINEAR
    )
    return np.clip(np.asarray(soft) + rng.integers(-40, 41, (*size, 3)), 0, 255).astype(np.uint8)


def open_clips(config: EncoderConfig) -> list:
    """open_clip's transform for inference: resize, crop, to RGB, to tensor, normalise."""
    return open_clip.image_transform(
        config.crop, is_train=False, mean=config.mean, std=config.std
    ).transforms


def timms(config: EncoderConfig, **options) -> object:
    """timm's transform for inference with this data configuration."""
    return timm.data.create_transform(
        input_size=(3, config.crop, config.crop),
        is_training=False,
        interpolation="bicubic",
        crop_pct=config.crop / config.resize,
        mean=config.mean,
        std=config.std,
        **options,
    )


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
class TestBytes:
    """uint8, pixel for pixel."""

    @pytest.mark.parametrize("config", [CLIP, DINO, SMALL], ids=["clip", "dino", "small"])
    def test_pixels_are_pillows(self, size: tuple[int, int], config: EncoderConfig) -> None:
        frame, (height, width) = picture(size), size
        wide, high = (config.resize * width // min(size), config.resize * height // min(size))
        resized = (
            Image.fromarray(frame).resize((wide, high), Image.Resampling.BICUBIC)
            if min(size) != config.resize
            else frame
        )
        top, left = (round((side - config.crop) / 2) for side in (high, wide))
        expected = np.asarray(resized)[top : top + config.crop, left : left + config.crop]
        np.testing.assert_array_equal(resize_and_crop(frame[None], config)[0], expected)

    def test_pixels_are_open_clips(self, size: tuple[int, int]) -> None:
        frame = picture(size)
        resize, crop, *_ = open_clips(CLIP)
        np.testing.assert_array_equal(
            resize_and_crop(frame[None], CLIP)[0], np.asarray(crop(resize(Image.fromarray(frame))))
        )
        whole = open_clip.image_transform(224, is_train=False)(Image.fromarray(frame))
        assert torch.equal(preprocess(frame[None], CLIP)[0], whole)

    def test_pixels_are_timms(self, size: tuple[int, int]) -> None:
        frame = picture(size)
        expected = timms(DINO, normalize=False)(Image.fromarray(frame))
        np.testing.assert_array_equal(
            resize_and_crop(frame[None], DINO)[0], expected.permute(1, 2, 0).numpy()
        )
        assert torch.equal(preprocess(frame[None], DINO)[0], timms(DINO)(Image.fromarray(frame)))

    def test_floats_are_torchvisions(self, size: tuple[int, int]) -> None:
        frame = picture(size).astype(np.float32) / 255
        tensor = torch.from_numpy(frame).permute(2, 0, 1)
        for config, transform in ((CLIP, open_clips(CLIP)), (DINO, timms(DINO).transforms)):
            resize, crop, *_ = transform
            expected = crop(resize(tensor)).clamp(0, 1).permute(1, 2, 0).numpy()
            got = resize_and_crop(frame[None], config)[0]
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, expected, atol=3e-5)

    def test_floats_are_bytes_but_for_rounding(self, size: tuple[int, int]) -> None:
        """Pillow rounds bytes after each of its two passes (and clips them, so the picture keeps
        away from black and white)."""
        frame = picture(size) // 2 + 64
        floats = resize_and_crop(frame[None].astype(np.float64) / 255, CLIP)
        assert np.abs(floats - resize_and_crop(frame[None], CLIP) / 255.0).max() <= 1.5 / 255


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 260), st.integers(1, 260), st.integers(1, 40), st.integers(1, 40))
def test_windows_are_torchvisions(height: int, width: int, resize: int, crop: int) -> None:
    from torchvision.transforms import CenterCrop, Resize

    resize, crop = max(resize, crop), min(resize, crop)
    rows, columns = np.mgrid[:height, :width]
    marked = torch.from_numpy(np.stack([rows, columns])).float()
    size = resized_size(height, width, resize)
    assert tuple(Resize(resize)(marked).shape[1:]) == size
    grid = torch.from_numpy(np.stack(np.mgrid[: size[0], : size[1]]))
    assert torch.equal(CenterCrop(crop)(grid), grid[:, *crop_window(size, crop)])


def test_many_frames_are_prepared_one_as_the_other() -> None:
    frames = np.stack([picture((97, 131)), picture((97, 131))[::-1]])
    both = resize_and_crop(frames, CLIP)
    assert both.shape == (2, 224, 224, 3)
    np.testing.assert_array_equal(both[1], resize_and_crop(frames[1:], CLIP)[0])


def test_the_filter_is_the_configurations() -> None:
    frame = picture((97, 131))
    other = dataclasses.replace(CLIP, resample="bilinear")
    expected = Image.fromarray(frame).resize((302, 224), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(
        resize_and_crop(frame[None], other)[0], np.asarray(expected)[:, 39:263]
    )
    assert (resize_and_crop(frame[None], CLIP) != resize_and_crop(frame[None], other)).any()
    assert CLIP.interpolation == "bicubic, antialiased (Pillow)"
    assert other.interpolation == "bilinear, antialiased (Pillow)"
    assert (
        dataclasses.replace(CLIP, resample="nearest").interpolation
        == "nearest, not antialiased (Pillow)"
    )
    assert "bilinear" in other.preprocessing


@pytest.mark.parametrize(
    "config", [CLIP, ENCODERS["mini"]["clip"][0]], ids=["resized", "as they are"]
)
@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (np.full((1, 64, 64, 3), 1.5), "reach from 1.5 to 1.5"),
        (np.full((1, 64, 64, 3), -0.1, np.float32), "within 0..1"),
        (np.full((1, 64, 64, 3), np.nan), "within 0..1"),
        (np.full((1, 64, 64, 3), 7), "int64"),
    ],
    ids=["above", "below", "nan", "integers"],
)
def test_frames_of_another_range_are_refused(
    frames: np.ndarray, told: str, config: EncoderConfig
) -> None:
    with pytest.raises(InputError, match=told):
        resize_and_crop(frames, config)


def test_frames_of_the_right_size_are_not_touched() -> None:
    frames = picture((64, 64))[None]
    assert (resize_and_crop(frames, ENCODERS["mini"]["clip"][0]) == frames).all()


def test_read_only_frames_are_taken_and_left_alone() -> None:
    config = ENCODERS["mini"]["clip"][0]
    frames = np.broadcast_to(picture((64, 64)), (5, 64, 64, 3))
    torch.testing.assert_close(
        preprocess(frames, config)[3], preprocess(frames[:1].copy(), config)[0]
    )
    assert not frames.flags.writeable


def test_bytes_and_floats_are_normalised_alike() -> None:
    pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 4, 4, 3) * 5
    assert torch.equal(normalise(pixels, CLIP), normalise(pixels.float() / 255, CLIP))
