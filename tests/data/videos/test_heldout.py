"""The held-out split is a rule: these ids must never change sides."""

from __future__ import annotations

from vbbench.core.paths import prompts_dir
from vbbench.data.videos.heldout import HELD_OUT, PAIRS, is_held_out, list_digest, split_of

FIRST_HELD_OUT = [1000138, 1000203, 1000222, 1000238, 1000246, 1000253, 1000399]


def test_about_as_many_are_held_out_as_in_the_paper() -> None:
    held = sum(is_held_out(f"{number}") for number in range(PAIRS))
    assert abs(held - HELD_OUT) < 4 * HELD_OUT**0.5


def test_the_rule_never_changes() -> None:
    held = [number for number in range(1_000_000, 1_000_400) if is_held_out(str(number))]
    assert held == FIRST_HELD_OUT
    assert split_of(str(held[0])) == split_of(f" {held[0]} ") == "heldout"
    assert split_of("1000000") == "train"
    text = (prompts_dir() / "videobooth" / "README.md").read_text("utf-8")
    assert ", ".join(map(str, held)) in text


def test_digest_of_a_list_knows_no_order() -> None:
    assert list_digest(["b", "a"]) == list_digest(["a", "b"]) != list_digest(["a"])
