"""Means and paired differences by hand; how often their intervals hold the truth is counted in
test_coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vbbench.results.statistics import Estimate, mean_with_interval, paired_difference


def names(count: int) -> list[str]:
    return [f"dog-{number}" for number in range(count)]


def test_mean_is_over_items_and_interval_over_individuals() -> None:
    found = mean_with_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 20.0], [*names(6), "dog-0"])
    assert found.mean == pytest.approx(41 / 7)
    assert (found.items, found.clusters) == (7, 6)


def test_interval_is_students_or_longer_and_not_much() -> None:
    rng = np.random.default_rng(5)
    means = rng.normal(0.6, 0.1, 24)
    clips = np.concatenate(
        [means - 0.05, means + 0.05]
    )  # two clips an individual: its mean is the individual's
    found = mean_with_interval(list(clips), names(24) * 2)
    theirs = stats.ttest_1samp(means, 0).confidence_interval()
    assert theirs.low - 0.01 < found.low <= theirs.low + 1e-9
    assert theirs.high - 1e-9 <= found.high < theirs.high + 0.01


def test_clips_of_one_individual_are_not_independent() -> None:
    rng = np.random.default_rng(2)
    means = np.repeat(rng.normal(0, 1, 10), 8)
    grouped = mean_with_interval(list(means), [name for name in names(10) for _ in range(8)])
    pretended = mean_with_interval(list(means), names(80))
    assert grouped.high - grouped.low > 2 * (pretended.high - pretended.low)


def test_interval_ends_where_values_do() -> None:
    values = [0.99, 0.98, 0.999, 0.9, 0.97, 0.995]
    free, cut = (
        mean_with_interval(values, names(6)),
        mean_with_interval(values, names(6), (-1.0, 1.0)),
    )
    assert free.high > 1
    assert (cut.low, cut.high) == (free.low, 1.0)
    assert mean_with_interval(values[:3], names(3), (-1.0, 1.0)).high is None
    assert mean_with_interval(values, names(6), (-1.0, 0.5)).high == 0.999


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
