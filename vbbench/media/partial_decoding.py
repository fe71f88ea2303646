"""Some frames of a video, without decoding all of it: from the last keyframe before them to the
last one of them.

The packets of the whole file are looked at first, which decodes nothing. Where they show which
frame stands at which place, decoding starts at a keyframe, and every frame that comes must be the
one that was foretold; where they do not, or something else comes, it starts at the beginning. So
the frames are those of `vbbench.media.decoding.decode_file` either way. (But where the decoder
leaves a damaged frame out without a word, those after it move up there, and keep their places
here.)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData

from vbbench.errors import InputError
from vbbench.media.decoding import check_bytes, check_whole, decoded, stack, to_rgb, upright
from vbbench.media.picture_folder import pictures_in
from vbbench.media.pictures import load_picture
from vbbench.media.video_file import header_rate, opened

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# What the packets of a video file tell about its frames, without decoding one: when each is shown,
# and where decoding can start.

# Codecs whose packets hold a frame each (vp8, vp9: or one that is never shown), and whose keyframes
# need nothing from before them.
_KNOWN = frozenset(
    {
        "av1",
        "dnxhd",
        "ffv1",
        "ffvhuff",
        "gif",
        "h264",
        "hevc",
        "huffyuv",
        "magicyuv",
        "mjpeg",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
    }
    | {"png", "prores", "qtrle", "rawvideo", "utvideo", "vp8", "vp9"}
)
_FROM_START = frozenset({"gif"})  # each picture may leave parts of any picture before it


@dataclass(frozen=True)
class Table:
    """The packets of a video.

    Attributes:
        times: when each frame is shown, in ticks, in the order in which they are shown; None where
            the packets do not tell it for certain.
        keyframes: place of a packet in the file -> its time, for those from which every later frame
            can be decoded; by place.
    """

    times: Sequence[int] | None
    keyframes: dict[int, int]

    @property
    def count(self) -> int | None:
        """How many frames are shown; None where the packets do not tell."""
        return None if self.times is None else len(self.times)

    def keyframe_for(self, place: int) -> int:
        """The last packet from which the frame at a place can be decoded."""
        assert self.times is not None
        return max(packet for packet, time in self.keyframes.items() if time <= self.times[place])


@dataclass(frozen=True)
class _Packet:
    time: int | None
    key: bool
    shown: int  # how many frames of it are; -1: that cannot be told


def read_table(path: Path) -> Table:
    """Look at every packet of a video file.

    Raises:
        InputError: missing, not a video, without a frame, or cut off.
    """
    with opened(path) as (container, stream):
        codec = stream.codec_context.codec.canonical_name
        packets, end = [], None
        for packet in container.demux(stream):
            if packet.pts is None and not packet.size:
                continue  # the last one, which only tells the decoder that it was the last
            packets.append(_Packet(packet.pts, packet.is_keyframe, _shown(packet, codec)))
            if not packet.is_corrupt:
                end = max(filter(None, (end, _end_of(packet, stream))), default=None)
        if not packets:
            raise InputError(f"{path} holds no frame.")
        check_whole(path, container, stream, end)
        return _table(packets, codec, reorders=bool(stream.codec_context.has_b_frames))


def _table(packets: list[_Packet], codec: str, *, reorders: bool) -> Table:
    every = [packet.time for packet in packets if packet.time is not None]
    shown = [packet.time for packet in packets if packet.shown and packet.time is not None]
    certain = (
        codec in _KNOWN
        and len(every) == len(packets)
        and all(packet.shown in (0, 1) for packet in packets)
        and len(set(shown)) == len(shown) > 0
        and packets[0].key
        and every[0]
        == min(every)  # else frames are left out that need what was cut off before the first packet
        and not (
            reorders and shown == sorted(shown) and not all(packet.key for packet in packets)
        )  # times of decoding, not of showing
    )
    if not certain:
        return Table(None, {})
    latest = [every[0] - 1, *accumulate(every, max)]  # of all packets before each
    keys = {
        place: packet.time
        for place, packet in enumerate(packets)
        if packet.key and packet.time is not None
    }
    keys = {
        place: time
        for place, time in keys.items()
        if time > latest[place] and (place == 0 or codec not in _FROM_START)
    }
    return Table(sorted(shown), keys)


def _shown(packet: Any, codec: str) -> int:
    """How many frames of a packet are shown."""
    if packet.is_corrupt or not packet.size:
        return -1
    if packet.is_discard:  # by the edit list
        return 0
    if codec == "vp8":
        return memoryview(packet)[0] >> 4 & 1  # RFC 6386, section 9.1
    return sum(map(_vp9_shown, _vp9_frames(memoryview(packet)))) if codec == "vp9" else 1


def _vp9_frames(data: memoryview) -> list[memoryview]:
    """The frames of a packet, which may be a superframe (VP9 bitstream specification, annex B)."""
    mark = data[-1]
    count, width = (mark & 7) + 1, (mark >> 3 & 3) + 1
    index = 2 + count * width
    if mark & 0xE0 != 0xC0 or len(data) < index or data[-index] != mark:
        return [data]
    sizes = [
        int.from_bytes(data[place : place + width], "little")
        for place in range(len(data) - index + 1, len(data) - 1, width)
    ]
    ends = list(accumulate(sizes))
    return [data[end - size : end] for size, end in zip(sizes, ends, strict=True) if size]


def _vp9_shown(frame: memoryview) -> bool:
    """Whether a frame is shown, or shows one that was decoded before (section 6.2)."""
    first = frame[0]
    bit = 3 if first & 0x30 == 0x30 else 4  # profile 3 has a bit more in front
    show_existing, show = first >> (bit - 1) & 1, first >> (bit - 3) & 1
    return bool(show_existing or show)


def _end_of(packet: Any, stream: VideoStream) -> float | None:
    """Second at which a packet's frame ends, as `vbbench.media.decoding` has it of the frame."""
    if packet.pts is None or packet.time_base is None:
        return None
    length = (
        packet.duration * packet.time_base
        if packet.duration
        else 1 / (header_rate(stream) or Fraction(1))
    )
    return float(packet.pts * packet.time_base + length)


def decode_some(path: Path, wanted: Sequence[int]) -> tuple[np.ndarray, int]:
    """Frames of a video file by their places, and how many packets were decoded for them.

    Args:
        wanted: from 0, at least one; in any order, and as often as one is wanted.
    Returns:
        uint8 (T, H, W, 3), in the order of ``wanted``. It is turned upright as the first frame that
        was decoded says.
    Raises:
        InputError: missing, not a video, cut off, it has not so many frames; or damaged, of
            changing size or too large, as far as it is decoded.
    """
    table = read_table(path)
    if table.count is not None and max(wanted) >= table.count:
        raise too_few(path, table.count, max(wanted))
    some = _Some(path, set(wanted))
    found = some.from_keyframe(table) if table.count is not None else None
    if found is None:
        found = some.from_start()
    frames, matrix = found
    return upright(_in_order(frames, wanted, path), matrix), some.packets


def read_pictures(folder: Path, wanted: Sequence[int]) -> np.ndarray:
    """Frames of a folder of pictures by their places, as `decode_some` has them; no other picture
    is read.

    Raises:
        InputError: as `vbbench.media.picture_folder.decode_folder`, as far as it is read; or it has
            not so many pictures.
    """
    pictures = pictures_in(folder)
    if max(wanted) >= len(pictures):
        raise too_few(folder, len(pictures), max(wanted))
    return _in_order(
        {place: load_picture(pictures[place]) for place in set(wanted)}, wanted, folder
    )


def _in_order(frames: dict[int, np.ndarray], wanted: Sequence[int], path: Path) -> np.ndarray:
    places = {place: number for number, place in enumerate(frames)}
    return stack(list(frames.values()), path)[[places[place] for place in wanted]]


def count_frames_of(path: Path) -> int:
    """How many frames a video file has; it is decoded only where its packets do not show it.

    Raises:
        InputError: as `vbbench.media.decoding.decode_file`, as far as the packets show it.
    """
    table = read_table(path)
    if table.count is not None:
        return table.count
    count = 0
    with opened(path) as (container, stream):
        for count, frame in enumerate(decoded(container.demux(stream), stream), 1):
            _refuse_damaged(frame, count, path)
    if not count:
        raise InputError(f"{path} holds no frame.")
    return count


def _refuse_damaged(frame: Any, number: int, path: Path) -> None:
    if frame.is_corrupt:
        raise InputError(f"{path} is damaged: frame {number} cannot be decoded whole.")


def too_few(path: Path, count: int, wanted: int) -> InputError:
    """The error of a frame that is not there."""
    return InputError(
        f"{path} has {count} frame{'s' if count > 1 else ''}; number {wanted + 1} was asked for."
    )


Found = tuple[dict[int, np.ndarray], bytes | None]  # frames by place, and the display matrix


class _Some:
    """One reading of a file; counts the packets that are decoded."""

    def __init__(self, path: Path, wanted: set[int]) -> None:
        self._path, self._wanted, self._last = path, wanted, max(wanted)
        self.packets = 0

    def from_keyframe(self, table: Table) -> Found | None:
        """None where the decoder gives other frames than the packets made expect."""
        assert table.times is not None
        times, key = table.times, table.keyframe_for(min(self._wanted))
        start = table.keyframes[key]
        frames: dict[int, np.ndarray] = {}
        place, matrix = bisect_left(times, start), None
        with opened(self._path) as (container, stream):
            try:
                for frame in decoded(self._fed(container, stream, key), stream):
                    if frame.pts is not None and frame.pts < start:
                        continue  # shown before the keyframe, and made of what comes before it
                    if frame.pts != times[place] or frame.is_corrupt:
                        return None
                    matrix = matrix or frame.side_data.get(SideData.DISPLAYMATRIX)
                    self._keep(frames, place, frame)
                    place += 1
                    if place > self._last:
                        return frames, bytes(matrix) if matrix else None
            except av.FFmpegError:
                pass
        return None

    def from_start(self) -> Found:
        """Frame by frame from the first one on."""
        frames: dict[int, np.ndarray] = {}
        matrix, place = None, -1
        with opened(self._path) as (container, stream):
            for place, frame in enumerate(
                islice(decoded(self._fed(container, stream, 0), stream), self._last + 1)
            ):
                _refuse_damaged(frame, place + 1, self._path)
                matrix = frame.side_data.get(SideData.DISPLAYMATRIX) if place == 0 else matrix
                self._keep(frames, place, frame)
        if place < self._last:
            raise too_few(self._path, place + 1, self._last)
        return frames, bytes(matrix) if matrix else None

    def _keep(self, frames: dict[int, np.ndarray], place: int, frame: Any) -> None:
        if place in self._wanted:
            check_bytes((len(frames) + 1) * frame.width * frame.height * 3, self._path)
            frames[place] = to_rgb(frame)

    def _fed(self, container: InputContainer, stream: Any, first: int) -> Iterator[Any]:
        for packet in islice(container.demux(stream), first, None):
            self.packets += 1
            yield packet
