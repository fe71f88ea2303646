"""A video file, opened with care, and what its header says.

Only the containers of `SUFFIXES` are opened, and no address but the file itself: FFmpeg would
follow playlists to other files and machines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av

from vbbench.errors import InputError
from vbbench.media.pictures import MAX_PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif")
LOSSLESS_CODECS = frozenset(
    {"apng", "ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo"}
)
_CONTAINERS = "mov,matroska,avi,gif"
_OPTIONS = {"max_pixels": str(MAX_PIXELS)}


@dataclass(frozen=True)
class VideoFacts:
    """What the header of a video says.

    Attributes:
        codec: FFmpeg's name of it (``png``, ``jpeg`` ... of a folder), followed by the pixel format
            where that alone loses detail.
        lossless: no detail is lost between RGB frames and the file: a codec of `LOSSLESS_CODECS`
            that holds 8-bit RGB. YUV, and the 256 colours of a GIF, lose some; whether H.264 or VP9
            were set to lose nothing does not stand in a header.
        fps: frames a second, None where it does not say (pictures never do).
        size: height and width in pixels, as stored (not turned upright yet).
        frames: how many; counted, or length times rate; None where neither stands there.
    """

    codec: str
    lossless: bool
    fps: float | None
    size: tuple[int, int]
    frames: int | None


def probe_file(path: Path) -> VideoFacts:
    """What the header of a video file says.

    Raises:
        InputError: as `vbbench.media.decoding.decode_file`, as far as a header shows it.
    """
    with opened(path) as (container, stream):
        rate = header_rate(stream)
        seconds = promised_seconds(container, stream)
        frames = stream.frames or (round(seconds * rate) if seconds and rate else None)
        codec, pixels = stream.codec_context.codec.canonical_name, stream.codec_context.pix_fmt
        exact = codec in LOSSLESS_CODECS and _holds_rgb(pixels)
        shown = codec if exact or codec not in LOSSLESS_CODECS else f"{codec} in {pixels}"
        return VideoFacts(
            shown, exact, float(rate) if rate else None, (stream.height, stream.width), frames
        )


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video file and its picture stream, ready to be decoded; whatever FFmpeg dislikes in the
    meantime becomes a sentence.

    Raises:
        InputError: as `check_file`; not a video, no pictures in it, or too large ones.
    """
    check_file(path)
    try:
        # an absolute path, or FFmpeg takes "concat:x.mp4" for an address
        with av.open(
            os.path.abspath(path),
            options=_OPTIONS,
            container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as container:
            stream = cast("VideoStream | None", container.streams.best("video"))
            if stream is None:
                raise InputError(f"{path} holds no picture stream.")
            if stream.codec_context is None:
                raise InputError(f"{path} is packed by a codec that is not known here.")
            _check_size(path, stream.width, stream.height)
            stream.codec_context.options = _OPTIONS
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path} is not a video that can be read: {reason}.") from None


def check_file(path: Path) -> None:
    """Does nothing if there is a file with something in it.

    Raises:
        InputError: nothing there, an empty file, or a pipe or device, which would be waited for.
    """
    if not path.exists():
        raise InputError(
            f"{path} is a link to nothing." if path.is_symlink() else f"there is no video {path}."
        )
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder.")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty.")


def _check_size(path: Path, width: int, height: int) -> None:
    """FFmpeg itself stops at `_OPTIONS`, and then knows no size."""
    most = f"at most {MAX_PIXELS // 10**6} million pixels a frame are read"
    if width * height > MAX_PIXELS:
        raise InputError(f"{path} is too large: its header claims {width} x {height}; {most}.")
    if width * height == 0:
        raise InputError(
            f"{path} has frames of no size that can be told, or of too large a one: {most}."
        )


def header_rate(stream: VideoStream) -> Fraction | None:
    """Frames a second, None where the header has none."""
    rate = stream.average_rate or stream.guessed_rate
    return rate if rate and rate > 0 else None


def promised_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Length of the pictures as the header has it, None where it has none, or none that can be
    relied on (edit lists)."""
    rate = header_rate(stream)
    if container.format.name == "avi":
        return float(stream.frames / rate) if rate and stream.frames else None
    if "matroska" not in container.format.name or not container.duration:
        return None
    whole = container.duration / av.time_base
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return min(whole, 3600 * int(hours) + 60 * int(minutes) + float(seconds))
    except (KeyError, ValueError):
        return whole if len(container.streams) == 1 else None  # the sound may be longer


def _holds_rgb(pixels: str | None) -> bool:
    if not pixels:
        return False
    known = av.VideoFormat(pixels)
    return known.has_palette or (
        (known.is_rgb or pixels.startswith("gray"))
        and min(component.bits for component in known.components) >= 8
    )
