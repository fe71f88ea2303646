"""Folders of pictures as videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.videos import gradient, pictures, spoil_folder
from vbbench.errors import InputError
from vbbench.media.picture_folder import natural
from vbbench.media.video import content_digest, probe, read_video


def test_pictures_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = gradient(12)
    folder = pictures(tmp_path / "a", frames, "frame {}.png")  # "frame 10" sorts before "frame 2"
    (folder / ".DS_Store").write_text("hidden")
    (folder / ".thumbs").mkdir()
    video = read_video(folder)
    np.testing.assert_array_equal(video.frames, frames)
    assert video.fps == 1
    assert read_video(folder, fps=12.5).fps == 12.5
    facts = probe(folder)
    assert (facts.codec, facts.lossless, facts.fps, facts.size, facts.frames) == (
        "png",
        True,
        None,
        (32, 48),
        12,
    )


def test_natural_order() -> None:
    names = ["b1", "a10", "a2", "A1", "a01", "10", "9", "a2b10", "a2b9"]
    assert sorted(names, key=natural) == [
        "9",
        "10",
        "A1",
        "a01",
        "a2",
        "a2b9",
        "a2b10",
        "a10",
        "b1",
    ]


@pytest.mark.parametrize(
    ("suffix", "options", "codec", "lossless"),
    [
        ("jpg", {}, "jpeg", False),
        ("JPEG", {}, "jpeg", False),
        ("webp", {}, "webp", False),
        ("webp", {"lossless": True}, "webp", True),
        ("bmp", {}, "bmp", True),
        ("tif", {}, "tiff", True),
        ("ppm", {}, "ppm", True),
    ],
)
def test_kinds_of_pictures(
    tmp_path: Path, suffix: str, options: dict, codec: str, lossless: bool
) -> None:
    for number, frame in enumerate(gradient(3)):
        Image.fromarray(frame).save(tmp_path / f"{number}.{suffix}", **options)
    facts = probe(tmp_path)
    assert (facts.codec, facts.lossless) == (codec, lossless)
    seen = read_video(tmp_path).frames
    assert seen.shape == (3, 32, 48, 3)
    assert np.array_equal(seen, gradient(3)) == lossless


def test_one_lossy_picture_makes_the_video_lossy(tmp_path: Path) -> None:
    pictures(tmp_path, gradient(3))
    Image.fromarray(gradient(4)[3]).save(tmp_path / "3.jpg")
    assert (probe(tmp_path).codec, probe(tmp_path).lossless) == ("jpeg+png", False)


def test_names_of_pictures_do_not_say_what_they_are(tmp_path: Path) -> None:
    for number, frame in enumerate(gradient(2)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png", "JPEG")
    assert (probe(tmp_path).codec, probe(tmp_path).lossless) == ("jpeg", False)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("empty", "the folder .* holds no picture"),
        ("text", "holds notes.txt, which is no picture: only frames may lie in it"),
        ("folder", "holds more.png, which is no picture"),
        ("gif", "holds 4.gif, which is no picture"),
        ("link", "holds 4.png, which is no picture"),
        ("sizes", "are not all of one size"),
        ("cut", "2.png is damaged and cannot be read"),
        ("no picture", "2.png is not a picture that can be read"),
    ],
)
def test_bad_folders_are_told_in_a_sentence(tmp_path: Path, kind: str, sentence: str) -> None:
    spoil_folder(tmp_path / "a", kind)
    with pytest.raises(InputError, match=sentence):
        read_video(tmp_path / "a")


def test_digest_covers_names_and_bytes_of_the_frames_alone(tmp_path: Path) -> None:
    a, b = pictures(tmp_path / "a", gradient(3)), pictures(tmp_path / "b", gradient(3))
    (b / ".hidden").touch()
    same = content_digest(a)
    assert content_digest(b) == same
    (b / "2.png").rename(b / "3.png")
    assert content_digest(b) != same
    Image.new("RGB", (48, 32)).save(a / "0.png")
    assert content_digest(a) != same
