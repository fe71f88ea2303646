"""Pictures of every kind, made into image prompts."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vbbench.errors import InputError
from vbbench.media.pictures import load_image_prompt, load_mask, load_reference

RED, BLUE = (200, 30, 30), (30, 30, 200)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def flat(height: int, width: int, colour: tuple[int, ...] = RED) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, len(colour))).copy()


def test_square_of_the_right_size_is_left_alone(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", pixels), 64)
    np.testing.assert_array_equal(loaded, pixels)
    assert notes == []
    assert loaded.flags.writeable


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32)])
def test_oblong_is_padded_with_white_not_squeezed(tmp_path: Path, height: int, width: int) -> None:
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", flat(height, width)), 64)
    lengthwise = loaded if height < width else loaded.transpose(1, 0, 2)
    assert (lengthwise[:16] == 255).all()
    assert (lengthwise[-16:] == 255).all()
    assert (lengthwise[16:48] == RED).all()
    assert notes == [f"padded with white from {width} x {height} to a square"]


def test_transparent_becomes_white(tmp_path: Path) -> None:
    pixels = flat(16, 16, (*RED, 255))
    pixels[:8] = (0, 0, 0, 0)
    pixels[8, :] = (*RED, 128)
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", pixels), 16)
    assert (loaded[:8] == 255).all()
    assert (loaded[9:] == RED).all()
    assert np.abs(loaded[8].astype(int) - [227, 142, 142]).max() <= 2
    assert notes == ["what is transparent was made white"]


def test_opaque_alpha_is_no_news(tmp_path: Path) -> None:
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", flat(16, 16, (*RED, 255))), 16)
    assert (loaded == RED).all()
    assert notes == []


def test_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    pixels = flat(16, 16)
    pixels[:8] = BLUE
    picture = Image.fromarray(pixels).quantize(2)
    picture.save(tmp_path / "a.png", transparency=picture.getpixel((0, 0)))
    loaded, _ = load_image_prompt(tmp_path / "a.png", 16)
    assert (loaded[:8] == 255).all()
    assert np.abs(loaded[8:].astype(int) - RED).max() <= 4


def test_wholly_transparent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wholly transparent"):
        load_image_prompt(save(tmp_path / "a.png", flat(16, 16, (*RED, 0))), 16)


def test_grey_and_black_and_white(tmp_path: Path) -> None:
    grey = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", grey), 16)
    np.testing.assert_array_equal(loaded, np.repeat(grey[..., None], 3, axis=2))
    assert notes == ["it is grey: the model was made for colour pictures"]
    loaded, _ = load_image_prompt(save(tmp_path / "b.png", grey, "1"), 16)
    assert set(np.unique(loaded)) == {0, 255}


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    deep = (np.arange(16, dtype=np.uint16)[None].repeat(16, 0) * 4369).copy()
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", deep), 16)
    np.testing.assert_array_equal(loaded[0, :, 0], np.arange(16) * 17)
    assert "brought from 16 to 8 bits" in notes


def test_cmyk_keeps_its_colour(tmp_path: Path) -> None:
    loaded, notes = load_image_prompt(
        save(tmp_path / "a.jpg", flat(16, 16), "CMYK", quality=95), 16
    )
    assert np.abs(loaded.astype(int) - RED).max() <= 12
    assert notes == ["brought from CMYK to RGB"]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animated_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(flat(16, 16, colour)) for colour in (RED, BLUE, RED)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    loaded, notes = load_image_prompt(tmp_path / f"a.{suffix}", 16)
    assert np.abs(loaded.astype(int) - RED).max() <= 3
    assert notes[0] == "the first of its 3 frames is used"


def test_exif_turn_is_obeyed(tmp_path: Path) -> None:
    pixels = flat(32, 32)
    pixels[:16] = BLUE  # blue above, as stored
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: what is above goes to the right
    picture.save(tmp_path / "a.png", exif=exif)
    loaded, notes = load_image_prompt(tmp_path / "a.png", 32)
    assert (loaded[:, 16:] == BLUE).all()
    assert (loaded[:, :16] == RED).all()
    assert notes == ["turned upright as its EXIF data say"]


def test_small_is_enlarged_and_too_small_refused(tmp_path: Path) -> None:
    loaded, notes = load_image_prompt(save(tmp_path / "a.png", flat(8, 8)), 64)
    assert (loaded == RED).all()
    assert notes == ["enlarged from 8 to 64 pixels"]
    for height, width in ((1, 1), (1, 500), (7, 7)):
        with pytest.raises(
            InputError, match=f"is {width} x {height} pixels; a picture of at least 8 x 8 is needed"
        ):
            load_image_prompt(save(tmp_path / "b.png", flat(height, width)), 64)


@pytest.mark.parametrize("side", [8_001, 15_000])
def test_huge_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"a\.png is too large: .*64 million"):
            load_image_prompt(tmp_path / "a.png", 64)


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no picture"):
        load_image_prompt(tmp_path / "none.png", 64)
    with pytest.raises(InputError, match="is a folder, not a picture"):
        load_image_prompt(tmp_path, 64)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(InputError, match="is not a picture that can be read"):
        load_image_prompt(tmp_path / "text.png", 64)
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match=r"empty\.png"):
        load_image_prompt(tmp_path / "empty.png", 64)
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = save(tmp_path / "whole.png", noisy).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.png is damaged"):
        load_image_prompt(tmp_path / "cut.png", 64)


def test_postscript_is_never_opened(tmp_path: Path) -> None:
    Image.fromarray(flat(16, 16)).save(tmp_path / "a.eps")
    with pytest.raises(InputError, match="is not a picture that can be read"):
        load_image_prompt(tmp_path / "a.eps", 64)


def test_numbers_that_are_no_colours_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="numbers outside of 16 bits"):
        load_image_prompt(tmp_path / "a.tiff", 64)


def test_a_mask_is_padded_and_resized_as_its_picture(tmp_path: Path) -> None:
    """A black subject on white: the mask at any size is where the picture at that size is dark."""
    picture, mask = np.full((48, 96, 3), 255, np.uint8), np.zeros((48, 96), np.uint8)
    picture[8:32, 24:72], mask[8:32, 24:72] = 0, 255
    files = save(tmp_path / "mask.png", mask), save(tmp_path / "picture.png", picture)
    for size in (96, 48, 24):
        prompt, _ = load_image_prompt(files[1], size)
        known = load_mask(*files, size)
        assert known.shape == (size, size)
        assert known.dtype == bool
        assert (known == (prompt[..., 0] < 128)).all()


def test_what_a_mask_leaves_out_becomes_white(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8] = 200
    reference = load_reference(
        save(tmp_path / "picture.png", flat(16, 16)), save(tmp_path / "mask.png", mask)
    )
    assert (reference[4:8] == RED).all()
    assert (np.delete(reference, slice(4, 8), axis=0) == 255).all()


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    picture = save(tmp_path / "picture.png", flat(16, 16))
    small, dark = (
        save(tmp_path / "small.png", np.full((8, 8), 255, np.uint8)),
        save(tmp_path / "dark.png", np.zeros((16, 16), np.uint8)),
    )
    for mask, told in (
        (small, "must be of one size"),
        (dark, "it is dark all over"),
        (tmp_path / "none.png", "no picture"),
    ):
        with pytest.raises(InputError, match=told):
            load_reference(picture, mask)
        with pytest.raises(InputError, match=told):
            load_mask(mask, picture, 16)
