"""Numbers of individuals against statsmodels, and against how often the report's own test sees the
difference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from vbbench.results.clustered import clustered_means
from vbbench.results.power import (
    individuals_needed,
    pilot,
    power_to_see,
    smallest_difference,
    spread_factors,
)


@pytest.mark.parametrize("comparisons", [1, 6])
@pytest.mark.parametrize("individuals", [5, 9, 45, 300])
def test_smallest_difference_is_statsmodels(individuals: int, comparisons: int) -> None:
    theirs = TTestPower().solve_power(None, individuals, 0.05 / comparisons, 0.8)
    assert smallest_difference(2.5, individuals, comparisons=comparisons) == pytest.approx(
        2.5 * theirs, rel=1e-3
    )


@pytest.mark.parametrize("comparisons", [1, 6, 190])
@pytest.mark.parametrize("effect", [0.05, 0.2, 0.5, 0.9])
def test_number_of_individuals_is_statsmodels(effect: float, comparisons: int) -> None:
    """By its power, not by its solver, which gives 500 for an effect of 0.2 and 190 comparisons and
    is 11 short."""
    number = individuals_needed(effect * 0.03, 0.03, comparisons=comparisons)
    theirs = [
        TTestPower().power(effect, n, 0.025 / comparisons, alternative="larger")
        for n in (number - 1, number)
    ]
    assert theirs[0] < 0.8 <= theirs[1]


def test_number_is_the_smallest_that_is_enough() -> None:
    number = individuals_needed(0.02, 0.05, power=0.9)
    assert power_to_see(0.02, 0.05, number) >= 0.9 > power_to_see(0.02, 0.05, number - 1)
    assert (
        smallest_difference(0.05, number, power=0.9)
        <= 0.02
        < smallest_difference(0.05, number - 1, power=0.9)
    )


@pytest.mark.parametrize(
    ("individuals", "comparisons", "least", "most"),
    [(9, 1, 0.66, 0.72), (9, 6, 0.59, 0.66), (45, 1, 0.77, 0.82), (45, 6, 0.74, 0.80)],
)
def test_the_reports_own_test_is_stricter_with_few(
    individuals: int, comparisons: int, least: float, most: float
) -> None:
    """Planned for 80 %, two clips an individual, normal, 2,000 times: what `vbbench power` says
    beside its table."""
    difference = smallest_difference(1.0, individuals, comparisons=comparisons)
    rng = np.random.default_rng(1)
    clips = (
        rng.normal(0, np.sqrt(0.5), (individuals, 2000))
        + rng.normal(0, 1, (2, individuals, 2000))
        + difference
    )
    parts = np.split(clips.sum(axis=0), 50, axis=1)
    seen = np.concatenate(
        [
            2 * clustered_means(part, np.full(individuals, 2.0)).p_above() <= 0.05 / comparisons
            for part in parts
        ]
    )
    students = (
        stats.ttest_1samp(clips.mean(axis=0), 0, alternative="greater").pvalue
        <= 0.025 / comparisons
    )
    assert students.mean() == pytest.approx(0.8, abs=0.025)
    assert least <= seen.mean() <= min(most, students.mean())


def test_pilot_by_hand() -> None:
    cluster_of = {f"i{number}": f"dog-{number % 6}" for number in range(12)}
    rng = np.random.default_rng(2)
    ours, theirs = ({item: float(rng.normal()) for item in cluster_of} for _ in range(2))
    found = pilot(ours, theirs, cluster_of)
    by_dog = [
        np.mean(
            [ours[item] - theirs[item] for item, dog in cluster_of.items() if dog == f"dog-{n}"]
        )
        for n in range(6)
    ]
    assert found.difference == pytest.approx(np.mean(by_dog))
    assert found.spread == pytest.approx(np.std(by_dog, ddof=1))
    assert (found.individuals, found.items, found.clips) == (6, 12, 2.0)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_pilots_of_too_few_have_no_spread(count: int) -> None:
    cluster_of = {f"i{number}": f"dog-{number}" for number in range(count)}
    found = pilot(dict.fromkeys(cluster_of, 1.0), dict.fromkeys(cluster_of, 0.5), cluster_of)
    assert (found.spread, found.individuals) == (None, count)
    assert found.difference == (0.5 if count else None)
    assert found.clips == (1.0 if count else 0.0)


def test_without_spread_everything_is_seen() -> None:
    assert smallest_difference(0.0, 9) == 0
    assert individuals_needed(1e-9, 0.0) == 5
    assert power_to_see(1e-9, 0.0, 5) == 1


def test_never_fewer_than_have_an_interval() -> None:
    assert individuals_needed(1000.0, 1.0) == 5


def test_large_numbers_are_found_or_refused() -> None:
    assert individuals_needed(0.001, 1.0) == pytest.approx(
        (1.959964 + 0.841621) ** 2 * 1e6, rel=1e-4
    )
    with pytest.raises(ValueError, match="more than 10,000,000"):
        individuals_needed(1e-9, 1.0)


def test_spread_of_few_is_itself_uncertain() -> None:
    low, high = spread_factors(9)
    spreads = np.random.default_rng(0).normal(0, 1, (20_000, 9)).std(axis=1, ddof=1)
    assert ((spreads * low <= 1) & (spreads * high >= 1)).mean() == pytest.approx(0.95, abs=0.006)


@pytest.mark.parametrize(
    ("difference", "power"),
    [
        (0.0, 0.8),
        (-1.0, 0.8),
        (float("nan"), 0.8),
        (float("inf"), 0.8),
        (1.0, 1.0),
        (1.0, 0.05),
        (1.0, float("nan")),
    ],
)
def test_bad_input_is_refused(difference: float, power: float) -> None:
    with pytest.raises(ValueError, match="difference|power"):
        individuals_needed(difference, 1.0, power=power)


def test_one_individual_cannot_vary() -> None:
    with pytest.raises(ValueError, match="1 individuals"):
        smallest_difference(1.0, 1)
