"""Reference rows: what each shows, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vbbench.errors import InputError
from vbbench.media.video import write_video_lossless
from vbbench.models.references import (
    FLICKER_GAIN,
    Flicker,
    OtherIndividual,
    RealVideo,
    ShuffledFrames,
    StillImage,
)
from vbbench.types import PromptItem, SamplingParams, Subject, Video

PARAMS = SamplingParams(
    num_frames=6, size=16, fps=5, num_inference_steps=1, guidance_scale=1.0, scheduler="ddim"
)


def model(kind: type) -> object:
    return kind({"scale": "mini"}, device="cpu", folder=Path())


@pytest.fixture
def clip() -> Video:
    return Video(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8), fps=5)


@pytest.fixture
def item(tmp_path: Path, clip: Video) -> PromptItem:
    """An item whose image prompt is a red square, with both videos."""
    picture = np.full((16, 16, 3), 255, np.uint8)
    picture[4:12, 4:12] = (200, 30, 30)
    Image.fromarray(picture).save(tmp_path / "dog.png")
    write_video_lossless(tmp_path / "real.mkv", clip)
    write_video_lossless(tmp_path / "other.mkv", Video(255 - clip.frames, 5))
    subject = Subject("dog-0", "dog", tmp_path / "dog.png")
    return PromptItem(
        "dog-0-0",
        subject,
        "a dog",
        "dog",
        1,
        2,
        reference_video=tmp_path / "real.mkv",
        other_video=tmp_path / "other.mkv",
    )


def test_real_video_is_the_file(item: PromptItem, clip: Video) -> None:
    (video,) = model(RealVideo).generate([item], PARAMS)
    np.testing.assert_array_equal(video.frames, clip.frames)
    assert video.fps == 5


def test_other_individual_is_the_other_file(item: PromptItem, clip: Video) -> None:
    (video,) = model(OtherIndividual).generate([item], PARAMS)
    np.testing.assert_array_equal(video.frames, 255 - clip.frames)


@pytest.mark.parametrize("size", [16, 32])
def test_still_image_is_the_image_prompt_held(item: PromptItem, size: int) -> None:
    params = dataclasses.replace(PARAMS, size=size)
    (video,) = model(StillImage).generate([item], params)
    assert video.frames.shape == (6, size, size, 3)
    assert video.frames.dtype == np.uint8
    assert video.fps == 5
    assert (video.frames == video.frames[:1]).all()
    np.testing.assert_array_equal(video.frames[0, size // 2, size // 2], (200, 30, 30))
    np.testing.assert_array_equal(video.frames[0, 0, 0], (255, 255, 255))


def frame_order(shuffled: np.ndarray, original: np.ndarray) -> list[int]:
    return [next(i for i, frame in enumerate(original) if (frame == one).all()) for one in shuffled]


def test_shuffled_frames_are_all_frames_in_another_order(item: PromptItem, clip: Video) -> None:
    orders = set()
    for seed in range(20):
        (video,) = model(ShuffledFrames).generate([dataclasses.replace(item, seed=seed)], PARAMS)
        order = frame_order(video.frames, clip.frames)
        assert sorted(order) == list(range(6))
        assert order != list(range(6))
        orders.add(tuple(order))
    assert len(orders) > 10


def test_the_shuffle_depends_on_the_item_alone(item: PromptItem) -> None:
    other = dataclasses.replace(item, id="another", seed=77)
    together = model(ShuffledFrames).generate([other, item], PARAMS)
    (alone,) = model(ShuffledFrames).generate([item], PARAMS)
    np.testing.assert_array_equal(together[1].frames, alone.frames)


def test_two_frames_are_always_swapped(item: PromptItem, clip: Video) -> None:
    write_video_lossless(item.reference_video, Video(clip.frames[:2], 5))
    for seed in range(8):
        (video,) = model(ShuffledFrames).generate([dataclasses.replace(item, seed=seed)], PARAMS)
        np.testing.assert_array_equal(video.frames, clip.frames[[1, 0]])


@pytest.mark.parametrize(
    ("kind", "lacking", "words"),
    [
        (RealVideo, "reference_video", "no real video"),
        (ShuffledFrames, "reference_video", "no real video"),
        (OtherIndividual, "other_video", "no video of another individual"),
    ],
)
def test_an_item_without_the_video_is_told(
    item: PromptItem, kind: type, lacking: str, words: str
) -> None:
    with pytest.raises(InputError, match=f"dog-0-0 has {words}"):
        model(kind).generate([dataclasses.replace(item, **{lacking: None})], PARAMS)


def test_a_picture_that_is_none_is_told(item: PromptItem) -> None:
    item.image.write_bytes(b"no picture")
    with pytest.raises(InputError):
        model(StillImage).generate([item], PARAMS)


def test_flicker_changes_the_brightness_of_whole_frames(item: PromptItem, clip: Video) -> None:
    grey = Video(np.full((200, 16, 16, 3), 100, np.uint8), 5)
    write_video_lossless(item.reference_video, grey)
    (video,) = model(Flicker).generate([item], PARAMS)
    assert all(len(np.unique(frame)) == 1 for frame in video.frames)
    assert video.frames[:, 0, 0, 0].std() / 100 == pytest.approx(FLICKER_GAIN, rel=0.2)
    np.testing.assert_array_equal(video.frames, model(Flicker).generate([item], PARAMS)[0].frames)
