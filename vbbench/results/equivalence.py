"""Is a difference too small to matter? Two one-sided tests; that nothing was seen is no answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vbbench.results.clustered import by_cluster, clustered_means, tidy
from vbbench.results.statistics import FEWEST_CLUSTERS, Estimate, estimate_of

LEVEL = 0.05
"""Of each of the tests."""
EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "different", "undecided"


@dataclass(frozen=True)
class Equivalence:
    """What the differences of one series say about a margin.

    Attributes:
        difference: their mean with its 90 % interval: the mean lies within the margin at 5 % where the whole interval does.
        margin: (low, high): differences strictly between them do not matter; in the differences' own unit.
        p: of the two one-sided tests, the larger; None with fewer than `statistics.FEWEST_CLUSTERS` individuals.
        p_difference: two-sided, against a mean of exactly 0; None likewise.
        beyond: whether the mean is shown to lie outside of the margin (one-sided, 5 % shared by both sides).
    """

    difference: Estimate
    margin: tuple[float, float]
    p: float | None
    p_difference: float | None
    beyond: bool

    @property
    def verdict(self) -> str:
        """``equivalent``: shown to lie within the margin, though perhaps not 0; ``different``: shown not to be 0, and not shown to lie
        within the margin; ``undecided``: the data do not say. Undecided is not equal: fewer individuals or more noise lead here, not to
        ``equivalent``."""
        if self.p is None or self.p_difference is None:
            return UNDECIDED
        if self.p <= LEVEL:
            return EQUIVALENT
        return DIFFERENT if self.p_difference <= LEVEL else UNDECIDED


def equivalence(differences: Sequence[float], clusters: Sequence[str], margin: float | tuple[float, float]) -> Equivalence:
    """Two one-sided tests of the mean difference, clustered by individual.

    Args:
        differences: paired differences, finite, one an item.
        clusters: the individual each belongs to; as long as `differences`.
        margin: above 0: (-margin, margin); or (low, high) with low < 0 < high.
    Raises:
        ValueError: a margin that does not hold 0 inside, lengths that differ, or a difference that is not finite.
    Source:
        Schuirmann 1987, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence of
        Average Bioavailability"; Lakens 2017, "Equivalence Tests"; the tests are those of `ClusteredMeans.p_above` and `p_below`.
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
        return Equivalence(Estimate(mean, None, None, len(numbers_I), individuals), (low, high), None, None, False)
    means = clustered_means(*by_cluster(numbers_I[:, None], clusters))
    p = max(float(means.p_above(low)[0]), float(means.p_below(high)[0]))
    beyond = min(float(means.p_above(high)[0]), float(means.p_below(low)[0])) <= LEVEL / 2
    difference = estimate_of(means, len(numbers_I), confidence=1 - 2 * LEVEL)
    return Equivalence(difference, (low, high), p, float(means.p_values()[0]), beyond)
