"""Means with intervals, paired differences and rank groups, all by a bootstrap over individuals.

Two clips of one individual are not two independent observations, so individuals are resampled, not clips. The same numbers
in give the same intervals out: the resamples depend on nothing but `SEED` and the number of individuals, which also makes
rows of one table comparable (they are resampled alike).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
FEWEST_CLUSTERS = 5
"""Below this even the whole range of the individuals' means covers the true mean in less than 95 % of samples (n = 4: 87.5 %)."""
FEW_CLUSTERS = 20
"""Below this an interval is given, with a note that it is rough."""


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


def mean_with_interval(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """Mean of the values, with the expanded percentile interval of a bootstrap over clusters.

    A plain percentile interval is too narrow for few clusters (9: about 90 % instead of 95 %); its tails are therefore
    widened to what Student's t asks for.

    Args:
        values: finite, one a clip.
        clusters: the individual each value belongs to; as long as `values`.
    Raises:
        ValueError: lengths differ, or a value is not finite.
    Source:
        Field and Welsh 2007 (resampling whole clusters); Hesterberg 2015, "What Teachers Should Know About the Bootstrap"
        (expanded percentile interval).
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters")
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("every value must be finite")
    if not len(numbers):
        return Estimate(None, None, None, 0, 0)
    sums, counts = _by_cluster(numbers, clusters)
    mean = _tidy(sums.sum() / counts.sum())
    if len(sums) < FEWEST_CLUSTERS:
        return Estimate(mean, None, None, len(numbers), len(sums))
    draws = _resamples(len(sums), RESAMPLES, SEED)
    means = (draws @ sums) / (draws @ counts)
    tail = expanded_tail(len(sums), CONFIDENCE)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean, _tidy(low), _tidy(high), len(numbers), len(sums))


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float], cluster_of: Mapping[str, str]) -> Estimate:
    """Mean of ours - theirs over the items that both have, with its interval over individuals.

    Args:
        ours, theirs: item id -> value.
        cluster_of: item id -> individual.
    """
    shared = [item for item in ours if item in theirs]
    return mean_with_interval([ours[item] - theirs[item] for item in shared], [cluster_of[item] for item in shared])


def rank_groups(
    values: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str], *, higher_is_better: bool
) -> dict[str, int | None]:
    """Rank of each model: 1 + the number of models that are clearly better (paired interval clear of zero).

    Models that nothing tells apart share a rank. Intervals are not widened for the number of comparisons.

    Args:
        values: model -> item id -> value.
        cluster_of: item id -> individual.
    Returns:
        model -> rank; None for a model that cannot be compared with any other for want of individuals.
    """
    ranks: dict[str, int | None] = dict.fromkeys(values)
    for a, b in combinations(values, 2):
        difference = paired_difference(values[a], values[b], cluster_of)
        if difference.low is None:
            continue
        wins = difference.sign * (1 if higher_is_better else -1)
        ranks[a] = (ranks[a] or 1) + (wins < 0)
        ranks[b] = (ranks[b] or 1) + (wins > 0)
    return ranks


def expanded_tail(clusters: int, confidence: float) -> float:
    """Tail probability at which the bootstrap distribution is cut, on each side.

    Phi(-sqrt(n / (n - 1)) t), with t the quantile of Student's distribution with n - 1 degrees of freedom; it tends to
    (1 - confidence) / 2 for many clusters.
    """
    t = stats.t.ppf((1 + confidence) / 2, clusters - 1)
    return float(stats.norm.cdf(-np.sqrt(clusters / (clusters - 1)) * t))


def _by_cluster(values: np.ndarray, clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each cluster, in the order in which clusters first appear."""
    index = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    where = np.array([index[name] for name in clusters])
    return np.bincount(where, weights=values), np.bincount(where).astype(np.float64)


@lru_cache(maxsize=8)
def _resamples(clusters: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, clusters): how often each cluster is drawn in each resample."""
    draws = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return draws.astype(np.float64)


def _tidy(value: float) -> float:
    """Rounded to 12 decimals: what differs below that is the order of additions, and must not tell models apart."""
    return round(float(value), 12) + 0.0
