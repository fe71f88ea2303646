"""Numbers on the command line."""

from __future__ import annotations

import argparse

import pytest

from vbbench import cli
from vbbench.cli.options import finite, positive, seed


def test_good_numbers_are_read() -> None:
    assert (positive("3"), seed("0"), finite("-1.5")) == (3, 0, -1.5)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (positive, "0", "must be at least 1, not 0"),
        (positive, "x", "invalid int value: 'x'"),
        (seed, "-1", "must be at least 0, not -1"),
        (finite, "nan", "must be finite, not nan"),
        (finite, "inf", "must be finite, not inf"),
        (finite, "x", "invalid float value: 'x'"),
    ],
)
def test_wrong_numbers_are_told(kind: type, text: str, sentence: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=sentence):
        kind(text)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--threads", "-1"],
        ["run", "--steps", "0"],
        ["run", "--batch-size", "0"],
        ["run", "--guidance", "nan"],
        ["sample", "--threads", "0"],
        ["sample", "--guidance", "inf"],
        ["sample", "--seed", "-1"],
        ["train", "clip", "--steps", "0"],
        ["train", "clip", "--workers", "0"],
        ["world", "show", "--seed", "-1"],
    ],
    ids=" ".join,
)
def test_commands_refuse_them_before_they_start(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(f"vbbench: argument {words[-2]}: must be ")
