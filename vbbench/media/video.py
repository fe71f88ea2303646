"""The only door to decoding, encoding and resizing. Frames are uint8 RGB, 0..255, (T, H, W, 3),
everywhere.

Results are stored without loss (FFV1): H.264's 4:2:0 destroys colours at the sizes of the miniature
world, and scores with them. Pages play an enlarged H.264 copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from vbbench.core.digests import file_digest, sha256_of
from vbbench.core.files import atomic_file
from vbbench.errors import InputError
from vbbench.media.decoding import decode_file, decode_start
from vbbench.media.partial_decoding import count_frames_of, decode_some, read_pictures
from vbbench.media.picture_folder import decode_folder, pictures_in, probe_folder
from vbbench.media.pictures import load_image_prompt
from vbbench.media.video_file import SUFFIXES, VideoFacts, check_file, probe_file
from vbbench.types import Video

__all__ = [
    "SUFFIXES",
    "VideoFacts",
    "content_digest",
    "count_frames",
    "load_image_prompt",
    "probe",
    "read_frames",
    "read_start",
    "read_video",
    "resize_frames",
    "video_digest",
    "write_page_video",
    "write_video_lossless",
]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# suffix -> (codec, pixel format, codec options); 4:2:0 costs nothing where every pixel was doubled
# before
_PAGE_CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": (
        "libx264",
        "yuv420p",
        {"crf": "14", "preset": "slow", "x264-params": "log-level=none"},
    ),
    ".webm": ("libvpx-vp9", "yuv420p", {"crf": "18", "b": "0"}),
}


def read_video(path: Path | str, *, fps: float | None = None) -> Video:
    """Decode every frame of a video file, or of a folder of pictures; `vbbench.media.decoding` says
    how.

    Args:
        path: mp4, mov, mkv, webm, avi or gif, whatever its name; or a folder of pictures, one a
            frame, in the order of their numbers.
        fps: frames a second of a folder of pictures, which does not know its own; 1 where none is
            given. A file's own rate is kept.
    Returns:
        The frames, (T, H, W, 3), and the frame rate, not rounded.
    Raises:
        InputError: missing, not a video, damaged, cut off, without a frame, of changing size, or
            too large.
    """
    path = Path(path)
    if _is_folder(path):
        return Video(decode_folder(path), float(fps or 1))
    return Video(*decode_file(path))


def read_start(path: Path | str, count: int = 1) -> np.ndarray:
    """The first frames of a video file, uint8 (T, H, W, 3), T at most ``count``; the rest of it is
    not read.

    Raises:
        InputError: as `read_video`, as far as it is read; or a folder.
    """
    path = Path(path)
    if _is_folder(path):
        raise InputError(f"{path} is a folder, not a video file.")
    return decode_start(path, count)


def read_frames(path: Path | str, indices: Sequence[int]) -> np.ndarray:
    """Some frames of a video: ``read_video(path).frames[indices]``, uint8 (T, H, W, 3);
    `vbbench.media.partial_decoding` says how.

    Args:
        indices: from 0, at least one; in any order, and a frame as often as it is wanted.
    Raises:
        InputError: as `read_video`, as far as it is read; or it has not so many frames.
        ValueError: no index, or a negative one.
    """
    path, wanted = Path(path), [int(index) for index in indices]
    if not wanted or min(wanted) < 0:
        raise ValueError("frames are counted from 0, and at least one must be asked for")
    return read_pictures(path, wanted) if _is_folder(path) else decode_some(path, wanted)[0]


def count_frames(path: Path | str) -> int:
    """How many frames `read_video` would give; pictures are decoded only where the packets of a
    file do not show it.

    Raises:
        InputError: as `read_video`, as far as it is read.
    """
    path = Path(path)
    return len(pictures_in(path)) if _is_folder(path) else count_frames_of(path)


def probe(path: Path | str) -> VideoFacts:
    """What the header of a video file says, or a folder of pictures without decoding more than one
    of them.

    Raises:
        InputError: as `read_video`, as far as a header shows it.
    """
    path = Path(path)
    return probe_folder(path) if _is_folder(path) else probe_file(path)


def content_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes; of a folder of pictures, over their names and the bytes of each,
    in the order of the frames.

    Raises:
        InputError: it cannot be read, or the folder is none of pictures.
    """
    path = Path(path)
    try:
        if not _is_folder(path):
            check_file(path)
            return file_digest(path)
        pictures = pictures_in(path)
        lines = [f"{picture.name!r} {file_digest(picture)}\n" for picture in pictures]
        return sha256_of("".join(lines))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def write_video_lossless(path: Path | str, video: Video) -> None:
    """Write a ``.mkv`` (FFV1, RGB) that `read_video` gives back bit for bit. Equal videos give
    equal files."""
    _encode(
        Path(path),
        check_frames(video.frames),
        video.fps,
        "ffv1",
        "bgr0",
        {"level": "3", "slicecrc": "1"},
    )


def write_page_video(
    path: Path | str, video: Video, scale: int = 4, *, resample: str = "lanczos"
) -> None:
    """Write an enlarged copy for pages and people; lossy, never scored.

    Args:
        path: ``.mp4`` (H.264) or ``.webm`` (VP9); both play in Chromium.
        scale: whole factor by which each side grows.
        resample: ``nearest`` (hard pixels), ``bilinear``, ``bicubic`` or ``lanczos``.
    """
    path = Path(path)
    if path.suffix.lower() not in _PAGE_CODECS:
        raise ValueError(f"a page's video ends in {' or '.join(_PAGE_CODECS)}, not {path.name!r}")
    codec, pixel_format, options = _PAGE_CODECS[path.suffix.lower()]
    frames = check_frames(video.frames)
    height, width = frames.shape[1] * scale, frames.shape[2] * scale
    frames = resize_frames(frames, (height, width), resample=resample)
    odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))  # 4:2:0 halves both sides
    _encode(path, np.pad(frames, odd, mode="edge"), video.fps, codec, pixel_format, options)


def resize_frames(
    frames_THWC: np.ndarray, size: int | tuple[int, int], *, resample: str = "bicubic"
) -> np.ndarray:
    """Resize each frame by Pillow, whose filters widen when shrinking (antialiased).

    Args:
        frames_THWC: uint8 (T, H, W, 3).
        size: side of a square, or (height, width); the aspect ratio is not kept by itself.
        resample: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
    Returns:
        uint8 (T, height, width, 3).
    """
    frames = check_frames(frames_THWC)
    height, width = (size, size) if isinstance(size, int) else size
    if frames.shape[1:3] == (height, width):
        return frames.copy()
    method = _FILTERS[resample]
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((width, height), method)) for frame in frames]
    )


def video_digest(video: Video) -> str:
    """SHA-256 of the frames' shape and pixels; two files of the same pixels have the same digest,
    whatever the codec."""
    frames = check_frames(video.frames)
    digest = hashlib.sha256(repr(frames.shape).encode())
    digest.update(np.ascontiguousarray(frames).tobytes())
    return digest.hexdigest()


def _is_folder(path: Path) -> bool:
    """Whether it is a folder; a path that cannot even be looked at (too long, forbidden) is a
    sentence."""
    try:
        return path.is_dir()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def check_frames(frames: np.ndarray) -> np.ndarray:
    """The frames themselves, once they are known to be uint8 (T, H, W, 3) with T, H, W >= 1.

    Raises:
        ValueError: anything else.
    """
    good = (
        isinstance(frames, np.ndarray)
        and frames.dtype == np.uint8
        and frames.ndim == 4
        and frames.shape[3] == 3
    )
    if not good or 0 in frames.shape:
        kind = (
            f"{frames.dtype} {frames.shape}"
            if isinstance(frames, np.ndarray)
            else type(frames).__name__
        )
        raise ValueError(f"frames must be uint8 (T, H, W, 3) with at least one frame, not {kind}")
    return frames


def _encode(
    path: Path,
    frames: np.ndarray,
    fps: float,
    codec: str,
    pixel_format: str,
    options: dict[str, str],
) -> None:
    """Encode a file that is there whole or not at all."""
    # bitexact: no random ids and no library version in the file
    flags: dict[str, Any] = {"options": {"fflags": "+bitexact"}}
    with (
        atomic_file(path, suffix=path.suffix) as partial,
        av.open(str(partial), "w", **flags) as container,
    ):
        stream = container.add_stream(
            codec,
            rate=_fraction(fps),
            options={**options, "flags": "+bitexact", "threads": "1"},
        )
        _, stream.height, stream.width, _ = frames.shape
        stream.pix_fmt = pixel_format
        if pixel_format.startswith("yuv"):
            _tag_colours(stream.codec_context)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _fraction(fps: float) -> Fraction:
    """29.97 is 30000/1001 in files; containers take no other numbers than fractions."""
    return max(Fraction(fps).limit_denominator(1001), Fraction(1, 1001))


def _tag_colours(context: Any) -> None:
    """Say which matrix the conversion to YUV used (BT.601) and that the colours are sRGB; players
    guess otherwise."""
    context.colorspace, context.color_range = 6, 1  # SMPTE 170M, 16..235
    context.color_primaries, context.color_trc = 1, 13  # BT.709 primaries, sRGB curve
