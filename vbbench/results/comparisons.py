"""Which models differ, where many pairs are asked at once: paired differences, corrected for their
number, with effect sizes and ranks.

I items, P pairs of models, G individuals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby

import numpy as np
from scipy.special import gammaln

from vbbench.results.clustered import CONFIDENCE, clustered_means, numbered, tidy
from vbbench.results.statistics import FEWEST_CLUSTERS, Estimate

Pair = tuple[str, str]
PAIRS_AT_ONCE = 16  # their resamples take about 15 MB


@dataclass(frozen=True)
class Comparison:
    """One model against another under one metric, as one of a family of comparisons.

    Attributes:
        difference: mean of the paired differences; its 95 % interval is for this pair alone, not
            widened for the others.
        effect: the difference in units of the standard deviation of the individuals' differences,
            Hedges' g; None where those do not vary, or individuals are too few.
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
        if not is_told_apart(self.corrected):
            return 0
        mean = self.difference.mean or 0.0
        return int(mean > 0) - int(mean < 0)


def is_told_apart(corrected: float | None) -> bool:
    """Whether a corrected p value tells two models apart."""
    return corrected is not None and corrected <= 1 - CONFIDENCE


def compare(
    values: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str], pairs: Sequence[Pair]
) -> dict[Pair, Comparison]:
    """Compare pairs of models over the items that both have; the pairs are one family.

    Where no pair of a family differs, Holm's correction lets at most 5 % of families say of any
    pair that it does; where some do, the same holds of the rest. It needs nothing to be known of
    how the comparisons depend on each other.

    Args:
        values: model -> item id -> value, finite.
        cluster_of: item id -> individual.
        pairs: (ours, theirs), no two alike; each gives ours - theirs.
    Returns:
        Pair -> comparison, in the order of `pairs`. Pairs with too few individuals have no p value
        and do not count in the family.
    Source:
        Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    alone: dict[Pair, Comparison] = {}
    parts = sorted(_shared_items(values, cluster_of, pairs), key=lambda part: part.clusters)
    for clusters, alike in groupby(
        parts, key=lambda part: part.clusters
    ):  # what has as many individuals is resampled at one go
        waiting = list(alike)
        step = 1 if clusters < FEWEST_CLUSTERS else PAIRS_AT_ONCE
        for start in range(0, len(waiting), step):
            some = waiting[start : start + step]
            alone |= zip([part.pair for part in some], _comparisons(some, clusters), strict=True)
    found = {pair: alone[pair] for pair in pairs}
    tested = {pair: comparison.p for pair, comparison in found.items() if comparison.p is not None}
    return found | {
        pair: replace(found[pair], corrected=p)
        for pair, p in zip(tested, holm(list(tested.values())), strict=True)
    }


def rank_groups(
    comparisons: Mapping[Pair, Comparison], *, higher_is_better: bool
) -> dict[str, int | None]:
    """Rank of each model: 1 + the number of models that are clearly better, after the correction
    for all pairs.

    That is no grouping: of two models that cannot be told apart one may be clearly worse than a
    third, and the other not.

    Args:
        comparisons: of all pairs of models, as one family.
    Returns:
        model -> rank; None for a model that cannot be compared with any other for want of
        individuals.
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

    What statsmodels' ``multipletests`` gives, whose every call first collects all garbage, which
    takes longer than a small report.
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
        mean, spread: mean and standard deviation (n - 1 in the denominator) of paired differences,
            in one unit.
        values: n, 3 or more: their number.
    Returns:
        g in standard deviations, without bias where the differences are normal; None without
        spread.
    Source:
        Hedges 1981, "Distribution Theory for Glass's Estimator of Effect Size", the exact factor;
        for paired differences Lakens 2013 calls it g_z.
    """
    if spread <= 0:
        return None
    freedom = values - 1
    factor = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    return float(factor * mean / spread)


@dataclass(frozen=True)
class _Part:
    """One pair's differences over the items that both have: their mean, and their sums and numbers
    of each individual."""

    pair: Pair
    items: int
    mean: float | None
    sums_G: np.ndarray
    counts_G: np.ndarray

    @property
    def clusters(self) -> int:
        return len(self.counts_G)


def _shared_items(
    values: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str], pairs: Sequence[Pair]
) -> Iterator[_Part]:
    """The differences of every pair; pairs that share the same items are added up together."""
    items = [item for item in cluster_of if any(item in own for own in values.values())]
    owners_I = numbered([cluster_of[item] for item in items])
    scores = {
        model: np.array([own.get(item, np.nan) for item in items]) for model, own in values.items()
    }
    groups: dict[bytes, list[Pair]] = {}
    for a, b in pairs:
        groups.setdefault(np.isfinite(scores[a] - scores[b]).tobytes(), []).append((a, b))
    for mask, group in groups.items():
        shared_I = np.frombuffer(mask, dtype=bool)
        differences_IP = np.stack(
            [scores[a][shared_I] - scores[b][shared_I] for a, b in group], axis=1
        )
        sums_GP, counts_G = _by_first_seen(differences_IP, owners_I[shared_I])
        means_P = (
            tidy(differences_IP.mean(axis=0)).tolist()
            if len(differences_IP)
            else [None] * len(group)
        )
        for pair, mean, sums_G in zip(group, means_P, sums_GP.T, strict=True):
            yield _Part(pair, len(differences_IP), mean, sums_G, counts_G)


def _by_first_seen(values_IP: np.ndarray, owners_I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `by_cluster` gives for names, for their numbers: sums (G, P) and counts (G,) in the
    order of first appearance."""
    _, first_G, where_I = np.unique(owners_I, return_index=True, return_inverse=True)
    place_G = np.empty(len(first_G), dtype=np.intp)
    place_G[np.argsort(first_G)] = np.arange(len(first_G))
    where_I = place_G[where_I]
    sums_GP = np.zeros((len(first_G), values_IP.shape[1]))
    np.add.at(sums_GP, where_I, values_IP)
    return sums_GP, np.bincount(where_I, minlength=len(first_G)).astype(np.float64)


def _comparisons(parts: Sequence[_Part], clusters: int) -> list[Comparison]:
    """One comparison a part, all with as many individuals, not yet corrected."""
    if clusters < FEWEST_CLUSTERS:
        return [
            Comparison(Estimate(part.mean, None, None, part.items, clusters), None, None)
            for part in parts
        ]
    sums_GP = np.stack([part.sums_G for part in parts], axis=1)
    shared = all(part.counts_G is parts[0].counts_G for part in parts)
    means = clustered_means(
        sums_GP,
        parts[0].counts_G if shared else np.stack([part.counts_G for part in parts], axis=1),
    )
    numbers = zip(
        parts, means.mean_P, *means.interval(), means.spreads, means.p_values(), strict=True
    )
    return [
        Comparison(
            Estimate(mean, low, high, part.items, clusters), hedges_g(mean, spread, clusters), p
        )
        for part, (mean, low, high, spread, p) in (
            (part, map(float, row)) for part, *row in numbers
        )
    ]
