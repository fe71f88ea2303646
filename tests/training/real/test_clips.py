"""Clips, image prompts, words and keys of examples; and what happens to examples that cannot be
read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media.videos import cut
from tests.training.real.made import BOX, example, video
from vbbench.data.videos.loader import Example
from vbbench.errors import InputError, UsageError
from vbbench.media.video import read_video
from vbbench.training.real.clips import ClipSettings, RealData, square_of
from vbbench.training.real.draws import Augmentation, Draw
from vbbench.training.real.usable import subject_word, usable

SETTINGS = ClipSettings(num_frames=4, frame_interval=3, size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


def data_of(*examples: Example, settings: ClipSettings = SETTINGS, **more: object) -> RealData:
    return RealData(examples, settings, seed=1, global_batch=4, **more)


def at(start: float, **changes: object) -> Draw:
    return Draw(
        **{
            "number": 0,
            "example": 0,
            "start": start,
            "dropped": False,
            "augmentation": None,
            "seed": 1,
            **changes,
        }
    )


def test_frames_are_those_of_the_whole_video_brought_to_size(folder: Path) -> None:
    one = example(folder)
    data, whole = data_of(one), read_video(one.video).frames
    assert whole.shape == (40, 40, 64, 3)
    frames = data.frames(at(0.5))
    assert data.indices(at(0.5)) == [15, 18, 21, 24]  # 31 places to begin
    assert frames.shape == (4, 32, 32, 3)
    for frame, index in zip(
        frames, [15, 18, 21, 24], strict=True
    ):  # 40 x 64 -> 32 x 51, of which 32 from 10 on (9.5, to even)
        expected = (
            Image.fromarray(whole[index])
            .resize((51, 32), Image.Resampling.BILINEAR)
            .crop((10, 0, 42, 32))
        )
        np.testing.assert_array_equal(frame, np.asarray(expected))


def test_a_clip_begins_anywhere_or_in_windows(folder: Path) -> None:
    one = example(folder)
    shares = np.linspace(0, 1, 500, endpoint=False)
    starts = [data_of(one).indices(at(share))[0] for share in shares]
    assert sorted(set(starts)) == list(range(31))
    assert max(np.bincount(starts)) - min(np.bincount(starts)) <= 1
    for windows, expected in ((1, [0]), (2, [0, 30]), (3, [0, 15, 30])):
        data = data_of(one, settings=replace(SETTINGS, windows=windows))
        starts = [data.indices(at(share))[0] for share in shares]
        assert sorted(set(starts)) == expected


@pytest.mark.parametrize(("count", "interval"), [(13, 3), (10, 3), (9, 2), (7, 2), (6, 1), (4, 1)])
def test_a_short_video_gets_a_smaller_interval(folder: Path, count: int, interval: int) -> None:
    data = data_of(example(folder, f"short{count}", count))
    for share in (0.0, 0.999):
        indices = data.indices(at(share))
        assert set(np.diff(indices)) == {interval}
        assert 0 <= indices[0] <= indices[-1] < count
    assert data.indices(at(0.999))[-1] == count - 1


def test_one_frame_is_a_clip(folder: Path) -> None:
    data = data_of(example(folder), settings=replace(SETTINGS, num_frames=1))
    assert [data.indices(at(share)) for share in (0.0, 0.999)] == [[0], [39]]


@pytest.mark.parametrize("size", [(40, 64), (64, 40), (41, 41), (32, 100), (20, 33)])
def test_squares_are_of_the_middle(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    square = square_of(frames, 32)
    assert square.shape == (2, 32, 32, 3)
    assert square.flags["C_CONTIGUOUS"]
    mirrored = square_of(frames[:, ::-1, ::-1], 32)[:, ::-1, ::-1]
    assert np.abs(square.astype(int).mean() - mirrored.astype(int).mean()) < 3
    if size == (32, 100):
        np.testing.assert_array_equal(square, frames[:, :, 34:66])


def test_image_prompt_is_the_subject_on_white(folder: Path) -> None:
    data = data_of(example(folder))
    prompt = data.image_prompt(at(0.7))
    assert prompt.shape == (32, 32, 3)
    np.testing.assert_array_equal(
        prompt, data.image_prompt(at(0.1))
    )  # of the first frame, wherever the clip begins
    assert (prompt[:4] == 255).all()  # padded: the box is 24 x 16
    assert np.abs(prompt[14, 16].astype(int) - (180, 60, 30)).max() < 30
    change = Augmentation("right", 0.2, False, 0.0, (0.0, 0.0), 1.0)
    wider = data.image_prompt(
        at(0.0, augmentation=change)
    )  # the box is 19 wide now, and all of it is larger
    assert (wider < 200).sum() > (prompt < 200).sum() * 1.2
    flipped = data.image_prompt(at(0.0, augmentation=replace(change, flip=True)))
    np.testing.assert_array_equal(flipped, wider[:, ::-1])


def test_keys_tell_apart_what_differs_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    one = example(folder)
    copy = example(tmp_path, "copy")
    copy.video.write_bytes(one.video.read_bytes())
    data, other = data_of(one), data_of(copy)
    key = data.clip_key(at(0.5))
    assert key == other.clip_key(at(0.5, number=9, dropped=True, seed=3))
    changed = [
        data.clip_key(at(0.6)),
        data_of(one, settings=replace(SETTINGS, size=16)).clip_key(at(0.5)),
    ]
    changed += [data_of(example(folder, "longer", 40)).clip_key(at(0.5)), data.prompt_key(at(0.5))]
    assert len({key, *changed}) == 5
    prompt = data.prompt_key(at(0.5))
    assert prompt == other.prompt_key(at(0.2))
    assert (
        data.prompt_key(at(0.5, augmentation=Augmentation("top", 0.1, False, 0, (0, 0), 1))) is None
    )
    assert prompt != data_of(replace(one, box=(20.0, 6.0, 44.0, 23.0))).prompt_key(at(0.5))
    Image.fromarray(np.full((40, 64), 255, np.uint8)).save(tmp_path / "full.png")
    assert prompt != data_of(replace(one, mask=tmp_path / "full.png")).prompt_key(at(0.5))


@pytest.mark.parametrize(
    ("label", "caption", "word"),
    [
        ("dog", "A Dog, running", "dog"),
        ("big dog", "a big  dog", "big dog"),
        ("dog", "two puppies play", "puppies"),
        ("", "my dogs", "dogs"),
        ("animal", "a hot dog and a Dog", "dog"),
        ("dog", "dogged cats", None),
        ("dog", "", None),
    ],
)
def test_the_subject_word_stands_in_the_caption(
    folder: Path, label: str, caption: str, word: str | None
) -> None:
    one = example(folder, label=label, caption=caption)
    if word is None:
        with pytest.raises(InputError, match="dog/c0: the caption .* does not hold"):
            subject_word(one)
    else:
        assert subject_word(one) == word


def test_unusable_examples_are_left_out_up_front_and_told(folder: Path) -> None:
    good = example(folder)
    bad = [
        example(folder, caption="a sunset"),
        example(folder, "three", 3),
        example(folder, video=folder / "none.mp4"),
        example(folder, caption="a dog " + "and a " * 90),
    ]

    def fits(text: str, word: str) -> None:
        assert word == "dog"
        if len(text) > 100:
            raise InputError("the text is too long")

    kept, reasons = usable([bad[0], good, *bad[1:], good], SETTINGS, fits=fits, workers=2)
    assert kept == [good, good]
    assert [reason.startswith("dog/") for reason in reasons] == [True, True, True, True]
    for reason, told in zip(
        reasons,
        ("a sunset", "has 3 frames, and a clip takes 4", "there is no video", "too long"),
        strict=True,
    ):
        assert told in reason


def many(folder: Path, count: int, *bad: int) -> list[Example]:
    """Examples of one good video, and of a bad one at some places."""
    broken = folder / "videos" / "broken.mp4"
    if not broken.exists():
        cut(video(broken, 40), 0.5)
    one = example(folder)
    return [
        replace(one, videoid=f"v{place}", video=broken if place in bad else one.video)
        for place in range(count)
    ]


def test_the_next_readable_example_of_the_epoch_takes_an_unreadable_ones_place(
    folder: Path,
) -> None:
    told: list[str] = []
    count, bad = 100, 17
    examples = many(folder, count, bad)
    data = data_of(*examples, on_fault=told.append)

    def read(draw: Draw) -> Draw:
        data.frames(draw)
        return draw

    order = [data.draw(number).example for number in range(count)]
    place = order.index(bad)
    taken = data.readable(place, read)
    assert taken == replace(data.draw(place), example=order[(place + 1) % count])
    assert data.readable(place, read) == taken
    assert data.readable((place + 1) % count, read).example == order[(place + 1) % count]
    assert len(told) == 1
    assert "broken.mp4" in told[0]
    fresh = data_of(*examples)  # another process, that has not met it before
    assert fresh.readable(place, lambda draw: (fresh.frames(draw), draw)[1]) == taken


def test_too_many_unreadable_examples_end_it(folder: Path) -> None:
    told: list[str] = []
    data = data_of(*many(folder, 100, *range(30)), on_fault=told.append)
    with pytest.raises(
        InputError, match=r"^2 of 100 examples cannot be read, more than 1%; the last one: .*broken"
    ):
        [data.readable(number, data.frames) for number in range(100)]
    assert len(told) == 2
    alone = data_of(*many(folder, 1, 0))
    with pytest.raises(InputError, match="of 1 examples cannot be read"):
        alone.readable(5, alone.frames)
    with pytest.raises(
        InputError, match="of 1 examples cannot be read"
    ):  # and still when it is asked again
        alone.readable(6, alone.frames)


def test_a_mask_that_does_not_fit_is_told(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="not of one size"):
        data_of(example(folder, mask=tmp_path / "small.png")).image_prompt(at(0))
    with pytest.raises(InputError, match="there is no mask|cannot be read"):
        data_of(example(folder, mask=tmp_path / "none.png")).prompt_key(at(0))
    with pytest.raises(InputError, match="outside of the frame"):
        data_of(example(folder, box=(90.0, 90.0, 99.0, 99.0))).image_prompt(at(0))
    assert BOX[2] < 90


def test_settings_that_mean_nothing_are_refused(folder: Path) -> None:
    for wrong in (
        {"num_frames": 0},
        {"frame_interval": 0},
        {"size": 0},
        {"windows": -1},
        {"text_drop": 1.5},
    ):
        with pytest.raises(UsageError):
            ClipSettings(**wrong)
    with pytest.raises(UsageError, match="no example"):
        RealData([], SETTINGS, 1, 4)
    with pytest.raises(UsageError, match="at least one example"):
        RealData([example(folder)], SETTINGS, 1, 0)
