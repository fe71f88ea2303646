"""Numbers and names as people read them."""

from __future__ import annotations

import pytest

from tests.results.synthetic import spec
from vbbench.report.items import split_at_word
from vbbench.results import formatting


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.12345, False, "0.123"),
        (-0.5, False, "\N{MINUS SIGN}0.500"),
        (0.5, True, "+0.500"),
        (-0.0001, False, "0.000"),
        (None, False, "—"),
    ],
)
def test_number(value: float | None, signed: bool, text: str) -> None:
    assert formatting.number(value, 3, signed=signed) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0412, "0.041"), (0.412, "0.41"), (4.12, "4.1"), (41.2, "41"), (None, "—")],
)
def test_seconds(value: float | None, text: str) -> None:
    assert formatting.seconds(value) == text


def test_decimals_follow_the_largest_number() -> None:
    assert [formatting.decimals_for(values) for values in ([], [0.1, -9.9], [12.0], [123.0])] == [
        3,
        3,
        2,
        1,
    ]


def test_counts_and_lists() -> None:
    assert (formatting.count(1, "item"), formatting.count(2, "item")) == ("1 item", "2 items")
    assert [formatting.listed(names) for names in ([], ["a"], ["a", "b", "c"])] == [
        "",
        "a",
        "a, b and c",
    ]


def test_metric_titles() -> None:
    titles = [
        formatting.metric_title(name)
        for name in ("clip-text", "dino", "temporal-consistency", "true-identity")
    ]
    assert titles == ["CLIP-Text", "DINO", "Temporal consistency", "True identity"]


def test_a_spec_is_told_in_words() -> None:
    told = dict(formatting.spec_words(spec("pace", bounds=(0.0, float("inf")))))
    assert told["Unit"] == "cosine, from 0 to no bound; higher is better"
    assert told["Formula"] == "mean of cosines"
    assert told["Rate"] == "as each video has it"
    assert "Encoder" not in told


@pytest.mark.parametrize(
    ("text", "word", "parts"),
    [
        ("a dog runs", "dog", ("a ", "dog", " runs")),
        ("a hotdog and a Dog", "dog", ("a hotdog and a ", "Dog", "")),
        ("nobody", "dog", ("nobody", "", "")),
        ("a dog", "", ("a dog", "", "")),
    ],
)
def test_the_subject_word_is_found(text: str, word: str, parts: tuple[str, str, str]) -> None:
    assert split_at_word(text, word) == parts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, formatting.NOTHING),
        (40, "40"),
        (12.5, "12.5"),
        (6300, "6\N{THIN SPACE}300"),
        (2_300_000, "2.3 million"),
    ],
)
def test_amounts(value: float | None, text: str) -> None:
    assert formatting.amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, formatting.NOTHING),
        (0, "0 B"),
        (512, "512 B"),
        (1300, "1.3 kB"),
        (13_400, "13 kB"),
        (2.1e6, "2.1 MB"),
    ],
)
def test_file_sizes(value: float | None, text: str) -> None:
    assert formatting.file_size(value) == text


def test_restriction_to_the_first_prompts() -> None:
    assert formatting.restriction(None) == ""
    assert formatting.restriction(1) == "first 1 prompt of each individual only"
    assert formatting.restriction(2) == "first 2 prompts of each individual only"
