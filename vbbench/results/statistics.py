"""Means and paired differences with intervals over individuals.

How models are told apart from many such differences stands in `vbbench.results.comparisons`, whether a difference is too small to
matter in `vbbench.results.equivalence`, how many individuals it takes to see one in `vbbench.results.power`; all rest on the resamples of
`vbbench.results.clustered`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vbbench.results.clustered import CONFIDENCE, RESAMPLES, SEED, ClusteredMeans, by_cluster, clustered_means, tidy

__all__ = [
    "CONFIDENCE", "FEWEST_CLUSTERS", "FEW_CLUSTERS", "RESAMPLES", "SEED", "Estimate", "estimate_of", "mean_with_interval",
    "paired_difference",
]  # fmt: skip

FEWEST_CLUSTERS = 5
"""Below this even the whole range of the individuals' means covers the true mean in less than 95 % of samples (n = 4: 87.5 %)."""
FEW_CLUSTERS = 20
"""Below this an interval is given, with a note that it is rough: of 9 lognormal individuals it holds the true mean in 90 %, not 95 %."""


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
        """+1 when the whole interval is above zero, -1 when below, 0 when it holds zero or there is none."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def mean_with_interval(values: Sequence[float], clusters: Sequence[str], bounds: tuple[float, float] | None = None) -> Estimate:
    """Mean of the values, with the 95 % interval of a studentised bootstrap over clusters (`ClusteredMeans.interval`).

    Args:
        values: finite, one a clip.
        clusters: the individual each value belongs to; as long as `values`.
        bounds: least and largest value there can be; the interval is cut there, but never short of a value that there is.
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
    return Estimate(found.mean, max(found.low, low), min(found.high, high), found.items, found.clusters)


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float], cluster_of: Mapping[str, str]) -> Estimate:
    """Mean of ours - theirs over the items that both have, with its interval over individuals.

    Args:
        ours, theirs: item id -> value.
        cluster_of: item id -> individual.
    """
    shared = [item for item in ours if item in theirs]
    return mean_with_interval([ours[item] - theirs[item] for item in shared], [cluster_of[item] for item in shared])


def estimate_of(means: ClusteredMeans, items: int, series: int = 0, confidence: float = CONFIDENCE) -> Estimate:
    """One of several series as an `Estimate`."""
    low_P, high_P = means.interval(confidence)
    return Estimate(float(means.mean_P[series]), float(low_P[series]), float(high_P[series]), items, means.clusters)
