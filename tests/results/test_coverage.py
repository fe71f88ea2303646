"""Intervals hold the true mean as often as they say: 93 to 97 % at 45 individuals, at least 90 % at
9, or the report says "too few".

The quick tests count a few shapes; ``--slow`` counts all that the report promises something of.
"""

from __future__ import annotations

import pytest

from tests.results.coverage import BEYOND, PROMISED, coverage
from vbbench.results.statistics import FEW_CLUSTERS
from vbbench.results.tables import interval_note

QUICK = (
    "near a bound, 1 - Beta(1, 8)",
    "heavy tails, t with 3",
    "2 clips each",
    "1 to 6 clips each, skewed",
)
CHANCE = 0.02  # two standard deviations of a share of 0.95 counted 500 times


OWN = ("vbbench",)


@pytest.mark.parametrize("name", QUICK)
def test_a_few_shapes(name: str) -> None:
    assert 0.93 - CHANCE <= coverage(PROMISED[name], 45, 500, OWN)["vbbench"] <= 0.97 + CHANCE
    assert coverage(PROMISED[name], 9, 500, OWN)["vbbench"] >= 0.90


def test_counting_finds_bad_intervals_out() -> None:
    skewed = coverage(PROMISED["at a bound, 1 - Beta(0.5, 5)"], 9, 500)
    assert skewed["vbbench"] >= 0.90 > skewed["student"]
    assert skewed["expanded"] < 0.91
    heavy = coverage(PROMISED["heavy tails, t with 3"], 20, 1000, ("vbbench", "studentised"))
    assert heavy["studentised"] < 0.94 < heavy["vbbench"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_shape(name: str) -> None:
    """Each share of 4,000 is off by 0.4 % (one standard deviation)."""
    assert 0.93 <= coverage(PROMISED[name], 45, 4000, OWN)["vbbench"] <= 0.97
    assert 0.92 <= coverage(PROMISED[name], FEW_CLUSTERS, 4000, OWN)["vbbench"] <= 0.97
    assert coverage(PROMISED[name], 9, 4000, OWN)["vbbench"] >= 0.90


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BEYOND)
def test_shapes_beyond_the_promise_are_what_too_few_is_said_for(name: str) -> None:
    assert coverage(BEYOND[name], 9, 4000, OWN)["vbbench"] < 0.92
    assert coverage(BEYOND[name], 45, 4000, OWN)["vbbench"] >= 0.93


@pytest.mark.parametrize(
    ("individuals", "said"),
    [(4, True), (9, True), (FEW_CLUSTERS - 1, True), (FEW_CLUSTERS, False), (45, False)],
)
def test_too_few_is_said_where_90_percent_are_not_promised(individuals: int, said: bool) -> None:
    assert interval_note(individuals).startswith("Too few individuals") == said
