"""Retrieval: a clip of the training set, chosen by words first and by looks second, and shown as it
is."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.models.tiny import PARAMS
from vbbench.data import world
from vbbench.data.world.pictures import VARIANTS, Split
from vbbench.errors import InputError
from vbbench.media.video import write_video_lossless
from vbbench.models.recipes import build_model
from vbbench.models.registry import all_recipes
from vbbench.types import PromptItem, Subject, Video

RECIPE = all_recipes()["retrieve"]
TRAIN = Split(Path(), "train", VARIANTS["models"].train, VARIANTS["models"].seed)


def build(**settings: object) -> Any:
    return build_model(
        replace(RECIPE, scales={"mini": {**RECIPE.scales["mini"], **settings}}), "mini", "cpu"
    )


@pytest.fixture
def model(tiny_weights: object) -> Any:
    return build()


def training_item(row: int, tmp_path: Path) -> tuple[PromptItem, np.ndarray]:
    """The text of a training clip and its own individual's image prompt; and the clip as the
    renderer of training data draws it."""
    clips, prompts = TRAIN.records("clips"), TRAIN.records("prompts")
    subject, scene, motion = (int(clips[name][row]) for name in ("subject", "scene", "motion"))
    person = TRAIN.individual(subject)
    first = subject * VARIANTS["models"].train.prompts
    assert prompts["subject"][first] == subject
    picture, _ = world.render_image_prompt(person, int(prompts["seed"][first]))
    Image.fromarray(picture).save(tmp_path / f"{row}.png")
    text = world.caption(person.class_name, world.SCENES[scene], world.MOTIONS[motion])
    clip, _ = world.render_clip(
        person, world.SCENES[scene], world.MOTIONS[motion], int(clips["seed"][row])
    )
    shown = Subject(f"s{row}", person.class_name, tmp_path / f"{row}.png")
    return PromptItem(f"i{row}", shown, text, person.class_name, seed=1, image_seed=2), clip


@pytest.mark.parametrize("row", [0, 1234, 5993])
def test_a_training_individual_and_its_own_caption_give_its_own_clip(
    model: Any, tmp_path: Path, row: int
) -> None:
    item, clip = training_item(row, tmp_path)
    np.testing.assert_array_equal(model.generate([item], PARAMS)[0].frames, clip)


def test_the_clip_does_what_the_text_says_and_is_of_no_held_out_individual(
    model: Any, items: Sequence[PromptItem]
) -> None:
    model.generate(items, PARAMS)
    for item in items:
        row = model._find(item, model._bank)
        caption = model._bank.captions[row]
        assert set(item.text.split()) - {"a", "an"} <= set(caption.split())
    assert model._bank._split.name == "train"
    assert max(model._bank.subjects) + 1 == TRAIN.num_subjects


def test_among_equal_words_the_most_alike_wins(
    model: Any, items: Sequence[PromptItem], tmp_path: Path
) -> None:
    """Two pictures, one text: of each its own individual, though both are running for both."""
    (one, first), rows = training_item(0, tmp_path), TRAIN.records("clips")
    told = [rows[name][0] for name in ("scene", "motion")]
    same = (
        (rows["scene"] == told[0])
        & (rows["motion"] == told[1])
        & (TRAIN.class_index[rows["subject"]] == TRAIN.class_index[0])
    )
    other_row = int(np.flatnonzero(same & (rows["subject"] != rows["subject"][0]))[0])
    other, second = training_item(other_row, tmp_path)
    assert other.text == one.text
    videos = model.generate([one, other], PARAMS)
    for video, clip in zip(videos, (first, second), strict=True):
        np.testing.assert_array_equal(video.frames, clip)


def test_an_article_is_no_word_that_counts(model: Any, items: Sequence[PromptItem]) -> None:
    words = type(model).generate.__globals__["content_words"]
    assert words("An orange cat on the beach") == {"orange", "cat", "on", "beach"}


def test_other_frames_than_the_training_had_are_refused(
    model: Any, items: Sequence[PromptItem]
) -> None:
    with pytest.raises(
        InputError, match="training clips have 8 frames of 64 pixels, and 8 of 32 were asked for"
    ):
        model.generate(items[:1], replace(PARAMS, size=32))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three clips of one colour each, the table beside them."""
    rows = []
    for name, colour, caption in (
        ("red", (220, 30, 30), "a cat runs"),
        ("blue", (30, 30, 220), "a cat runs"),
        ("dog", (0, 200, 0), "a dog"),
    ):
        picture = np.full((40, 40, 3), 255, np.uint8)
        picture[8:32, 8:32] = colour
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        write_video_lossless(
            tmp_path / f"{name}.mkv",
            Video(np.broadcast_to(np.array(colour, np.uint8), (10, 32, 32, 3)).copy(), 8),
        )
        rows.append({"video": f"{name}.mkv", "caption": caption, "image": f"{name}.png"})
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "clips.csv"


@pytest.mark.parametrize("name", ["red", "blue"])
def test_anybodys_clips_come_from_a_table(tiny_weights: object, table: Path, name: str) -> None:
    item = PromptItem(
        "x",
        Subject("x", "cat", table.parent / f"{name}.png"),
        "the cat runs",
        "cat",
        seed=0,
        image_seed=0,
    )
    (video,) = build(bank=str(table)).generate([item], PARAMS)
    assert video.frames.shape == (8, 64, 64, 3)
    assert (
        abs(
            video.frames[0, 32, 32].astype(int)
            - {"red": (220, 30, 30), "blue": (30, 30, 220)}[name]
        ).max()
        <= 2
    )


def test_a_table_that_cannot_be_used_is_told(
    tiny_weights: object, table: Path, items: Sequence[PromptItem]
) -> None:
    with pytest.raises(
        InputError,
        match="not listed at .*nowhere.csv: make it with the columns video, caption, image",
    ):
        build(bank=str(table.with_name("nowhere.csv"))).generate(items[:1], PARAMS)
    with pytest.raises(InputError, match="has 10 frames, and 12 were asked for"):
        build(bank=str(table)).generate(items[:1], replace(PARAMS, num_frames=12))
    table.write_text(table.read_text() + "x.mkv,,x.png\n")
    with pytest.raises(InputError, match="lacks a value in line 5"):
        build(bank=str(table)).generate(items[:1], PARAMS)
    table.write_text("video,caption,image\n")
    with pytest.raises(InputError, match="lists no clip"):
        build(bank=str(table)).generate(items[:1], PARAMS)
