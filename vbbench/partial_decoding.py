"""Some frames of a video, without decoding all of it: from the last keyframe before them to the last one of them.

The packets of the whole file are looked at first, which decodes nothing. Where they show which frame stands at which place, decoding starts
at a keyframe, and every frame that comes must be the one that was foretold; where they do not, or something else comes, it starts at the
beginning. So the frames are those of `vbbench.decoding.decode_file` either way. (But where the decoder leaves a damaged frame out without a
word, those after it move up there, and keep their places here.)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData

from vbbench.decoding import check_bytes, decoded, stack, to_rgb, upright
from vbbench.errors import InputError
from vbbench.packets import Table, read_table
from vbbench.picture_folder import pictures_in
from vbbench.pictures import load_picture
from vbbench.video_file import opened

if TYPE_CHECKING:
    from av.container import InputContainer


def decode_some(path: Path, wanted: Sequence[int]) -> tuple[np.ndarray, int]:
    """Frames of a video file by their places, and how many packets were decoded for them.

    Args:
        wanted: from 0, at least one; in any order, and as often as one is wanted.
    Returns:
        uint8 (T, H, W, 3), in the order of ``wanted``. It is turned upright as the first frame that was decoded says.
    Raises:
        InputError: missing, not a video, cut off, it has not so many frames; or damaged, of changing size or too large, as far as it
            is decoded.
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
    """Frames of a folder of pictures by their places, as `decode_some` has them; no other picture is read.

    Raises:
        InputError: as `vbbench.picture_folder.decode_folder`, as far as it is read; or it has not so many pictures.
    """
    pictures = pictures_in(folder)
    if max(wanted) >= len(pictures):
        raise too_few(folder, len(pictures), max(wanted))
    return _in_order({place: load_picture(pictures[place]) for place in set(wanted)}, wanted, folder)


def _in_order(frames: dict[int, np.ndarray], wanted: Sequence[int], path: Path) -> np.ndarray:
    places = {place: number for number, place in enumerate(frames)}
    return stack(list(frames.values()), path)[[places[place] for place in wanted]]


def count_frames_of(path: Path) -> int:
    """How many frames a video file has; it is decoded only where its packets do not show it.

    Raises:
        InputError: as `vbbench.decoding.decode_file`, as far as the packets show it.
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
    return InputError(f"{path} has {count} frame{'s' if count > 1 else ''}; number {wanted + 1} was asked for.")


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
        start, frames = table.keyframes[key], {}
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
            for place, frame in enumerate(islice(decoded(self._fed(container, stream, 0), stream), self._last + 1)):
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
