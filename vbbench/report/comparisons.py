"""Which models differ, where many pairs are asked at once: paired differences, corrected for their number, with effect sizes and ranks.

I items, P pairs of models, G individuals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.special import gammaln

from vbbench.report.clustered import CONFIDENCE, by_cluster, clustered_means, tidy
from vbbench.report.statistics import FEWEST_CLUSTERS, Estimate

Pair = tuple[str, str]
PAIRS_AT_ONCE = 16  # their resamples take about 15 MB


@dataclass(frozen=True)
class Comparison:
    """One model against another under one metric, as one of a family of comparisons.

    Attributes:
        difference: mean of the paired differences; its 95 % interval is for this pair alone, not widened for the others.
        effect: the difference in units of the standard deviation of the individuals' differences, Hedges' g; None where those do not
            vary, or individuals are too few.
        p: two-sided p value of this pair alone; None with too few individuals.
        corrected: p value after Holm's correction for the whole family.
    """

    difference: Estimate
    effect: float | None
    p: float | None
    corrected: float | None = None

    @property
    def sign(self) -> int:
        """+1 or -1 where the pair is told apart after the correction, 0 where it is not."""
        if self.corrected is None or self.corrected > 1 - CONFIDENCE:
            return 0
        mean = self.difference.mean or 0.0
        return int(mean > 0) - int(mean < 0)


def compare(values: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str], pairs: Sequence[Pair]) -> dict[Pair, Comparison]:
    """Compare pairs of models over the items that both have; the pairs are one family.

    Where no pair of a family differs, Holm's correction lets at most 5 % of families say of any pair that it does; where some do, the
    same holds of the rest. It needs nothing to be known of how the comparisons depend on each other.

    Args:
        values: model -> item id -> value, finite.
        cluster_of: item id -> individual.
        pairs: (ours, theirs), no two alike; each gives ours - theirs.
    Returns:
        Pair -> comparison, in the order of `pairs`. Pairs with too few individuals have no p value and do not count in the family.
    Source:
        Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    alone: dict[Pair, Comparison] = {}
    for some, individuals, differences_IP in _shared_items(values, cluster_of, pairs):
        alone |= zip(some, _comparisons(differences_IP, individuals), strict=True)
    found = {pair: alone[pair] for pair in pairs}
    tested = {pair: comparison.p for pair, comparison in found.items() if comparison.p is not None}
    return found | {pair: replace(found[pair], corrected=p) for pair, p in zip(tested, holm(list(tested.values())), strict=True)}


def rank_groups(comparisons: Mapping[Pair, Comparison], *, higher_is_better: bool) -> dict[str, int | None]:
    """Rank of each model: 1 + the number of models that are clearly better, after the correction for all pairs.

    Models that nothing tells apart share a rank.

    Args:
        comparisons: of all pairs of models, as one family.
    Returns:
        model -> rank; None for a model that cannot be compared with any other for want of individuals.
    """
    ranks: dict[str, int | None] = dict.fromkeys(model for pair in comparisons for model in pair)
    for (a, b), comparison in comparisons.items():
        if comparison.p is None:
            continue
        wins = comparison.sign * (1 if higher_is_better else -1)
        ranks[a] = (ranks[a] or 1) + (wins < 0)
        ranks[b] = (ranks[b] or 1) + (wins > 0)
    return ranks


def all_pairs(models: Sequence[str], first: str | None = None) -> list[Pair]:
    """Every pair of models once, in their order; those of `first` begin with it."""
    return list(combinations(sorted(models, key=lambda model: model != first), 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values, corrected for their number, in their order.

    What statsmodels' ``multipletests`` gives, whose every call first collects all garbage, which takes longer than a small report.
    """
    p_P = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_P)
    remaining = np.arange(len(p_P), 0, -1)
    corrected_P = np.empty_like(p_P)
    corrected_P[order] = np.minimum(1.0, np.maximum.accumulate(p_P[order] * remaining))
    return corrected_P.tolist()


def hedges_g(mean: float, spread: float, values: int) -> float | None:
    """Mean / standard deviation, corrected for the bias that it has with few values.

    Args:
        mean, spread: mean and standard deviation (n - 1 in the denominator) of paired differences, in one unit.
        values: n, 3 or more: their number.
    Returns:
        g in standard deviations, without bias where the differences are normal; None without spread.
    Source:
        Hedges 1981, "Distribution Theory for Glass's Estimator of Effect Size", the exact factor; for paired differences Lakens 2013
        calls it g_z.
    """
    if spread <= 0:
        return None
    freedom = values - 1
    factor = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    return float(factor * mean / spread)


def _shared_items(
    values: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str], pairs: Sequence[Pair]
) -> Iterator[tuple[list[Pair], list[str], np.ndarray]]:
    """Pairs that share the same items, with these items' individuals and the differences (I, P)."""
    items = [item for item in cluster_of if any(item in own for own in values.values())]
    scores = {model: np.array([own.get(item, np.nan) for item in items]) for model, own in values.items()}
    groups: dict[bytes, list[Pair]] = {}
    for a, b in pairs:
        groups.setdefault(np.isfinite(scores[a] - scores[b]).tobytes(), []).append((a, b))
    for mask, group in groups.items():
        shared_I = np.frombuffer(mask, dtype=bool)
        individuals = [cluster_of[item] for item, shared in zip(items, shared_I, strict=True) if shared]
        for start in range(0, len(group), PAIRS_AT_ONCE):
            some = group[start : start + PAIRS_AT_ONCE]
            yield some, individuals, np.stack([scores[a][shared_I] - scores[b][shared_I] for a, b in some], axis=1)


def _comparisons(differences_IP: np.ndarray, individuals: Sequence[str]) -> list[Comparison]:
    """One comparison a column, not yet corrected."""
    items, pairs = differences_IP.shape
    if not items:
        return [Comparison(Estimate(None, None, None, 0, 0), None, None)] * pairs
    sums_GP, counts_G = by_cluster(differences_IP, individuals)
    clusters = len(counts_G)
    if clusters < FEWEST_CLUSTERS:
        return [Comparison(Estimate(float(mean), None, None, items, clusters), None, None) for mean in tidy(differences_IP.mean(axis=0))]
    means = clustered_means(sums_GP, counts_G)
    numbers = zip(means.mean_P, *means.interval(), means.spreads, means.p_values(), strict=True)
    return [
        Comparison(Estimate(mean, low, high, items, clusters), hedges_g(mean, spread, clusters), p)
        for mean, low, high, spread, p in (map(float, row) for row in numbers)
    ]
