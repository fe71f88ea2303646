"""Videos: stored without loss, read back, shown to people."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from vbbench.errors import InputError
from vbbench.media.video import (
    read_video,
    resize_frames,
    video_digest,
    write_page_video,
    write_video_lossless,
)
from vbbench.types import Video

COLOURS = np.array(
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (120, 200, 220), (20, 20, 20)], np.uint8
)


def noise(*shape: int) -> Video:
    return Video(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8), fps=8)


@pytest.mark.parametrize("shape", [(8, 64, 64), (1, 1, 1), (2, 7, 5), (3, 1, 40)])
def test_stored_video_comes_back_bit_for_bit(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    video = noise(*shape)
    write_video_lossless(tmp_path / "new" / "a.mkv", video)
    back = read_video(tmp_path / "new" / "a.mkv")
    np.testing.assert_array_equal(back.frames, video.frames)
    assert back.fps == 8
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.mkv"]


def test_equal_videos_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_video_lossless(tmp_path / name, noise(4, 16, 16))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_digest_covers_pixels_and_shape_but_not_the_rate() -> None:
    video = noise(2, 4, 6)
    assert video_digest(video) == video_digest(Video(video.frames.copy(order="F"), fps=25))
    assert video_digest(video) != video_digest(Video(video.frames.reshape(2, 6, 4, 3), fps=8))
    changed = video.frames.copy()
    changed[1, 3, 5, 2] ^= 1
    assert video_digest(video) != video_digest(Video(changed, fps=8))


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_page_video_is_enlarged_and_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    frame = np.repeat(np.repeat(COLOURS.reshape(2, 3, 3), 8, axis=0), 8, axis=1)
    path = tmp_path / f"page{suffix}"
    write_page_video(path, Video(np.stack([frame] * 3), fps=5), 4, resample="nearest")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.pix_fmt) == (6, 1, "yuv420p")
    page = read_video(path)
    assert page.frames.shape == (3, 64, 96, 3)
    assert page.fps == 5
    seen = page.frames[1, 16::32, 16::32].astype(int)
    assert np.abs(seen - COLOURS.reshape(2, 3, 3)).max() <= 4


def test_page_video_of_odd_size_gains_a_row_and_a_column(tmp_path: Path) -> None:
    write_page_video(tmp_path / "odd.mp4", noise(2, 33, 35), 1)
    assert read_video(tmp_path / "odd.mp4").frames.shape == (2, 34, 36, 3)


def test_page_video_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.mp4 or \.webm"):
        write_page_video(tmp_path / "a.avi", noise(2, 8, 8))


def test_shrinking_averages_and_nearest_does_not() -> None:
    stripes = np.zeros((1, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    small = resize_frames(stripes, 8)
    assert small.shape == (1, 8, 8, 3)
    assert abs(int(small.mean()) - 127) <= 2
    assert small.std() < 12
    assert set(np.unique(resize_frames(stripes, 8, resample="nearest"))) <= {0, 255}
    assert resize_frames(stripes, (16, 24)).shape == (1, 16, 24, 3)
    same = resize_frames(stripes, 64)
    np.testing.assert_array_equal(same, stripes)
    assert same is not stripes


@pytest.mark.parametrize(
    "frames",
    [np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8), [1]],
)
def test_what_is_no_video_is_refused(tmp_path: Path, frames: object) -> None:
    with pytest.raises(ValueError, match=r"frames must be uint8 \(T, H, W, 3\)"):
        write_video_lossless(tmp_path / "a.mkv", Video(frames, fps=8))
    assert not list(tmp_path.iterdir())


def test_unreadable_videos_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no video"):
        read_video(tmp_path / "none.mkv")
    (tmp_path / "text.mkv").write_text("not a video at all\n" * 100)
    with pytest.raises(InputError, match=r"text\.mkv is not a video"):
        read_video(tmp_path / "text.mkv")
    (tmp_path / "empty.mkv").touch()
    with pytest.raises(InputError, match=r"empty\.mkv"):
        read_video(tmp_path / "empty.mkv")
