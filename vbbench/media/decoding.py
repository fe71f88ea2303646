"""Videos from anywhere, made into frames: mp4, mov, mkv, webm, avi, gif, and folders of pictures.

Pixels are what FFmpeg's own conversion to RGB gives: matrix and range as the file says, BT.601 and
16..235 where it says nothing, chroma enlarged by its bicubic filter. What is transparent becomes
white, as in image prompts. A display matrix (a phone held upright) is applied. Every frame counts
once, whatever the time between two; pixels that are not square stay as they are stored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData

from vbbench.errors import InputError
from vbbench.media.video_file import header_rate, opened, promised_seconds

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_BYTES = 2_000_000_000  # of decoded frames; twice as many are needed for a moment
_ALPHA_DECODERS = {
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
}  # FFmpeg's own leave the transparency of a WebM out


def decode_file(path: Path) -> tuple[np.ndarray, float]:
    """Every frame of a video file, uint8 (T, H, W, 3), and its rate in frames a second (1 where
    nothing tells it).

    Raises:
        InputError: missing, not a video, damaged, cut off, without a frame, of changing size, or
            too large.
    """
    with opened(path) as (container, stream):
        frames: list[np.ndarray] = []
        start = end = None
        matrix = None
        for frame in decoded(container.demux(stream), stream):
            if frame.is_corrupt:
                raise InputError(
                    f"{path} is damaged: frame {len(frames) + 1} cannot be decoded whole."
                )
            check_bytes((len(frames) + 1) * frame.width * frame.height * 3, path)
            frames.append(to_rgb(frame))
            if len(frames) == 1:
                start, matrix = frame.time, frame.side_data.get(SideData.DISPLAYMATRIX)
            end = _end_of(frame, stream)
        check_whole(path, container, stream, end)
        rate = _rate(
            stream, len(frames), end - start if end is not None and start is not None else None
        )
        return upright(stack(frames, path), bytes(matrix) if matrix else None), rate


def decode_start(path: Path, count: int) -> np.ndarray:
    """The first frames of a video file, uint8 (T, H, W, 3); no more of it is read than they take,
    so that its end may be damaged.

    Args:
        count: how many at most; a shorter video has fewer.
    Raises:
        InputError: missing, not a video, without a frame, or damaged, of changing size or too large
            as far as it is read.
    """
    with opened(path) as (container, stream):
        frames: list[np.ndarray] = []
        matrix = None
        for frame in islice(decoded(container.demux(stream), stream), count):
            if frame.is_corrupt:
                raise InputError(
                    f"{path} is damaged: frame {len(frames) + 1} cannot be decoded whole."
                )
            check_bytes((len(frames) + 1) * frame.width * frame.height * 3, path)
            frames.append(to_rgb(frame))
            matrix = frame.side_data.get(SideData.DISPLAYMATRIX) if len(frames) == 1 else matrix
        return upright(stack(frames, path), bytes(matrix) if matrix else None)


def stack(frames: list[np.ndarray], path: Path) -> np.ndarray:
    """Frames as one array, uint8 (T, H, W, 3).

    Raises:
        InputError: there is none, or they differ in size.
    """
    if not frames:
        raise InputError(f"{path} holds no frame.")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(f"the frames of {path} are not all of one size.")
    return np.stack(frames)


def check_bytes(decoded: int, path: Path) -> None:
    """Does nothing while so many bytes of frames can be held.

    Raises:
        InputError: there are more than `MAX_BYTES`.
    """
    if decoded > MAX_BYTES:
        raise InputError(
            f"{path} is too large: its decoded frames take more than {MAX_BYTES / 10**9:g} GB. Cut or shrink it."
        )


def upright(frames_THWC: np.ndarray, matrix: bytes | None) -> np.ndarray:
    """Turned and mirrored as a display matrix says: nine native 32-bit numbers, (x', y') = (a x + c
    y, b x + d y).

    Only quarter turns and mirrors are known to cameras; of other matrices the nearest of these is
    taken.
    """
    if matrix is None:
        return frames_THWC
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(b) > abs(a):  # sides are exchanged
        frames_THWC, a, d = frames_THWC.swapaxes(1, 2), c, b
    return np.ascontiguousarray(frames_THWC[:, :: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def decoded(packets: Iterable[Any], stream: VideoStream) -> Iterator[Any]:
    """The frames in a stream's packets; these begin with a keyframe, and the last one is empty, or
    not all frames are asked for."""
    name = (
        _ALPHA_DECODERS.get(stream.codec_context.name)
        if stream.metadata.get("alpha_mode") == "1"
        else None
    )
    decoder: Any = None
    if name in av.codecs_available:
        decoder = av.CodecContext.create(name, "r")
    return chain.from_iterable(
        packet.decode() if decoder is None else decoder.decode(packet) for packet in packets
    )


def to_rgb(frame: Any) -> np.ndarray:
    """A decoded frame, uint8 (H, W, 3); what is transparent becomes white."""
    if not frame.format.has_palette and not any(
        component.is_alpha for component in frame.format.components
    ):
        return frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
    rgba = frame.to_ndarray(format="rgba", interpolation="BICUBIC")
    opacity = rgba[..., 3:].astype(np.uint16)
    if opacity.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    return ((rgba[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _end_of(frame: Any, stream: VideoStream) -> float | None:
    """Second at which a frame ends."""
    if frame.time is None:
        return None
    if frame.duration and frame.time_base:
        return frame.time + float(frame.duration * frame.time_base)
    return frame.time + float(1 / (header_rate(stream) or Fraction(1)))


def _rate(stream: VideoStream, count: int, seconds: float | None) -> float:
    """The header's rate, unless it does not fit the frames that are there (delays that vary): then
    their mean rate."""
    rate = header_rate(stream)
    if rate and (not seconds or abs(float(rate) * seconds - count) < 0.25):
        return float(rate)
    return count / seconds if seconds and seconds > 0 else float(rate or 1)


def check_whole(
    path: Path, container: InputContainer, stream: VideoStream, end: float | None
) -> None:
    """Does nothing where a file is not cut off: FFmpeg takes the end of a cut-off Matroska, AVI or
    GIF file for the end of the video.

    Args:
        end: second at which its last frame ends.
    Raises:
        InputError: it is cut off.
    """
    if container.format.name == "gif" and not _tail(path).rstrip(b"\0\r\n").endswith(b";"):
        raise InputError(f"{path} is cut off: the end mark of a GIF is missing.")
    promised, rate = promised_seconds(container, stream), header_rate(stream)
    if promised is not None and rate and promised - (end or 0) > 1.5 / rate:
        raise InputError(
            f"{path} is cut off: its header speaks of {promised:.2f} s, its frames end after {end or 0:.2f} s."
        )


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        return file.read()
