"""Bars of where time goes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import matplotlib
import pytest

from tests.profiling.made import record, row
from vbbench.profiling.record import Section
from vbbench.report.profile.drawing import STYLE
from vbbench.report.profile.pictures import draw, ladder, parts

SECTION = Section("step", True, "float32", False)
RUNGS = [
    row("small", "released", 0.4, ratio_released=1.0),
    row("small", "without doubled keys", 0.2, ratio_released=2.0),
    row("small", "production", 0.1, ratio_released=4.0, chosen=True),
    row("large", "released", 9.0, ratio_released=1.0),
]
DIVIDED = [
    row("small", "released", 0.4, seconds_by_kind={"attention": 0.3, "other": 0.1}),
    row("small", "production", 0.1, seconds_by_kind={"attention": 0.02, "other": 0.08}),
]


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    """Words stay words in the drawing."""
    with matplotlib.rc_context(dict(STYLE)):
        yield


def test_a_bar_a_rung_of_the_first_case() -> None:
    picture = ladder(SECTION, RUNGS)
    assert picture is not None
    assert picture.name == "ladder-float32"
    for words in (
        "400  1.00x",
        "200  2.00x",
        "100  4.00x",
        "without doubled keys",
        "Milliseconds, small",
    ):
        assert words in picture.svg
    assert "large" not in picture.svg


def test_time_is_divided_by_kind() -> None:
    picture = parts(SECTION, DIVIDED)
    assert picture is not None
    assert {"attention", "other", "released", "production"} <= set(
        re.findall(r">([a-z]+)<", picture.svg)
    )


def test_rows_that_do_not_tell_have_no_bars() -> None:
    assert ladder(SECTION, [row("small", "merge", 1.0)]) is None
    assert ladder(SECTION, RUNGS[:1]) is None
    assert parts(SECTION, [row("small", "merge", 1.0)]) is None
    assert parts(SECTION, [row("small", "merge", 1.0, seconds_by_kind="all of it")]) is None


def test_they_are_among_the_pictures() -> None:
    assert {picture.name for picture in draw(record([*RUNGS, *DIVIDED]))} >= {
        "ladder-float32",
        "parts-float32",
    }
