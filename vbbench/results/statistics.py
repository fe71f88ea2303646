"""Means and paired differences with intervals over individuals, and over trainings of a model.

How models are told apart from many such differences stands in `vbbench.results.comparisons`,
how many individuals it takes to see a difference in `vbbench.results.power`; all rest on the
resamples of `vbbench.results.clustered`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vbbench.results.clustered import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    ClusteredMeans,
    by_cluster,
    clustered_means,
    ratio_of_sums,
    tidy,
)

__all__ = [
    "CONFIDENCE", "FEWEST_CLUSTERS", "FEW_CLUSTERS", "RESAMPLES", "SEED", "Estimate", "estimate_of", "mean_with_interval",
    "paired_difference", "student_quantiles",
]  # fmt: skip

FEWEST_CLUSTERS = 5
"""Below this even the whole range of the individuals' means covers the true mean in less than 95 %
of samples (n = 4: 87.5 %)."""
FEW_CLUSTERS = 20
"""Below this an interval is given, with a note that it is rough: of 9 lognormal individuals it
holds the true mean in 90 %, not 95 %."""


@dataclass(frozen=True)
class Estimate:
    """A mean over clips and its interval over individuals.

    Attributes:
        mean: None when there is no value at all.
        low, high: ends of the interval; None with fewer than `FEWEST_CLUSTERS` individuals.
        items: number of values.
        clusters: number of individuals they come from.
    """

    mean: float | None
    low: float | None
    high: float | None
    items: int
    clusters: int

    @property
    def sign(self) -> int:
        """+1 when the whole interval is above zero, -1 when below, 0 when it holds zero or there is
        none."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def mean_with_interval(
    values: Sequence[float], clusters: Sequence[str], bounds: tuple[float, float] | None = None
) -> Estimate:
    """Mean of the values, with the 95 % interval of a studentised bootstrap over clusters
    (`ClusteredMeans.interval`).

    Args:
        values: finite, one a clip.
        clusters: the individual each value belongs to; as long as `values`.
        bounds: least and largest value there can be; the interval is cut there, but never short of
            a value that there is.
    Raises:
        ValueError: lengths differ, or a value is not finite.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters")
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("every value must be finite")
    if not len(numbers):
        return Estimate(None, None, None, 0, 0)
    sums, counts = by_cluster(numbers[:, None], clusters)
    if len(counts) < FEWEST_CLUSTERS:
        return Estimate(float(tidy(numbers.mean())), None, None, len(numbers), len(counts))
    found = estimate_of(clustered_means(sums, counts), len(numbers))
    if bounds is None or found.low is None or found.high is None:
        return found
    low, high = min(bounds[0], float(numbers.min())), max(bounds[1], float(numbers.max()))
    return Estimate(
        found.mean, max(found.low, low), min(found.high, high), found.items, found.clusters
    )


def paired_difference(
    ours: Mapping[str, float], theirs: Mapping[str, float], cluster_of: Mapping[str, str]
) -> Estimate:
    """Mean of ours - theirs over the items that both have, with its interval over individuals.

    Args:
        ours, theirs: item id -> value.
        cluster_of: item id -> individual.
    """
    shared = [item for item in ours if item in theirs]
    return mean_with_interval(
        [ours[item] - theirs[item] for item in shared], [cluster_of[item] for item in shared]
    )


def student_quantiles(most: int) -> list[float]:
    """The 97.5 % quantile of Student's t with 1, 2 ... `most` degrees of freedom, to 4 decimals."""
    return [round(float(stats.t.ppf(0.975, degrees)), 4) for degrees in range(1, most + 1)]


def estimate_of(
    means: ClusteredMeans, items: int, series: int = 0, confidence: float = CONFIDENCE
) -> Estimate:
    """One of several series as an `Estimate`."""
    low_P, high_P = means.interval(confidence)
    return Estimate(
        float(means.mean_P[series]),
        float(low_P[series]),
        float(high_P[series]),
        items,
        means.clusters,
    )


# Is a difference too small to matter? Two one-sided tests; that nothing was seen is no answer.

LEVEL = 0.05
"""Of each of the tests."""
EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "different", "undecided"


@dataclass(frozen=True)
class Equivalence:
    """What the differences of one series say about a margin.

    Attributes:
        difference: their mean with its 90 % interval: the mean lies within the margin at 5 % where
            the whole interval does.
        margin: (low, high): differences strictly between them do not matter; in the differences'
            own unit.
        p: of the two one-sided tests, the larger; None with fewer than `statistics.FEWEST_CLUSTERS`
            individuals.
        p_difference: two-sided, against a mean of exactly 0; None likewise.
        beyond: whether the mean is shown to lie outside of the margin (one-sided, 5 % shared by
            both sides).
    """

    difference: Estimate
    margin: tuple[float, float]
    p: float | None
    p_difference: float | None
    beyond: bool

    @property
    def verdict(self) -> str:
        """``equivalent``: shown to lie within the margin, though perhaps not 0; ``different``:
        shown not to be 0, and not shown to lie within the margin; ``undecided``: the data do not
        say. Undecided is not equal: fewer individuals or more noise lead here, not to
        ``equivalent``."""
        if self.p is None or self.p_difference is None:
            return UNDECIDED
        if self.p <= LEVEL:
            return EQUIVALENT
        return DIFFERENT if self.p_difference <= LEVEL else UNDECIDED


def equivalence(
    differences: Sequence[float], clusters: Sequence[str], margin: float | tuple[float, float]
) -> Equivalence:
    """Two one-sided tests of the mean difference, clustered by individual.

    Args:
        differences: paired differences, finite, one an item.
        clusters: the individual each belongs to; as long as `differences`.
        margin: above 0: (-margin, margin); or (low, high) with low < 0 < high.
    Raises:
        ValueError: a margin that does not hold 0 inside, lengths that differ, or a difference that
            is not finite.
    Source:
        Schuirmann 1987, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach
        for Assessing the Equivalence of Average Bioavailability"; Lakens 2017, "Equivalence Tests";
        the tests are those of `ClusteredMeans.p_above` and `p_below`.
    """
    low, high = margin if isinstance(margin, tuple) else (-margin, margin)
    if not (math.isfinite(low) and math.isfinite(high) and low < 0 < high):
        raise ValueError(f"a margin must hold 0 inside, not ({low}, {high})")
    if len(differences) != len(clusters):
        raise ValueError(f"{len(differences)} differences but {len(clusters)} clusters")
    numbers_I = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(numbers_I).all():
        raise ValueError("every difference must be finite")
    individuals = len(set(clusters))
    if individuals < FEWEST_CLUSTERS:
        mean = float(tidy(numbers_I.mean())) if len(numbers_I) else None
        return Equivalence(
            Estimate(mean, None, None, len(numbers_I), individuals), (low, high), None, None, False
        )
    means = clustered_means(*by_cluster(numbers_I[:, None], clusters))
    p = max(float(means.p_above(low)[0]), float(means.p_below(high)[0]))
    beyond = min(float(means.p_above(high)[0]), float(means.p_below(low)[0])) <= LEVEL / 2
    difference = estimate_of(means, len(numbers_I), confidence=1 - 2 * LEVEL)
    return Equivalence(difference, (low, high), p, float(means.p_values()[0]), beyond)


# Means over individuals and trainings: both are samples, and a claim about a method is about all
# individuals and all trainings.
#
# I items, S trainings.
#
# The interval over individuals comes from `vbbench.results.clustered`, of the values averaged over
# the trainings. Each of its sides is then
# widened by what the trainings add: sides are squared, summed, and the root taken, the trainings'
# own side being Student's t with S - 1
# degrees of freedom times their standard error. Without spread between trainings beyond chance the
# interval is the individuals' alone.
#
# Why not Satterthwaite's approximate degrees of freedom, the usual choice: with 2 or 3 trainings
# that differ much, its 95 % intervals hold
# the truth in as few as 88 % (2 trainings) or 92.5 % (3) of samples. How often this one does,
# counted with 45 individuals (4,000 samples
# each; the standard deviation between trainings given in that of individuals; noise of 0.5 in each
# cell):
#
# | trainings | 0    | 0.1  | 0.2  | 0.5  | 1    |
# |----------:|-----:|-----:|-----:|-----:|-----:|
# |         2 | 96.7 | 96.6 | 96.1 | 94.8 | 94.2 |
# |         3 | 96.4 | 97.2 | 97.2 | 96.5 | 95.7 |
# |         5 | 95.9 | 95.8 | 96.5 | 96.0 | 95.6 |
#
# `tests/results/claims/coverage.py` prints the table. The price is width: with 3 trainings that
# differ by half as much as individuals do
# it is about four times as wide as the individuals' alone, which is what three trainings know.

SMALLEST_P = 1e-12


@dataclass(frozen=True)
class CrossedMean:
    """A mean over items and trainings, and how far off it may be.

    Attributes:
        over_individuals: one series, the values averaged over the trainings.
        items: I.
        trainings: S.
        training_error: standard error that the choice of trainings adds; 0 with one training, of
            which nothing can be said.
    """

    over_individuals: ClusteredMeans
    items: int
    trainings: int
    training_error: float

    @property
    def mean(self) -> float:
        """Over the items, each meaned over the trainings."""
        return float(self.over_individuals.mean_P[0])

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Ends of the two-sided interval."""
        (low,), (high,) = self.over_individuals.interval(confidence)
        if self.training_error == 0:
            return float(low), float(high)
        side = self.training_error * stats.t.ppf((1 + confidence) / 2, self.trainings - 1)
        ends = (
            self.mean - np.hypot(self.mean - low, side),
            self.mean + np.hypot(high - self.mean, side),
        )
        return float(tidy(ends[0])), float(tidy(ends[1]))

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p value against `null`: what the confidence leaves out of the interval that
        just reaches it."""
        if self.training_error == 0:
            return float(self.over_individuals.p_values(null)[0])
        if self._holds(null, 0.0):
            return 1.0
        inside, outside = SMALLEST_P, 1.0  # of p: at the smallest the widest interval
        if not self._holds(null, 1 - inside):
            return inside
        while outside / inside > 1.001:
            middle = float(np.sqrt(inside * outside))
            inside, outside = (
                (middle, outside) if self._holds(null, 1 - middle) else (inside, middle)
            )
        return outside

    def estimate(self) -> Estimate:
        """Mean and 95 % interval."""
        return Estimate(self.mean, *self.interval(), self.items, self.over_individuals.clusters)

    def _holds(self, value: float, confidence: float) -> bool:
        low, high = self.interval(confidence)
        return low <= value <= high


def crossed_mean(values_IS: np.ndarray, individuals: Sequence[str]) -> CrossedMean:
    """Mean over items of several individuals, each measured in every training.

    Args:
        values_IS: finite, at least one training; the trainings may be in any order.
        individuals: whom each of the I items is of; at least 2 different ones.
    Returns:
        The mean. The trainings' variance is that of their means, less what their interaction with
        the individuals brings into it (the two-way random-effects estimate where every individual
        has as many items), and not below 0.
    Raises:
        ValueError: fewer than 2 individuals.
    Source:
        Two-way random effects: Searle, Casella and McCulloch 1992, "Variance Components", chapter
        4. Squares of the sides of separate intervals are added after Howe 1974, "Approximate
        Confidence Limits on the Mean of X + Y Where X and Y Are Two Tabled Independent Random
        Variables", and Zou and Donner 2008, "Construction of Confidence Limits About Effect
        Measures".
    """
    mean_I1 = values_IS.mean(axis=1, keepdims=True)
    over_individuals = clustered_means(*by_cluster(mean_I1, individuals))
    items, trainings = values_IS.shape
    if trainings < 2:
        return CrossedMean(over_individuals, items, trainings, 0.0)
    own_S, error_S, _ = ratio_of_sums(*by_cluster(values_IS - mean_I1, individuals))
    between = own_S.var(ddof=1) - np.square(error_S).sum() / (trainings - 1)
    return CrossedMean(
        over_individuals, items, trainings, float(np.sqrt(max(0.0, between) / trainings))
    )
