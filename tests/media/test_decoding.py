"""Videos of every kind that people have, and of the kinds that only break."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from tests.media.videos import cut, encode, gif, gradient, h264, pictures, spoil_file, turn
from vbbench.core.digests import file_digest
from vbbench.errors import InputError
from vbbench.media import decoding, video_file
from vbbench.media.video import content_digest, probe, read_video, write_video_lossless

NTSC = Fraction(30000, 1001)
HOSTILE = (
    "concat:x.mp4",
    "http:a.mp4",
    "%03d.mp4",
    "a\nb.mp4",
    "\U0001f436 \u202e4pm.mp4",
    "'\"$(x).mp4",
    "video",
    "text.txt",
    "-i.gif",
)
EXACT = [
    ("a.mkv", "ffv1", "bgr0"),
    ("a.avi", "huffyuv", "rgb24"),
    ("a.avi", "utvideo", "gbrp"),
    ("a.avi", "rawvideo", "bgr24"),
    ("a.mov", "qtrle", "rgb24"),
    ("a.mov", "png", "rgb24"),
]
LOSSY = [
    ("a.mp4", "libx264", "yuv420p", "h264"),
    ("a.mov", "libx264", "yuv444p", "h264"),
    ("a.mkv", "libx264", "yuv420p10le", "h264"),
    ("a.webm", "libvpx-vp9", "yuv420p", "vp9"),
    ("a.webm", "libvpx", "yuv420p", "vp8"),
    ("a.mp4", "mpeg4", "yuv420p", "mpeg4"),
    ("a.avi", "mjpeg", "yuvj420p", "mjpeg"),
    ("a.mov", "prores_ks", "yuv422p10le", "prores"),
    ("a.mkv", "ffv1", "yuv420p", "ffv1 in yuv420p"),
]


@pytest.mark.parametrize(("name", "codec", "pixels"), EXACT)
def test_lossless_codecs_keep_every_pixel_and_are_known(
    tmp_path: Path, name: str, codec: str, pixels: str
) -> None:
    frames = gradient()
    path = encode(tmp_path / name, frames, codec, pixels, Fraction(25, 2))
    np.testing.assert_array_equal(read_video(path).frames, frames)
    facts = probe(path)
    assert (facts.codec, facts.lossless, facts.fps, facts.size, facts.frames) == (
        codec,
        True,
        12.5,
        (32, 48),
        8,
    )


@pytest.mark.parametrize(("name", "codec", "pixels", "told"), LOSSY)
def test_lossy_codecs_are_read_and_known(
    tmp_path: Path, name: str, codec: str, pixels: str, told: str
) -> None:
    frames = gradient()
    path = encode(tmp_path / name, frames, codec, pixels, NTSC)
    video = read_video(path)
    assert video.frames.shape == frames.shape
    assert np.abs(video.frames.astype(int) - frames).mean() < 12
    facts = probe(path)
    assert (facts.codec, facts.lossless, facts.size, facts.frames) == (told, False, (32, 48), 8)
    assert video.fps == facts.fps == pytest.approx(29.97, abs=0.001)


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p10le", "yuv444p"])
@pytest.mark.parametrize(("matrix", "colour_range"), [(1, 1), (1, 2), (2, 0), (5, 1), (9, 1)])
def test_colours_are_those_of_ffmpegs_own_conversion(
    tmp_path: Path, pixels: str, size: tuple, matrix: int, colour_range: int
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour_range
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pixels))
        )
        container.mux(stream.encode())
    np.testing.assert_array_equal(read_video(path).frames[0], _by_filter(path))


def _by_filter(path: Path) -> np.ndarray:
    """The first frame by a filter graph, which is what the ``ffmpeg`` program does for ``-pix_fmt
    rgb24``."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = Graph()
        source, convert, sink = (
            graph.add_buffer(template=stream),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        )
        source.link_to(convert)
        convert.link_to(sink)
        graph.configure()
        graph.push(next(container.decode(stream)))
        return graph.pull().to_ndarray()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), lambda f: f),
        ((0, 1, -1, 0), lambda f: np.rot90(f, -1, (1, 2))),  # a quarter turn clockwise
        ((0, -1, 1, 0), lambda f: np.rot90(f, 1, (1, 2))),
        ((-1, 0, 0, -1), lambda f: np.rot90(f, 2, (1, 2))),
        ((-1, 0, 0, 1), lambda f: f[:, :, ::-1]),
        ((1, 0, 0, -1), lambda f: f[:, ::-1]),
        ((0, 1, 1, 0), lambda f: f.swapaxes(1, 2)),
    ],
)
def test_display_matrices_are_applied(tmp_path: Path, matrix: tuple, expected: object) -> None:
    path = h264(tmp_path / "a.mp4")
    plain = read_video(path).frames
    turn(path, *matrix)
    np.testing.assert_array_equal(read_video(path).frames, expected(plain))
    with av.open(str(path)) as container:  # FFmpeg calls a turn against the clock positive
        told = next(container.decode(video=0)).rotation
    if matrix == (0, 1, -1, 0):
        assert told == -90


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 32, 48, 4), np.uint8)
    rgba[..., 0], rgba[..., 3] = 200, 255
    rgba[:, 0, 0, 2] = [10, 60, 110, 160]  # or they would be one frame of a GIF
    rgba[:, :, :16, 3], rgba[:, :, 16:32, 3] = 0, 128
    for path in (
        encode(
            tmp_path / "a.webm",
            rgba,
            "libvpx-vp9",
            "yuva420p",
            **{"auto-alt-ref": "0", "lossless": "1"},
        ),
        encode(tmp_path / "a.mov", rgba, "qtrle", "argb"),
        pictures(tmp_path / "a", rgba),
    ):
        seen = read_video(path, fps=8).frames[1, 16, [4, 24, 44]].astype(int)
        assert np.abs(seen - [(255, 255, 255), (227, 127, 127), (200, 0, 0)]).max() <= 2, path
    seen = read_video(gif(tmp_path / "a.gif", rgba, disposal=2)).frames
    np.testing.assert_array_equal(seen[1, 16, 4], (255, 255, 255))


def test_gif_has_the_rate_of_its_delays(tmp_path: Path) -> None:
    even = gif(tmp_path / "even.gif", gradient(5), 80)
    assert (read_video(even).fps, probe(even).fps, probe(even).codec, probe(even).lossless) == (
        12.5,
        12.5,
        "gif",
        False,
    )
    uneven = gif(tmp_path / "uneven.gif", gradient(6), [80, 80, 160, 80, 80, 40])
    assert read_video(uneven).frames.shape == (6, 32, 48, 3)
    assert read_video(uneven).fps == pytest.approx(6 / 0.52)


def test_rate_of_varying_delays_is_their_mean_and_every_frame_counts_once(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "a.mkv", gradient(6), "ffv1", "bgr0", 100, times=[0, 10, 20, 60, 70, 80]
    )
    video = read_video(path)
    np.testing.assert_array_equal(video.frames, gradient(6))
    assert video.fps == pytest.approx(
        6 / 0.81, rel=0.15
    )  # the last frame's own length stands nowhere


@pytest.mark.parametrize("fps", [8, 12.5, 29.97, 23.976, 0.5])
def test_rates_survive_being_stored(tmp_path: Path, fps: float) -> None:
    video = read_video(pictures(tmp_path / "a", gradient(3)), fps=fps)
    assert video.fps == fps
    write_video_lossless(tmp_path / "a.mkv", video)
    assert read_video(tmp_path / "a.mkv").fps == pytest.approx(fps, rel=1e-5)


def test_names_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = h264(tmp_path / "a.mp4")
    for name in HOSTILE:
        shutil.copy(made, tmp_path / name)
        assert read_video(tmp_path / name).frames.shape == (8, 32, 48, 3)
    monkeypatch.chdir(tmp_path)
    assert read_video("concat:x.mp4").frames.shape == (8, 32, 48, 3)


def test_playlists_are_not_followed(tmp_path: Path) -> None:
    h264(tmp_path / "secret.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with av.open(str(tmp_path / "list.mp4")) as container:  # FFmpeg alone would read the other file
        assert len(list(container.decode(video=0))) == 8
    with pytest.raises(InputError, match=r"list\.mp4 is not a video that can be read"):
        read_video(tmp_path / "list.mp4")


REASONS = {
    "missing": "there is no video",
    "empty": "is empty",
    "text": "is not a video that can be read",
    "sound": "holds no picture stream",
    "pipe": "is neither a file nor a folder",
    "link to nothing": "is a link to nothing",
    "index lost": "is not a video that can be read",
    # the latter where there is one processor
    "damaged": "(is damaged: frame [0-9]+ cannot be decoded whole|Invalid data found)",
    "changing size": "are not all of one size",
    "cut mkv": "is cut off: its header speaks of 2.00 s",
    "cut webm": "is cut off: its header speaks of 2.00 s",
    "cut avi": "is cut off: its header speaks of 2.00 s",
    "cut gif": "is cut off: the end mark of a GIF is missing",
    "vast": "frames of no size that can be told, or of too large a one",
}


@pytest.mark.parametrize("kind", REASONS)
def test_bad_files_are_told_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = spoil_file(tmp_path / "bad.mp4", kind)
    with pytest.raises(InputError, match=REASONS[kind]) as caught:
        read_video(path)
    assert str(caught.value).endswith(".")
    assert "Errno" not in str(caught.value)
    if kind in ("missing", "empty", "pipe", "link to nothing"):
        for look in (probe, content_digest):
            with pytest.raises(InputError, match=REASONS[kind]):
                look(path)


def test_too_large_videos_are_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = h264(tmp_path / "a.mp4"), pictures(tmp_path / "a", gradient())
    frame = 32 * 48 * 3
    monkeypatch.setattr(decoding, "MAX_BYTES", 8 * frame)
    assert read_video(path).frames.nbytes == read_video(folder).frames.nbytes == 8 * frame
    monkeypatch.setattr(decoding, "MAX_BYTES", 8 * frame - 1)
    for given in (path, folder):
        with pytest.raises(InputError, match="is too large: its decoded frames take more than"):
            read_video(given)
    monkeypatch.setattr(video_file, "MAX_PIXELS", 1500)
    with pytest.raises(InputError, match="its header claims 48 x 32; at most"):
        probe(path)


def test_sound_may_be_longer_than_the_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        pictures_of, sound_of = (
            container.add_stream("ffv1", rate=8),
            container.add_stream("aac", rate=8000, layout="mono"),
        )
        pictures_of.height, pictures_of.width, pictures_of.pix_fmt = 32, 48, "bgr0"
        for frame in gradient(4):
            container.mux(pictures_of.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        for place in range(32):
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.rate, silence.pts = 8000, 1024 * place
            container.mux(sound_of.encode(silence))
        container.mux(pictures_of.encode())
        container.mux(sound_of.encode())
    np.testing.assert_array_equal(read_video(tmp_path / "a.mkv").frames, gradient(4))


def test_digest_is_of_the_bytes(tmp_path: Path) -> None:
    path = h264(tmp_path / "a.mp4")
    copy = shutil.copy(path, tmp_path / "b.mkv")
    assert content_digest(path) == content_digest(copy) == file_digest(path)
    cut(path, 0.99)
    assert content_digest(path) != content_digest(copy)


def test_whatever_is_wrong_with_a_file_is_a_sentence(tmp_path: Path) -> None:
    made = {
        ".mp4": h264(tmp_path / "a.mp4"),
        ".mkv": encode(tmp_path / "a.mkv", gradient(), "ffv1", "bgr0"),
        ".avi": encode(tmp_path / "a.avi", gradient(), "mpeg4", "yuv420p"),
    }
    random, told = np.random.default_rng(0), 0
    for suffix, path in made.items():
        for _ in range(40):
            content = np.frombuffer(path.read_bytes(), np.uint8).copy()
            content[random.integers(0, min(400, len(content)), 5)] = random.integers(
                0, 256, 5
            )  # most are refused by their headers
            spoiled = tmp_path / f"spoiled{suffix}"
            spoiled.write_bytes(content.tobytes())
            for look in (probe, read_video):
                try:
                    look(spoiled)
                except InputError:
                    told += 1
    assert told > 40


def test_unknown_codec_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", gradient(), "mpeg4", "yuv420p")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(InputError, match=r"a\.avi is packed by a codec that is not known here"):
        read_video(path)
