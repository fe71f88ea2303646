"""Means over individuals and trainings: by hand where that can be done, by counting where it
cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.results.claims.coverage import coverage, satterthwaite_coverage
from vbbench.results.statistics import crossed_mean, paired_difference

CHANCE = 0.02  # two standard deviations of a share of 0.95 counted 500 times
DOGS = [f"dog-{n}" for n in range(12)]


def values(trainings: int = 3, spread: float = 0.5, each: int = 1) -> np.ndarray:
    rng = np.random.default_rng([trainings, each])
    own = np.repeat(rng.normal(0.3, 1, (12, 1)), each, axis=0)
    return own + rng.normal(0, 1, trainings) * spread + rng.normal(0, 0.3, (12 * each, trainings))


def test_one_training_is_the_reports_own_paired_difference() -> None:
    values_I1 = values(1, each=2)
    names = [dog for dog in DOGS for _ in range(2)]
    found = crossed_mean(values_I1, names)
    ours = {str(n): float(value) for n, value in enumerate(values_I1[:, 0])}
    expected = paired_difference(
        ours, dict.fromkeys(ours, 0.0), {str(n): name for n, name in enumerate(names)}
    )
    assert found.estimate() == expected
    assert found.p_value() == found.over_individuals.p_values()[0]


def test_the_trainings_error_is_that_of_the_two_way_analysis_of_variance() -> None:
    values_IS = values()
    individuals, trainings = values_IS.shape
    rest = (
        values_IS
        - values_IS.mean(axis=1, keepdims=True)
        - values_IS.mean(axis=0)
        + values_IS.mean()
    )
    of_training = individuals * values_IS.mean(axis=0).var(ddof=1)
    of_both = np.square(rest).sum() / ((individuals - 1) * (trainings - 1))
    found = crossed_mean(values_IS, DOGS)
    assert found.training_error == pytest.approx(
        np.sqrt((of_training - of_both) / (individuals * trainings)), rel=1e-12
    )
    assert found.mean == pytest.approx(values_IS.mean(), abs=1e-11)


def test_sides_are_squared_and_added() -> None:
    found = crossed_mean(values(), DOGS)
    (low,), (high,) = found.over_individuals.interval()
    side = stats.t.ppf(0.975, 2) * found.training_error
    assert found.mean - found.interval()[0] == pytest.approx(
        np.hypot(found.mean - low, side), abs=1e-9
    )
    assert found.interval()[1] - found.mean == pytest.approx(
        np.hypot(high - found.mean, side), abs=1e-9
    )


def test_trainings_that_differ_by_less_than_chance_widen_nothing() -> None:
    values_IS = values(spread=0.0)
    values_IS -= values_IS.mean(axis=0)
    found = crossed_mean(values_IS, DOGS)
    assert found.training_error == 0
    (low,), (high,) = found.over_individuals.interval()
    assert found.interval() == (low, high)


@pytest.mark.parametrize("trainings", [2, 3, 5])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_p_is_what_the_interval_that_just_reaches_the_null_leaves_out(
    trainings: int, confidence: float
) -> None:
    found = crossed_mean(values(trainings), DOGS)
    assert found.training_error > 0
    for end in found.interval(confidence):
        assert found.p_value(end) == pytest.approx(1 - confidence, rel=0.01)
    assert found.p_value(found.mean) > 0.95


def test_p_has_an_end() -> None:
    values_IS = np.tile([1.0, 1.0 + 1e-7, 1.0 - 1e-7], (12, 1)) + np.random.default_rng(1).normal(
        0, 1e-9, (12, 3)
    )
    assert 0 < crossed_mean(values_IS, DOGS).p_value() < 1e-9


def test_equal_values_have_an_interval_without_width() -> None:
    found = crossed_mean(np.full((12, 3), 0.25), DOGS)
    assert found.interval() == (0.25, 0.25)
    assert (found.p_value(0.25), found.p_value(0.0)) == (1.0, 0.0)


def test_the_order_of_trainings_does_not_matter() -> None:
    values_IS = values()
    assert crossed_mean(values_IS[:, ::-1], DOGS).interval() == pytest.approx(
        crossed_mean(values_IS, DOGS).interval(), abs=1e-9
    )


def test_individuals_with_more_items_count_for_more_as_in_every_mean_of_a_report() -> None:
    values_IS, names = values()[:11], ["dog-0", "dog-0", *DOGS[2:11]]
    assert crossed_mean(values_IS, names).mean == pytest.approx(values_IS.mean(), abs=1e-11)
    assert crossed_mean(values_IS, names).over_individuals.clusters == 10


def test_one_individual_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 clusters say nothing"):
        crossed_mean(values()[:2], ["dog-0", "dog-0"])


@pytest.mark.parametrize("trainings", [2, 3])
@pytest.mark.parametrize("spread", [0.0, 0.2, 1.0])
def test_intervals_hold_the_truth_as_often_as_they_say(trainings: int, spread: float) -> None:
    """Counted with 4,000 samples: 94.2 to 97.2 %, the table in `vbbench.results.statistics`."""
    assert 0.94 - CHANCE <= coverage(45, trainings, spread, 500) <= 0.975 + CHANCE


def test_so_they_do_with_several_clips_skewed_individuals_and_few() -> None:
    assert 0.93 - CHANCE <= coverage(45, 3, 0.2, 500, clips=4, skewed=True) <= 0.975 + CHANCE
    assert coverage(9, 3, 0.2, 500) >= 0.93 - CHANCE


def test_counting_finds_out_what_the_usual_interval_lacks() -> None:
    assert satterthwaite_coverage(45, 2, 1.0, 2000) < 0.90
    assert satterthwaite_coverage(45, 3, 1.0, 2000) < 0.94


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trainings", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.2, 0.5, 1.0])
def test_every_number_of_the_table(trainings: int, spread: float) -> None:
    assert 0.94 <= coverage(45, trainings, spread, 4000) <= 0.975
