"""Pictures from anywhere, made into image prompts: square, RGB, on white."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vbbench.errors import InputError

# Formats that hold pixels. EPS and the like are left out on purpose: reading them starts other
# programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MIN_SIDE = 8  # pixels of the shorter side; below, there is no subject to be seen
MAX_PIXELS = 64_000_000  # a decoded picture of this many takes 256 MB
WHITE = (255, 255, 255)


def load_image_prompt(path: Path | str, size: int) -> tuple[np.ndarray, list[str]]:
    """Read a picture as an image prompt: turned upright, on white, padded (not squeezed) to a
    square, resized.

    Args:
        path: PNG, JPEG, WebP, GIF, BMP, TIFF, PPM or AVIF; grey, palette, 16-bit, CMYK, transparent
            and animated ones too.
        size: side of the result in pixels.
    Returns:
        uint8 (size, size, 3), RGB, 0..255; and a sentence for everything that was done to the
        picture besides resizing.
    Raises:
        InputError: missing, not a picture, truncated, wholly transparent, under 8 pixels or over 64
            million.
    """
    square, notes = _load_square(Path(path))
    if square.width < size:
        notes.append(f"enlarged from {square.width} to {size} pixels")
    if square.width != size:
        square = square.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(square, dtype=np.uint8).copy(), notes


def load_picture(path: Path | str) -> np.ndarray:
    """Read a picture as it is: turned upright, on white, at its own size and proportions.

    Returns:
        uint8 (H, W, 3), RGB, 0..255.
    Raises:
        InputError: as `load_image_prompt`.
    """
    path = Path(path)
    return np.asarray(_to_rgb_on_white(_open_upright(path)[0], path, []), dtype=np.uint8).copy()


def load_reference(path: Path | str, mask: Path | str | None = None) -> np.ndarray:
    """Read a picture of a subject at its own size, as metrics hold videos against it: upright, on
    white, padded to a square.

    Args:
        path: as in `load_image_prompt`.
        mask: a picture of the same size, light where the subject is; everything else is made white.
    Returns:
        uint8 (S, S, 3), RGB, 0..255; S is the longer side.
    Raises:
        InputError: as `load_image_prompt`; or the mask is of another size, or shows no subject.
    """
    square, _ = _load_square(Path(path))
    pixels = np.asarray(square, dtype=np.uint8)
    if mask is None:
        return pixels.copy()
    subject_HW = np.asarray(_load_square_mask(Path(mask), Path(path), square.width))
    return np.where(subject_HW[..., None], pixels, np.uint8(255))


def load_mask(mask: Path | str, path: Path | str, size: int) -> np.ndarray:
    """Read a picture's mask at the size at which `load_image_prompt` gives the picture.

    Args:
        mask: a picture of the same size, light where the subject is.
        path: the picture.
        size: side of the result in pixels.
    Returns:
        bool (size, size), True where the subject covers at least half a pixel; all of it may be too
        thin for that.
    Raises:
        InputError: as `load_reference`.
    """
    square = _load_square_mask(Path(mask), Path(path), _load_square(Path(path))[0].width)
    return np.asarray(square.convert("L").resize((size, size), Image.Resampling.BOX)) > 127


def _load_square_mask(mask: Path, path: Path, side: int) -> Image.Image:
    """The mask of a picture of that side, in black and white."""
    shown = _pad_to_square(
        _to_rgb_on_white(_open_upright(mask)[0], mask, []).convert("L"), colour=0
    )
    if shown.width != side:
        raise InputError(
            f"the mask {mask} is {shown.width} pixels wide or high, its picture {path} {side}: they must be of one size."
        )
    subject_HW = np.asarray(shown) > 127
    if not subject_HW.any():
        raise InputError(f"the mask {mask} shows no subject: it is dark all over.")
    return Image.fromarray(subject_HW)


def _load_square(path: Path) -> tuple[Image.Image, list[str]]:
    """The picture upright, on white, padded to a square, and what was done to it."""
    upright, notes = _open_upright(path)
    rgb = _to_rgb_on_white(upright, path, notes)
    if rgb.width != rgb.height:
        notes.append(f"padded with white from {rgb.width} x {rgb.height} to a square")
    return _pad_to_square(rgb), notes


def _open_upright(path: Path) -> tuple[Image.Image, list[str]]:
    """Decode the first frame and turn it as its EXIF data say; every way in which that fails
    becomes a sentence."""
    if not path.is_file():
        raise InputError(
            f"{path} is a folder, not a picture."
            if path.is_dir()
            else f"there is no picture {path}."
        )
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice its limit; ours is lower and is checked below, before
            # any pixel is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as picture:
                _check_size(picture.width, picture.height, path)
                return ImageOps.exif_transpose(picture), _notes(picture)
    except Image.DecompressionBombError:
        raise InputError(
            f"{path} is too large: at most {MAX_PIXELS // 10**6} million pixels are read."
        ) from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is not a picture that can be read (known formats: {', '.join(formats)})."
        ) from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
    ) as error:  # Pillow's readers raise all of these on damaged files
        raise InputError(f"{path} is damaged and cannot be read: {error}.") from None


def _notes(picture: Image.Image) -> list[str]:
    """What opening it did."""
    notes = []
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # MPO: a photograph with a preview behind it
        notes.append(f"the first of its {frames} frames is used")
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        notes.append("turned upright as its EXIF data say")
    return notes


def _check_size(width: int, height: int, path: Path) -> None:
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{path} is {width} x {height} pixels; a picture of at least {MIN_SIDE} x {MIN_SIDE} is needed."
        )
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} is too large: {width} x {height} pixels, at most {MAX_PIXELS // 10**6} million are read."
        )


def _to_rgb_on_white(picture: Image.Image, path: Path, notes: list[str]) -> Image.Image:
    """Any mode to RGB; what is transparent becomes white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _to_8_bit(picture, path)
        notes.append("brought from 16 to 8 bits")
    if picture.mode in ("1", "L", "LA", "La"):
        notes.append("it is grey: the model was made for colour pictures")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        opacity = picture.getchannel("A")
        lowest, highest = cast(tuple[float, float], opacity.getextrema())  # of one channel
        if highest == 0:
            raise InputError(f"{path} is wholly transparent: it shows nothing.")
        if lowest < 255:
            notes.append("what is transparent was made white")
        on_white = Image.new("RGB", picture.size, WHITE)
        on_white.paste(picture, mask=opacity)
        return on_white
    if picture.mode not in ("RGB", "L", "1", "P"):
        notes.append(f"brought from {picture.mode} to RGB")
    return picture.convert("RGB")


def _to_8_bit(picture: Image.Image, path: Path) -> Image.Image:
    """16-bit grey to 8 bits. Pillow's own conversion clips at 255 and leaves a white picture."""
    values = np.asarray(picture).astype(np.float64)
    if (
        picture.mode == "F"
        or not np.isfinite(values).all()
        or values.min() < 0
        or values.max() > 65535
    ):
        raise InputError(
            f"{path} holds numbers outside of 16 bits, not colours: save it as an 8-bit PNG."
        )
    return Image.fromarray(np.round(values / 257).astype(np.uint8))


def _pad_to_square(picture: Image.Image, colour: tuple[int, int, int] | int = WHITE) -> Image.Image:
    side = max(picture.size)
    if picture.size == (side, side):
        return picture
    square = Image.new(picture.mode, (side, side), colour)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
