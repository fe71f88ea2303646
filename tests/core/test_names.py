"""What is said to a wrong name."""

from __future__ import annotations

import pytest

from vbbench.core.names import closest, names_in, nearest, nearest_sentence


def test_names_in_a_list() -> None:
    assert names_in(" a,b , ,c,") == ["a", "b", "c"]
    assert names_in("") == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dinno", "did you mean 'dino'?"),
        ("DINO", "did you mean 'dino'?"),
        ("xyz", "known are clip, dino."),
    ],
)
def test_the_nearest_or_all(name: str, said: str) -> None:
    assert nearest(name, ("dino", "clip", "dino")) == said
    assert nearest_sentence(name, ("dino", "clip")).lower() == said.lower()


def test_where_nothing_is_known() -> None:
    assert nearest("a", ()) == "none is known."
    assert nearest_sentence("a", ()) == "None is known."


def test_how_like_it_must_be() -> None:
    assert closest("dog-0-baech", ("dog-0-beach", "cat-0-beach")) == "dog-0-beach"
    assert closest("notes", ("dog-0-beach",)) is None
    assert closest("clap", ("clip",), similarity=0.75) == "clip"
    assert closest("clap", ("clip",), similarity=0.9) is None
