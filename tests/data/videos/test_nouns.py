"""The subject's noun in a caption."""

from __future__ import annotations

import pytest

from vbbench.data.videos.nouns import Noun, check_classes, find_noun
from vbbench.errors import UsageError


@pytest.mark.parametrize(
    ("caption", "class_name", "word"),
    [
        ("A Dog runs.", "dog", "dog"),
        ("two puppies, playing", "dog", "puppies"),
        ("Ponies graze", "horse", "ponies"),
        ("Giant panda bear eats bamboo", "panda", "panda bear"),
        ("a polar bear on the ice", "bear", "bear"),
        ("The lioness hunts a horse", "lion", "lioness"),
        ("red sports-car in the city", "car", "sports-car"),
        ("hot dog for a cat", "cat", "cat"),
        ("Elephants; aerial shot", "elephant", "elephants"),
        ("the dog's ball", "dog", "dog"),
    ],
)
def test_nouns(caption: str, class_name: str, word: str) -> None:
    assert find_noun(caption) == Noun(class_name, word)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a cart of carpets",
        "category",
        "a hot dog",
        "sea lions on a rock",
        "cable car",
        "the bearing",
        "catfish",
        "teddy bears",
        "seahorse",
    ],
)
def test_no_nouns(caption: str) -> None:
    assert find_noun(caption) is None


def test_classes_can_be_chosen_and_added() -> None:
    assert find_noun("a dog and a cat", ("cat",)) == Noun("cat", "cat")
    assert find_noun("two foxes", ("dog", "fox")) == Noun("fox", "foxes")
    assert find_noun("a teddy bear", ("teddy bear",)) == Noun("teddy bear", "teddy bear")
    assert check_classes(["dog", "dog"]) == ("dog",)
    for wrong in ([], ["Dog"], ["../x"], ["dog|cat"]):
        with pytest.raises(UsageError):
            check_classes(wrong)
