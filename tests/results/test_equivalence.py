"""Two one-sided tests against statsmodels; false "equivalent" by simulation; undecided is never
read as equal."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from vbbench.results.clustered import clustered_means
from vbbench.results.statistics import DIFFERENT, EQUIVALENT, UNDECIDED, equivalence


def names(count: int, clips: int = 1) -> list[str]:
    return [f"dog-{number % count}" for number in range(count * clips)]


def test_far_from_the_margin_it_is_statsmodels() -> None:
    """Where no resample reaches as far, p is Student's alone."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.5, 0.1, 45), rng.normal(0.5, 0.1, 45)
    found = equivalence(list(ours - theirs), names(45), 0.12)
    assert found.p == pytest.approx(ttost_paired(ours, theirs, -0.12, 0.12)[0], rel=1e-9)
    assert 0 < found.p < 1e-4
    assert found.verdict == EQUIVALENT


@pytest.mark.parametrize("clips", [1, 2])
def test_p_is_at_least_statsmodels_and_near_it(clips: int) -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(0.02, 0.1, (clips, 30)), rng.normal(0, 0.1, (clips, 30))
    found = equivalence(list((ours - theirs).ravel()), names(30, clips), (-0.06, 0.05))
    reference = ttost_paired(ours.mean(axis=0), theirs.mean(axis=0), -0.06, 0.05)[0]
    assert reference <= found.p * (1 + 1e-9)
    assert found.p == pytest.approx(reference, abs=0.02)


def test_equivalent_is_the_90_percent_interval_inside_the_margin() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        found = equivalence(list(rng.exponential(0.1, 12) - 0.1), names(12), 0.07)
        within = found.difference.low > -0.07 and found.difference.high < 0.07
        assert (found.verdict == EQUIVALENT) == within
        inside += within
    assert 20 < inside < 180


@pytest.mark.parametrize("count", [9, 45])
@pytest.mark.parametrize("skew", [-1, 0, 1])
def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent(
    count: int, skew: int
) -> None:
    """At the margin itself at most 5 % may be, as far as 2,000 draws tell; with 9 of a long tail it
    is 7 %, by Student's alone 12 %."""
    rng = np.random.default_rng(3)
    draws = (
        rng.normal(0, 1, (count, 2000))
        if not skew
        else skew * (1 - rng.beta(1, 8, (count, 2000)) - 8 / 9) * 10
    )
    p = np.concatenate(
        [clustered_means(part, np.ones(count)).p_below(0.0) for part in np.split(draws, 50, axis=1)]
    )
    assert (p <= 0.05).mean() <= (0.06 if count == 45 or skew >= 0 else 0.085)


def test_noise_leads_to_undecided_never_to_equivalent() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0, 0.01, 20)
    quiet, noisy = (equivalence(list(values * factor), names(20), 0.01) for factor in (1, 20))
    assert (quiet.verdict, noisy.verdict) == (EQUIVALENT, UNDECIDED)
    assert noisy.p > 0.05 < noisy.p_difference


def test_a_clear_difference_is_different_and_a_clear_but_tiny_one_is_equivalent() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0.05, 0.01, 20)
    large, tiny, between = (
        equivalence(list(values), names(20), margin) for margin in (0.01, 0.2, 0.05)
    )
    assert (large.verdict, large.beyond) == (DIFFERENT, True)
    assert (tiny.verdict, tiny.beyond) == (EQUIVALENT, False)
    assert (between.verdict, between.beyond) == (DIFFERENT, False)
    assert tiny.p_difference < 1e-6
    below = equivalence(list(-values), names(20), 0.01)
    assert (below.verdict, below.beyond) == (DIFFERENT, True)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_individuals_decide_nothing(count: int) -> None:
    found = equivalence([0.0] * count * 3, names(count, 3), 0.1)
    assert (found.verdict, found.p, found.p_difference, found.beyond) == (
        UNDECIDED,
        None,
        None,
        False,
    )
    assert found.difference.low is None
    assert found.difference.mean == (0.0 if count else None)


def test_equal_differences_are_decided_by_where_they_lie() -> None:
    assert equivalence([0.0] * 6, names(6), 0.01).verdict == EQUIVALENT
    assert equivalence([0.02] * 6, names(6), 0.01).verdict == DIFFERENT
    assert (
        equivalence([0.01] * 6, names(6), 0.01).verdict == DIFFERENT
    )  # the margin itself is outside
    assert equivalence([0.1 + 0.2 - 0.3] * 6, names(6), 0.01).p_difference == 1.0


def test_clips_of_one_individual_are_not_independent() -> None:
    values = np.repeat([-0.05, 0.04, 0.06, -0.03, -0.06, 0.05], 10)
    dogs = [f"dog-{number // 10}" for number in range(60)]
    assert equivalence(list(values), dogs, 0.03).verdict == UNDECIDED
    assert equivalence(list(values), names(60), 0.03).verdict == EQUIVALENT


@pytest.mark.parametrize(
    ("differences", "clusters", "margin", "words"),
    [
        ([0.0], ["a"], 0.0, "margin"),
        ([0.0], ["a"], -1.0, "margin"),
        ([0.0], ["a"], (0.1, 0.2), "margin"),
        ([0.0], ["a"], float("inf"), "margin"),
        ([0.0], ["a"], float("nan"), "margin"),
        ([0.0], ["a", "b"], 1.0, "clusters"),
        ([float("nan")], ["a"], 1.0, "finite"),
    ],
)
def test_bad_input_is_refused(
    differences: list[float], clusters: list[str], margin: object, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        equivalence(differences, clusters, margin)  # type: ignore[arg-type]
