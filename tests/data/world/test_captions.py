"""Captions: from the vocabulary alone, in grammatical English, short enough for the text
encoder."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vbbench.data.world import (
    CLASSES,
    COLOURS,
    MOTIONS,
    SCENES,
    VOCABULARY,
    caption,
    individual,
    rich_caption,
    split_size,
)
from vbbench.data.world.captions import article
from vbbench.networks.network import WordTokenizer, mini_config

EVERY_CLIP = list(itertools.product(CLASSES, SCENES, MOTIONS))


def everything_said() -> list[str]:
    """All plain captions, with and without a colour, and rich ones of many individuals."""
    always = np.random.default_rng(0)
    texts = []
    for number, (name, scene, motion) in enumerate(EVERY_CLIP):
        person = individual("test", name, number % split_size("test", name))
        texts += [caption(name, scene, motion), rich_caption(person, scene, motion)]
        texts.append(caption(person, scene, motion, always, colour_probability=1.0))
    return texts


def test_only_words_of_the_vocabulary_are_used() -> None:
    used = {word for text in everything_said() for word in text.split()}
    assert used <= set(VOCABULARY)
    assert set(VOCABULARY) - used == {"photo", "of"}  # for image prompts: "a photo of a red dog"


def test_the_vocabulary_is_small_sorted_and_each_word_once() -> None:
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
    assert all(word == word.lower() and word.isalpha() for word in VOCABULARY)
    assert len(VOCABULARY) < 80


def test_all_captions_fit_the_text_encoder_whole() -> None:
    config = mini_config(VOCABULARY).text
    tokenizer = WordTokenizer(VOCABULARY, config.max_length)
    texts = everything_said()
    longest = max(len(text.split()) for text in texts)
    assert longest == 14 == config.max_length - 2
    ids = tokenizer(texts)
    assert (ids[:, -1] == tokenizer.end_id).all()
    for text, row in zip(texts, ids.tolist(), strict=True):
        assert [VOCABULARY[i] for i in row[1:] if i < len(VOCABULARY)] == text.split()


def test_articles() -> None:
    assert caption("elephant", "snow", "left") == "an elephant running left in the snow"
    assert caption("car", "road", "left") == "a car driving left on the road"
    assert [article(word) for word in ("orange", "elephant", "black", "dog")] == [
        "an",
        "an",
        "a",
        "a",
    ]
    for text in everything_said():
        first, second = text.split()[:2]
        assert (first == "an") == (second[0] in "aeiou")
        assert first in ("a", "an")


def test_captions_of_different_clips_differ_and_name_the_class() -> None:
    texts = [caption(*clip) for clip in EVERY_CLIP]
    assert len(set(texts)) == len(texts)
    for text, (name, _, _) in zip(texts, EVERY_CLIP, strict=True):
        assert text.split().count(name) == 1


def test_cars_drive_and_do_not_run_or_walk() -> None:
    for motion in MOTIONS:
        assert not {"running", "walking"} & set(caption("car", None, motion).split())


def test_parts_can_be_left_out() -> None:
    assert caption("cat", None, None) == "a cat"
    assert caption("cat", "room", None) == "a cat in a room"
    assert caption("cat", None, "jumping") == "a cat jumping"


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_the_colour_is_told_as_often_as_asked(probability: float) -> None:
    person, rng = individual("test", "panda", 3), np.random.default_rng(1)
    texts = [
        caption(person, "grass", "right", rng, colour_probability=probability) for _ in range(600)
    ]
    told = np.mean([person.base_name in text.split() for text in texts])
    assert told == pytest.approx(probability, abs=0.06)
    assert not any(set(COLOURS) & set(text.split()) - {person.base_name} for text in texts)


def test_without_chance_no_colour_is_told() -> None:
    assert not set(COLOURS) & set(caption(individual("test", "panda", 3), "grass", "right").split())


def test_rich_captions_tell_everything_that_words_can() -> None:
    person = individual("test", "lion", 0)
    words = rich_caption(person, "beach", "closer").split()
    assert {
        person.base_name,
        person.secondary_name,
        person.marking_name,
        person.marking,
        "lion",
        "mane",
        "beach",
        "closer",
    } <= set(words)
