"""Means over individuals and trainings: both are samples, and a claim about a method is about all individuals and all trainings.

I items, S trainings, G individuals.

The interval over individuals comes from `vbbench.results.clustered`, of the values averaged over the trainings. Each of its sides is then
widened by what the trainings add: sides are squared, summed, and the root taken, the trainings' own side being Student's t with S - 1
degrees of freedom times their standard error. Without spread between trainings beyond chance the interval is the individuals' alone.

Why not Satterthwaite's approximate degrees of freedom, the usual choice: with 2 or 3 trainings that differ much, its 95 % intervals hold
the truth in as few as 88 % (2 trainings) or 92.5 % (3) of samples. How often this one does, counted with 45 individuals (4,000 samples
each; the standard deviation between trainings given in that of individuals; noise of 0.5 in each cell):

| trainings | 0    | 0.1  | 0.2  | 0.5  | 1    |
|----------:|-----:|-----:|-----:|-----:|-----:|
|         2 | 96.7 | 96.6 | 96.1 | 94.8 | 94.2 |
|         3 | 96.4 | 97.2 | 97.2 | 96.5 | 95.7 |
|         5 | 95.9 | 95.8 | 96.5 | 96.0 | 95.6 |

`tests/report/claims/coverage.py` prints the table. The price is width: with 3 trainings that differ by half as much as individuals do
it is about four times as wide as the individuals' alone, which is what three trainings know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vbbench.results.clustered import CONFIDENCE, ClusteredMeans, by_cluster, clustered_means, ratio_of_sums, tidy
from vbbench.results.statistics import Estimate

SMALLEST_P = 1e-12


@dataclass(frozen=True)
class CrossedMean:
    """A mean over items and trainings, and how far off it may be.

    Attributes:
        over_individuals: one series, the values averaged over the trainings.
        items: I.
        trainings: S.
        training_error: standard error that the choice of trainings adds; 0 with one training, of which nothing can be said.
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
        ends = self.mean - np.hypot(self.mean - low, side), self.mean + np.hypot(high - self.mean, side)
        return float(tidy(ends[0])), float(tidy(ends[1]))

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p value against `null`: what the confidence leaves out of the interval that just reaches it."""
        if self.training_error == 0:
            return float(self.over_individuals.p_values(null)[0])
        if self._holds(null, 0.0):
            return 1.0
        inside, outside = SMALLEST_P, 1.0  # of p: at the smallest the widest interval
        if not self._holds(null, 1 - inside):
            return inside
        while outside / inside > 1.001:
            middle = float(np.sqrt(inside * outside))
            inside, outside = (middle, outside) if self._holds(null, 1 - middle) else (inside, middle)
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
        The mean. The trainings' variance is that of their means, less what their interaction with the individuals brings into it
        (the two-way random-effects estimate where every individual has as many items), and not below 0.
    Raises:
        ValueError: fewer than 2 individuals.
    Source:
        Two-way random effects: Searle, Casella and McCulloch 1992, "Variance Components", chapter 4. Squares of the sides of separate
        intervals are added after Howe 1974, "Approximate Confidence Limits on the Mean of X + Y Where X and Y Are Two Tabled
        Independent Random Variables", and Zou and Donner 2008, "Construction of Confidence Limits About Effect Measures".
    """
    mean_I1 = values_IS.mean(axis=1, keepdims=True)
    over_individuals = clustered_means(*by_cluster(mean_I1, individuals))
    items, trainings = values_IS.shape
    if trainings < 2:
        return CrossedMean(over_individuals, items, trainings, 0.0)
    own_S, error_S, _ = ratio_of_sums(*by_cluster(values_IS - mean_I1, individuals))
    between = own_S.var(ddof=1) - np.square(error_S).sum() / (trainings - 1)
    return CrossedMean(over_individuals, items, trainings, float(np.sqrt(max(0.0, between) / trainings)))
