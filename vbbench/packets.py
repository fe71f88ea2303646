"""What the packets of a video file tell about its frames, without decoding one: when each is shown, and where decoding can start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.decoding import check_whole
from vbbench.errors import InputError
from vbbench.video_file import header_rate, opened

if TYPE_CHECKING:
    from av.video.stream import VideoStream

# Codecs whose packets hold a frame each (vp8, vp9: or one that is never shown), and whose keyframes need nothing from before them.
_KNOWN = frozenset(
    {"av1", "dnxhd", "ffv1", "ffvhuff", "gif", "h264", "hevc", "huffyuv", "magicyuv", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4"}
    | {"png", "prores", "qtrle", "rawvideo", "utvideo", "vp8", "vp9"}
)
_FROM_START = frozenset({"gif"})  # each picture may leave parts of any picture before it


@dataclass(frozen=True)
class Table:
    """The packets of a video.

    Attributes:
        times: when each frame is shown, in ticks, in the order in which they are shown; None where the packets do not tell it for certain.
        keyframes: place of a packet in the file -> its time, for those from which every later frame can be decoded; by place.
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
        and every[0] == min(every)  # else frames are left out that need what was cut off before the first packet
        and not (reorders and shown == sorted(shown) and not all(packet.key for packet in packets))  # times of decoding, not of showing
    )
    if not certain:
        return Table(None, {})
    latest = [every[0] - 1, *accumulate(every, max)]  # of all packets before each
    keys = {place: packet.time for place, packet in enumerate(packets) if packet.key and packet.time is not None}
    keys = {place: time for place, time in keys.items() if time > latest[place] and (place == 0 or codec not in _FROM_START)}
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
    sizes = [int.from_bytes(data[place : place + width], "little") for place in range(len(data) - index + 1, len(data) - 1, width)]
    ends = list(accumulate(sizes))
    return [data[end - size : end] for size, end in zip(sizes, ends, strict=True) if size]


def _vp9_shown(frame: memoryview) -> bool:
    """Whether a frame is shown, or shows one that was decoded before (section 6.2)."""
    first = frame[0]
    bit = 3 if first & 0x30 == 0x30 else 4  # profile 3 has a bit more in front
    show_existing, show = first >> (bit - 1) & 1, first >> (bit - 3) & 1
    return bool(show_existing or show)


def _end_of(packet: Any, stream: VideoStream) -> float | None:
    """Second at which a packet's frame ends, as `vbbench.decoding` has it of the frame."""
    if packet.pts is None or packet.time_base is None:
        return None
    length = packet.duration * packet.time_base if packet.duration else 1 / (header_rate(stream) or Fraction(1))
    return float(packet.pts * packet.time_base + length)
