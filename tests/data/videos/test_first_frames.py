"""The start of a video, read without the rest of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.media.videos import cut, encode, gif, gradient, h264, pictures, spoil_file, turn
from vbbench.errors import InputError
from vbbench.media.video import read_start, read_video


@pytest.mark.parametrize("kind", ["mp4", "turned", "mkv", "gif", "webm"])
def test_the_same_frames_as_of_the_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{'mp4' if kind == 'turned' else kind}"
    if kind in ("mp4", "turned"):
        h264(path, rate=Fraction(30000, 1001))
    elif kind == "gif":
        gif(path, gradient())
    else:
        encode(
            path, gradient(), *{"mkv": ("ffv1", "bgr0"), "webm": ("libvpx-vp9", "yuv420p")}[kind]
        )
    if kind == "turned":
        turn(path, 0, 1, -1, 0)
    whole = read_video(path).frames
    for count in (1, 3, 50):
        assert np.array_equal(read_start(path, count), whole[:count])


def test_the_end_may_be_damaged(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.webm", gradient(16), "libvpx-vp9", "yuv420p")
    whole = read_video(path).frames
    cut(path, 0.6)
    assert np.array_equal(read_start(path, 2), whole[:2])
    with pytest.raises(InputError):
        read_video(path)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "sound", "index lost", "folder"])
def test_what_is_no_video_is_a_sentence(tmp_path: Path, kind: str) -> None:
    path = (
        pictures(tmp_path / "x", gradient())
        if kind == "folder"
        else spoil_file(tmp_path / "x.mp4", kind)
    )
    with pytest.raises(InputError):
        read_start(path)
