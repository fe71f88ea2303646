"""The studentised bootstrap against loops, scipy and statsmodels; what happens where there is next
to nothing to resample."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from vbbench.results import clustered
from vbbench.results.clustered import RESAMPLES, SEED, by_cluster, clustered_means


def of(values: list[float] | np.ndarray) -> clustered.ClusteredMeans:
    """One value an individual, one series."""
    return clustered_means(np.asarray(values, dtype=float)[:, None], np.ones(len(values)))


def unequal(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """12 individuals with 1 to 4 skewed clips each: values, individual of each."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(12), rng.integers(1, 5, 12))
    return rng.exponential(1, 12)[owner] + rng.exponential(0.5, len(owner)), owner


def test_standard_error_is_that_of_a_regression_with_clustered_errors() -> None:
    values, owner = unequal()
    found = clustered_means(*by_cluster(values[:, None], list(owner)))
    theirs = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": owner})
    assert found.mean_P[0] == pytest.approx(theirs.params[0])
    assert found.error_P[0] == pytest.approx(theirs.bse[0])
    assert found.spreads[0] == pytest.approx(theirs.bse[0] * np.sqrt(12))


def test_every_resample_is_studentised_by_its_own_clips() -> None:
    values, owner = unequal()
    found = clustered_means(*by_cluster(values[:, None], list(owner)))
    draws = clustered._resamples(12, RESAMPLES, SEED).astype(int)
    for number in range(0, RESAMPLES, 500):
        copies = np.repeat(np.arange(12), draws[number])
        drawn = [values[owner == individual] for individual in copies]
        groups = np.repeat(np.arange(12), [len(own) for own in drawn])
        fit = OLS(np.concatenate(drawn), np.ones(len(groups))).fit(
            cov_type="cluster", cov_kwds={"groups": groups}
        )
        assert found.t_PB[0, number] == pytest.approx((fit.params[0] - values.mean()) / fit.bse[0])


def test_interval_is_the_longer_of_students_and_the_studentised_on_each_side() -> None:
    values, owner = unequal()
    found = clustered_means(*by_cluster(values[:, None], list(owner)))
    (low,), (high,) = found.interval()
    counts = np.bincount(owner)
    t = stats.t.ppf(0.975, counts.sum() ** 2 / (counts**2).sum() - 1)
    left, right = np.quantile(found.t_PB[0], [0.025, 0.975])
    assert low == pytest.approx(values.mean() - max(t, right) * found.error_P[0], rel=1e-3)
    assert high == pytest.approx(values.mean() + max(t, -left) * found.error_P[0], rel=1e-3)
    assert high - values.mean() > 1.3 * (values.mean() - low)  # the tail is on the right


def test_intervals_of_many_normal_values_are_students() -> None:
    values = np.random.default_rng(1).normal(3, 1, 400)
    found = of(values)
    theirs = stats.ttest_1samp(values, 2.9)
    assert found.interval()[0][0] == pytest.approx(theirs.confidence_interval().low, abs=0.01)
    assert found.interval()[1][0] == pytest.approx(theirs.confidence_interval().high, abs=0.01)
    assert found.p_values(2.9)[0] == pytest.approx(theirs.pvalue, abs=0.01)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_p_values_and_intervals_never_contradict_each_other(confidence: float) -> None:
    rng = np.random.default_rng(3)
    sums = np.concatenate(
        [
            rng.normal(0.7, 1, (9, 100)),
            rng.exponential(1, (9, 100)),
            rng.integers(0, 3, (9, 100)) - 0.5,
        ],
        axis=1,
    )
    found = clustered_means(sums, np.ones(9))
    low, high = found.interval(confidence)
    clear = (low > 0) | (high < 0)
    assert 0.1 < clear.mean() < 0.99
    np.testing.assert_array_equal(found.p_values() <= 1 - confidence, clear)


def test_p_values_are_never_below_students() -> None:
    sums = np.random.default_rng(4).exponential(1, (9, 200)) - 0.5
    theirs = stats.ttest_1samp(sums, 0).pvalue
    found = clustered_means(sums, np.ones(9)).p_values()
    assert (found >= theirs * (1 - 1e-9)).all()
    assert (found > 1.2 * theirs).sum() > 8


def test_one_sided_p_values_are_each_others_mirror() -> None:
    values = np.random.default_rng(5).exponential(1, 15)
    assert of(values).p_above(0.4) == pytest.approx(of(-values).p_below(-0.4), abs=1e-12)


def test_series_are_resampled_alike_whichever_stand_beside_them() -> None:
    sums = np.random.default_rng(6).normal(size=(9, 5))
    together = clustered_means(sums, np.ones(9))
    for place in range(5):
        alone = clustered_means(sums[:, [place]], np.ones(9))
        assert alone.interval()[0][0] == together.interval()[0][place]
        assert alone.p_values()[0] == pytest.approx(together.p_values()[place], rel=1e-9)


@pytest.mark.parametrize(
    "values",
    [
        [0.0] * 8 + [1.0],
        [-1.0] * 44 + [-0.2],
        [0.9, 0.9 + 1e-9] * 5,
        [0.3] * 4 + [0.30000001],
        [1.0, 0.0] * 4,
        [1e-13] * 5 + [2e-13] * 4,
        [1e6, *[0.0] * 44],
    ],
    ids=[
        "one of nine",
        "one of 45",
        "rounding",
        "nearly one",
        "two values",
        "below rounding",
        "one giant",
    ],
)
def test_few_distinct_values_have_finite_intervals(values: list[float]) -> None:
    found = of(values)
    (low,), (high,) = found.interval()
    mean, deviation = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    assert low <= mean + 1e-12
    assert high >= mean - 1e-12
    assert high - low <= 25 * deviation + 1e-11
    assert np.isfinite([found.p_values(), found.p_above(0.1), found.p_below(0.1)]).all()


def test_where_resamples_are_too_alike_student_stands_alone() -> None:
    values = [-1.0] * 44 + [-0.2]
    found = of(values)
    assert not found.sound_P[0]
    assert of(np.random.default_rng(0).normal(size=45)).sound_P[0]
    theirs = stats.ttest_1samp(values, -0.95)
    assert found.p_values(-0.95)[0] == pytest.approx(theirs.pvalue)
    assert found.interval()[1][0] == pytest.approx(theirs.confidence_interval().high)


def test_equal_values_have_no_width_and_a_sure_answer() -> None:
    found = of([0.1] * 6)
    assert (found.interval()[0][0], found.interval()[1][0]) == (0.1, 0.1)
    assert (found.p_values(0.0)[0], found.p_values(0.1)[0], found.p_values(0.1 + 1e-14)[0]) == (
        0.0,
        1.0,
        1.0,
    )
    assert (found.p_above(0.0)[0], found.p_below(0.0)[0]) == (0.0, 1.0)


def test_one_giant_among_dwarfs_leaves_one_degree_of_freedom() -> None:
    counts = np.array([1000.0, 1, 1, 1, 1])
    found = clustered_means((np.arange(5.0) * counts)[:, None], counts)
    assert found.freedom == 1
    assert np.isfinite(found.interval()).all()


def test_one_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="1 clusters"):
        of([1.0])


def test_same_numbers_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=12)
    first = of(values).interval()
    clustered._resamples.cache_clear()
    assert of(values).interval() == first


def test_series_with_counts_of_their_own_are_what_each_is_alone() -> None:
    rng = np.random.default_rng(5)
    sums, counts = rng.normal(size=(11, 4)), rng.integers(1, 6, size=(11, 4)).astype(float)
    together = clustered_means(sums, counts)
    for place in range(4):
        alone = clustered_means(sums[:, [place]], counts[:, place])
        assert together.mean_P[place] == alone.mean_P[0]
        assert together.error_P[place] == pytest.approx(alone.error_P[0], rel=1e-14)
        assert together.freedom[place] == alone.freedom  # type: ignore[index]
        assert together.p_values()[place] == pytest.approx(alone.p_values()[0], abs=1e-12)
        assert [float(end[place]) for end in together.interval()] == pytest.approx(
            [float(end[0]) for end in alone.interval()], abs=1e-12
        )


def test_draws_are_kept_small() -> None:
    assert clustered._resamples(45, RESAMPLES, SEED).nbytes == RESAMPLES * 45


def test_it_is_quick() -> None:
    """10,000 resamples of 45 individuals in less than 50 ms, drawing them aside; 190 pairs of
    models in less than a second."""
    sums = np.random.default_rng(0).normal(size=(45, 190))
    of(sums[:, 0])

    def seconds(series: int) -> float:
        start = time.perf_counter()
        found = clustered_means(sums[:, :series], np.ones(45))
        found.interval()
        found.p_values()
        return time.perf_counter() - start

    assert min(seconds(1) for _ in range(5)) < 0.05
    assert min(seconds(190) for _ in range(3)) < 1.0
