"""Intervals against scipy and against what they promise; differences and ranks by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vbbench.report import statistics
from vbbench.report.statistics import Estimate, expanded_tail, mean_with_interval, paired_difference, rank_groups


def names(count: int) -> list[str]:
    return [f"dog-{number}" for number in range(count)]


def test_mean_is_over_items_and_interval_over_individuals() -> None:
    found = mean_with_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 20.0], [*names(6), "dog-0"])
    assert found.mean == pytest.approx(41 / 7)
    assert (found.items, found.clusters) == (7, 6)


def test_interval_is_scipys_bootstrap_of_the_individuals_means() -> None:
    rng = np.random.default_rng(5)
    means = rng.normal(0.6, 0.1, 24)
    clips = np.concatenate([means - 0.05, means + 0.05])  # two clips an individual: its mean is the individual's
    found = mean_with_interval(list(clips), names(24) * 2)
    tail = expanded_tail(24, 0.95)
    theirs = stats.bootstrap((means,), np.mean, n_resamples=50_000, confidence_level=1 - 2 * tail, method="percentile", rng=rng)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.003)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.003)


def test_clips_of_one_individual_are_not_independent() -> None:
    rng = np.random.default_rng(2)
    means = np.repeat(rng.normal(0, 1, 10), 8)
    grouped = mean_with_interval(list(means), [name for name in names(10) for _ in range(8)])
    pretended = mean_with_interval(list(means), names(80))
    assert grouped.high - grouped.low > 2 * (pretended.high - pretended.low)


def test_coverage_with_nine_individuals_is_what_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = plain = 0
    for _ in range(400):
        values = rng.normal(0, 1, 9)
        found = mean_with_interval(list(values), names(9))
        hits += found.low <= 0 <= found.high
        draws = statistics._resamples(9, statistics.RESAMPLES, statistics.SEED) @ values / 9
        low, high = np.quantile(draws, [0.025, 0.975])
        plain += low <= 0 <= high
    assert 0.92 <= hits / 400 <= 0.98
    assert plain < hits


def test_tail_tends_to_two_and_a_half_percent() -> None:
    assert expanded_tail(9, 0.95) == pytest.approx(0.0072, abs=2e-4)
    assert expanded_tail(100_000, 0.95) == pytest.approx(0.025, abs=1e-4)


def test_same_numbers_same_interval() -> None:
    values = list(np.random.default_rng(3).normal(size=12))
    first = mean_with_interval(values, names(12))
    statistics._resamples.cache_clear()
    assert mean_with_interval(values, names(12)) == first


def test_equal_values_have_an_interval_without_width() -> None:
    assert mean_with_interval([0.1] * 6, names(6)) == Estimate(0.1, 0.1, 0.1, 6, 6)


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_individuals_have_a_mean_but_no_interval(count: int) -> None:
    found = mean_with_interval([0.5] * count, names(count))
    assert found.mean == 0.5
    assert found.low is None
    assert found.sign == 0


def test_no_value_has_no_mean() -> None:
    assert mean_with_interval([], []) == Estimate(None, None, None, 0, 0)


@pytest.mark.parametrize(("values", "clusters"), [([1.0], []), ([float("nan")], ["dog"])])
def test_bad_input_is_refused(values: list[float], clusters: list[str]) -> None:
    with pytest.raises(ValueError, match="clusters|finite"):
        mean_with_interval(values, clusters)


def test_paired_difference_is_over_shared_items() -> None:
    cluster_of = {f"i{number}": name for number, name in enumerate(names(6))}
    ours = {item: 1.0 + number for number, item in enumerate(cluster_of)}
    theirs = {item: value - 0.25 for item, value in ours.items() if item != "i0"}
    found = paired_difference(ours, theirs, cluster_of)
    assert (found.mean, found.low, found.high, found.items) == (0.25, 0.25, 0.25, 5)
    assert found.sign == 1


def test_rounding_tells_nothing_apart() -> None:
    cluster_of = {f"i{number}": name for number, name in enumerate(names(6))}
    ours = dict.fromkeys(cluster_of, 0.1 + 0.2)
    theirs = dict.fromkeys(cluster_of, 0.3)
    assert paired_difference(ours, theirs, cluster_of).sign == 0


def ranked(higher_is_better: bool, count: int = 8) -> dict[str, int | None]:
    cluster_of = {f"i{number}": name for number, name in enumerate(names(count))}
    noise = np.random.default_rng(4).normal(0, 0.1, count)
    values = {
        "clear": dict.fromkeys(cluster_of, 2.0),
        "twin": dict(zip(cluster_of, 1.0 + noise, strict=True)),
        "other twin": dict(zip(cluster_of, 1.0 - noise, strict=True)),
        "last": dict.fromkeys(cluster_of, 0.0),
    }
    return rank_groups(values, cluster_of, higher_is_better=higher_is_better)


def test_models_that_nothing_tells_apart_share_a_rank() -> None:
    assert ranked(True) == {"clear": 1, "twin": 2, "other twin": 2, "last": 4}
    assert ranked(False) == {"clear": 4, "twin": 2, "other twin": 2, "last": 1}


def test_too_few_individuals_have_no_rank() -> None:
    assert set(ranked(True, count=4).values()) == {None}


def test_a_single_model_has_no_rank() -> None:
    assert rank_groups({"only": {"i0": 1.0}}, {"i0": "dog"}, higher_is_better=True) == {"only": None}
