"""Some frames of a video are those of the whole, and only as much is decoded as they need."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.videos import cut, encode, gif, gradient, h264, pictures, spoil_file, turn
from vbbench.errors import InputError
from vbbench.media import decoding, partial_decoding
from vbbench.media import partial_decoding as packets
from vbbench.media.partial_decoding import decode_some
from vbbench.media.video import count_frames, read_frames, read_video, write_video_lossless

N = 40
QUIET = "log-level=none"
# name -> codec, pixels, options, packets that one frame in the last GOP takes at most (None: all
# before it are needed)
KINDS: dict[str, tuple[str, str, dict[str, str], int | None]] = {
    "closed.mp4": ("libx264", "yuv420p", {"x264-params": f"{QUIET}:keyint=10:scenecut=0"}, 16),
    "closed.mov": ("libx264", "yuv444p", {"x264-params": f"{QUIET}:keyint=10:scenecut=0"}, 16),
    "plain.mkv": (
        "libx264",
        "yuv420p",
        {"x264-params": f"{QUIET}:keyint=10:bframes=0:scenecut=0"},
        12,
    ),
    "open.mkv": (
        "libx264",
        "yuv420p",
        {"x264-params": f"{QUIET}:keyint=10:open-gop=1:scenecut=0:bframes=3"},
        20,
    ),
    "open.mp4": (
        "libx264",
        "yuv420p",
        {"x264-params": f"{QUIET}:keyint=10:open-gop=1:scenecut=0:bframes=3"},
        20,
    ),
    "refresh.mkv": (
        "libx264",
        "yuv420p",
        {"x264-params": f"{QUIET}:keyint=10:intra-refresh=1:bframes=0"},
        None,
    ),
    "one-key.mp4": ("libx264", "yuv420p", {"x264-params": f"{QUIET}:keyint=1000:scenecut=0"}, None),
    "all-keys.mp4": ("libx264", "yuv420p", {"x264-params": f"{QUIET}:keyint=1"}, 2),
    "packed.avi": ("libx264", "yuv420p", {"x264-params": f"{QUIET}:keyint=10:scenecut=0"}, None),
    "packed-open.avi": (
        "libx264",
        "yuv420p",
        {"x264-params": f"{QUIET}:keyint=10:scenecut=0:open-gop=1:bframes=3"},
        None,
    ),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": f"{QUIET}:keyint=10:open-gop=0"}, 16),
    "hevc-open.mkv": ("libx265", "yuv420p", {"x265-params": f"{QUIET}:keyint=10:open-gop=1"}, 22),
    "a.webm": (
        "libvpx-vp9",
        "yuv420p",
        {"g": "10", "lag-in-frames": "16", "auto-alt-ref": "1"},
        12,
    ),
    "eight.webm": (
        "libvpx",
        "yuv420p",
        {"g": "10", "lag-in-frames": "16", "auto-alt-ref": "1"},
        12,
    ),
    "four.avi": ("mpeg4", "yuv420p", {"g": "10"}, 12),
    "four-b.mp4": ("mpeg4", "yuv420p", {"g": "10", "bf": "2"}, 16),
    "two.mkv": ("mpeg2video", "yuv420p", {"g": "10", "bf": "2"}, 16),
    "jpeg.avi": ("mjpeg", "yuvj420p", {}, 2),
    "huff.avi": ("huffyuv", "rgb24", {}, 2),
    "ffv1.mkv": ("ffv1", "bgr0", {"level": "3", "g": "10"}, 12),
    "qtrle.mov": ("qtrle", "rgb24", {"g": "10"}, 12),
    "prores.mov": ("prores_ks", "yuv422p10le", {}, 4),
    "flash.avi": ("flv", "yuv420p", {"g": "10"}, None),
}
CHOICES = (
    [0],
    [39],
    [31],
    [12, 15, 18],
    [10],
    [9],
    [20, 19],
    [5, 5, 38, 5],
    list(range(40)),
    [30, 0],
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def busy(count: int = N) -> np.ndarray:
    """Moving colours over fixed noise: frames are made of those before and after them."""
    noise = np.random.default_rng(0).integers(0, 60, (64, 96, 3))
    return (gradient(count, 64, 96) * 0.75 + noise).astype(np.uint8)


def file(folder: Path, name: str) -> Path:
    codec, pixels, options, _ = KINDS[name]
    path = folder / name
    return (
        path
        if path.exists()
        else encode(
            path, busy(), codec, pixels, Fraction(25) if codec == "mpeg2video" else 8, **options
        )
    )


@pytest.mark.parametrize("name", KINDS)
def test_the_same_frames_as_of_the_whole(made: Path, name: str) -> None:
    path = file(made, name)
    whole = read_video(path).frames
    assert len(whole) == count_frames(path) == N
    for wanted in CHOICES:
        np.testing.assert_array_equal(read_frames(path, wanted), whole[wanted])
    for place in range(N):
        assert np.array_equal(read_frames(path, [place])[0], whole[place]), place


@pytest.mark.parametrize("name", KINDS)
def test_no_more_is_decoded_than_is_needed(made: Path, name: str) -> None:
    path, most = file(made, name), KINDS[name][3]
    late, early = decode_some(path, [38])[1], decode_some(path, [1])[1]
    assert early <= 20
    assert late <= (most or 2 * N)
    if most is None and name != "refresh.mkv":
        assert late >= 30


def test_variable_rates_and_long_gaps(tmp_path: Path) -> None:
    times = [place * place for place in range(N)]
    path = encode(
        tmp_path / "a.mkv",
        busy(),
        "libx264",
        "yuv420p",
        100,
        times=times,
        g="8",
        **{"x264-params": QUIET},
    )
    whole = read_video(path).frames
    for wanted in CHOICES:
        np.testing.assert_array_equal(read_frames(path, wanted), whole[wanted])


@pytest.mark.parametrize("start", [3, 5, 12, 25])
def test_edit_lists_leave_frames_out(tmp_path: Path, start: int) -> None:
    path = encode(
        tmp_path / "a.mp4",
        busy(),
        "libx264",
        "yuv420p",
        8,
        **{"x264-params": f"{QUIET}:keyint=10:scenecut=0"},
    )
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 16  # version, flags, count, duration
    (before,) = struct.unpack(">I", content[place : place + 4])
    with av.open(str(path)) as container:
        tick = int(1 / container.streams.video[0].time_base) // 8
    content[place : place + 4] = struct.pack(">I", before + start * tick)
    path.write_bytes(content)
    whole = read_video(path).frames
    assert 0 < len(whole) == N - start
    assert count_frames(path) == N - start
    for wanted in ([0], [1, 2], [len(whole) - 1], [3, 9, 14], list(range(len(whole)))):
        np.testing.assert_array_equal(read_frames(path, wanted), whole[wanted])


def test_turned_and_transparent_videos_and_gifs_and_folders(tmp_path: Path) -> None:
    rgba = np.concatenate([busy(12), np.full((12, 64, 96, 1), 90, np.uint8)], axis=3)
    turned = h264(tmp_path / "a.mp4", 30)
    turn(turned, 0, 1, -1, 0)
    patch = busy(12)
    patch[3:, :, 40:] = patch[3, :, 40:]  # or every picture of the GIF would be whole
    every = [
        turned,
        encode(tmp_path / "a.webm", rgba, "libvpx-vp9", "yuva420p", g="4", **{"auto-alt-ref": "0"}),
        encode(tmp_path / "b.webm", rgba, "libvpx", "yuva420p", g="4", **{"auto-alt-ref": "0"}),
        gif(tmp_path / "a.gif", patch),
        gif(tmp_path / "b.gif", rgba, disposal=2),
        pictures(tmp_path / "folder", busy(12)),
    ]
    write_video_lossless(tmp_path / "a.mkv", read_video(every[0]))
    for path in [*every, tmp_path / "a.mkv"]:
        whole = read_video(path).frames
        assert count_frames(path) == len(whole)
        for wanted in ([7], [11, 2, 2], range(len(whole))):
            np.testing.assert_array_equal(read_frames(path, wanted), whole[list(wanted)])


def test_hidden_frames_are_not_counted(made: Path) -> None:
    """VP8 may have packets that are decoded and not shown: here every fifth one is marked so."""
    path, hidden = file(made, "eight.webm"), made / "hidden.webm"
    with av.open(str(path)) as source, av.open(str(hidden), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            content = bytearray(bytes(packet))
            if place % 5 == 4:
                content[0] &= ~0x10
            copy = av.Packet(bytes(content))
            copy.pts, copy.dts, copy.time_base, copy.is_keyframe = (
                packet.pts,
                packet.dts,
                packet.time_base,
                packet.is_keyframe,
            )
            copy.stream = stream
            target.mux(copy)
    whole = read_video(hidden).frames
    assert len(whole) == count_frames(hidden) == 32
    for wanted in ([0], [30], [31], [28, 3], range(32)):
        np.testing.assert_array_equal(read_frames(hidden, wanted), whole[list(wanted)])
    assert decode_some(hidden, [31])[1] < 20


HIDE, SHOW, AGAIN = (
    bytes([0b10000100]) + b"h" * 299,
    bytes([0b10000110]) + b"s" * 9,
    bytes([0b10001000]),
)


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        ([HIDE, SHOW], 1),
        ([HIDE], 0),
        ([SHOW], 1),
        ([AGAIN], 1),
        ([SHOW, AGAIN], 2),
        ([HIDE, HIDE, SHOW], 1),
    ],
)
def test_superframes_of_vp9_are_looked_into(frames: list[bytes], shown: int) -> None:
    mark = bytes([0b11000000 | 1 << 3 | len(frames) - 1])
    index = mark + b"".join(len(frame).to_bytes(2, "little") for frame in frames) + mark
    packet = av.Packet(b"".join(frames) + index)
    assert [bytes(frame) for frame in packets._vp9_frames(memoryview(packet))] == frames
    assert packets._shown(packet, "vp9") == shown
    if len(frames) == 1:
        assert packets._shown(av.Packet(frames[0]), "vp9") == shown
    third = bytes([0b10110000 | frames[0][0] >> 1 & 0b111])  # profile 3 has a bit more in front
    assert packets._shown(av.Packet(third + b"x"), "vp9") == packets._shown(
        av.Packet(frames[0]), "vp9"
    )


def test_packets_that_lie_about_their_frames_are_found_out(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every packet a keyframe, as a careless program may have written: what is decoded from there
    is not believed."""
    path = file(made, "closed.mp4")
    whole = read_video(path).frames
    real = packets._table

    def lying(found: list, codec: str, *, reorders: bool) -> packets.Table:
        table = real(found, codec, reorders=reorders)
        return packets.Table(
            table.times, {place: packet.time for place, packet in enumerate(found)}
        )

    monkeypatch.setattr(packets, "_table", lying)
    for place in range(N):
        np.testing.assert_array_equal(read_frames(path, [place])[0], whole[place])


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "sound", "pipe", "link to nothing", "index lost",
                                  "cut mkv", "cut webm", "cut avi", "cut gif", "vast"])  # fmt: skip
def test_what_is_no_video_is_a_sentence(tmp_path: Path, kind: str) -> None:
    path = spoil_file(tmp_path / "x.mp4", kind)
    with pytest.raises(InputError) as told:
        read_video(path)
    for look in (count_frames, lambda path: read_frames(path, [1])):
        with pytest.raises(InputError) as caught:
            look(path)
        assert (
            str(caught.value).split(", its frames")[0] == str(told.value).split(", its frames")[0]
        )


@pytest.mark.parametrize("kind", ["damaged", "changing size"])
def test_damage_is_told_where_it_is_read(tmp_path: Path, kind: str) -> None:
    path = spoil_file(tmp_path / "x.mp4", kind)
    with pytest.raises(InputError):
        read_frames(path, range(count_frames(path)))


def test_a_cut_mp4_is_told(tmp_path: Path) -> None:
    path = h264(tmp_path / "a.mp4", 60)
    fast = tmp_path / "fast.mp4"
    with (
        av.open(str(path)) as source,
        av.open(str(fast), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = read_video(fast).frames
    assert len(whole) == 60
    cut(fast, 0.7)
    with pytest.raises(InputError):
        read_frames(fast, [59])


def test_random_damage_is_never_a_traceback_and_never_other_pixels(tmp_path: Path) -> None:
    random, spoiled = np.random.default_rng(0), tmp_path / "spoiled.mp4"
    content = np.frombuffer(h264(tmp_path / "a.mp4", 24).read_bytes(), np.uint8)
    same = 0
    for _ in range(60):
        broken = content.copy()
        broken[random.integers(0, len(content), 3)] = random.integers(0, 256, 3)
        spoiled.write_bytes(broken.tobytes())
        try:
            part = read_frames(spoiled, [20, 3])
            whole = read_video(spoiled).frames
        except InputError:
            continue
        np.testing.assert_array_equal(part, whole[[20, 3]])
        same += 1
    assert same > 5


def test_wrong_places_are_refused(tmp_path: Path) -> None:
    for path in (h264(tmp_path / "a.mp4"), pictures(tmp_path / "folder", gradient()), gif(tmp_path / "a.gif", gradient()),
                 encode(tmp_path / "a.avi", gradient(), "flv", "yuv420p")):  # fmt: skip
        with pytest.raises(InputError, match="has 8 frames; number 9 was asked for"):
            read_frames(path, [0, 8])
        for wrong in ([], [-1], [3, -2]):
            with pytest.raises(ValueError, match="counted from 0"):
                read_frames(path, wrong)


def test_only_the_wanted_frames_count_against_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = h264(tmp_path / "a.mp4", 30)
    monkeypatch.setattr(decoding, "MAX_BYTES", 2 * 32 * 48 * 3)
    assert read_frames(path, [20, 20, 5, 20]).shape == (4, 32, 48, 3)
    with pytest.raises(InputError, match="is too large"):
        read_frames(path, [20, 5, 6])


def test_only_wanted_frames_are_made_into_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, count = h264(tmp_path / "a.mp4", 30), []
    real = partial_decoding.to_rgb
    monkeypatch.setattr(partial_decoding, "to_rgb", lambda frame: (count.append(1), real(frame))[1])
    read_frames(path, [20, 20, 5])
    assert len(count) == 2
