"""Words to numbers."""

from __future__ import annotations

import pytest

from vbbench.data.world import (
    CLASSES,
    MOTIONS,
    SCENES,
    VOCABULARY,
    caption,
    individual,
    rich_caption,
)
from vbbench.errors import InputError
from vbbench.metrics.encoders.tokenizer import WordTokenizer


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer(("a", "cat", "dog", "on", "grass", "the"), context_length=8)


def test_start_words_end_padding(tokenizer: WordTokenizer) -> None:
    assert tokenizer("A dog, on the grass.") == [1, 2, 4, 5, 7, 6, 8, 0]
    assert tokenizer.vocab_size == 9


def test_unseen_words_are_named(tokenizer: WordTokenizer) -> None:
    with pytest.raises(InputError, match="'zebra', 'unicorn'"):
        tokenizer("a zebra on the unicorn")


@pytest.mark.parametrize("text", ["", "  ", "12 34", "a dog on the grass on the grass"])
def test_texts_that_cannot_be_read_are_refused(tokenizer: WordTokenizer, text: str) -> None:
    with pytest.raises(InputError):
        tokenizer(text)


def test_every_caption_of_the_world_can_be_read() -> None:
    tokenizer = WordTokenizer(VOCABULARY, 20)
    for name in CLASSES:
        for scene in SCENES:
            for motion in MOTIONS:
                for text in (
                    caption(name, scene, motion),
                    "a photo of " + rich_caption(individual("val", name, 0), scene, motion),
                ):
                    assert len(tokenizer(text)) == 20
