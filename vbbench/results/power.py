"""How many individuals it takes to see a difference, from how much the differences of a pilot vary
between individuals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from vbbench.results.clustered import CONFIDENCE, by_cluster, ratio_of_sums, tidy
from vbbench.results.statistics import FEWEST_CLUSTERS

POWER = 0.8
MOST = 10**7
"""Individuals; nobody has more."""


@dataclass(frozen=True)
class Pilot:
    """What a run tells of the paired differences of two models under one metric.

    Attributes:
        difference: their mean, in the metric's unit; None without a shared item.
        spread: their standard deviation between individuals, each the mean over its clips; None
            with fewer than `statistics.FEWEST_CLUSTERS` individuals.
        individuals, items: numbers of both that the two models share.
    """

    difference: float | None
    spread: float | None
    individuals: int
    items: int

    @property
    def clips(self) -> float:
        """Clips an individual."""
        return self.items / self.individuals if self.individuals else 0.0


def pilot(
    ours: Mapping[str, float], theirs: Mapping[str, float], cluster_of: Mapping[str, str]
) -> Pilot:
    """The pilot that two models' values are.

    Args:
        ours, theirs: item id -> value.
        cluster_of: item id -> individual.
    """
    shared = [item for item in ours if item in theirs]
    differences = np.array([ours[item] - theirs[item] for item in shared])
    individuals = len({cluster_of[item] for item in shared})
    if individuals < FEWEST_CLUSTERS:
        return Pilot(
            float(tidy(differences.mean())) if shared else None, None, individuals, len(shared)
        )
    mean_P, error_P, _ = ratio_of_sums(
        *by_cluster(differences[:, None], [cluster_of[item] for item in shared])
    )
    return Pilot(
        float(tidy(mean_P[0])), float(error_P[0]) * math.sqrt(individuals), individuals, len(shared)
    )


def power_to_see(
    difference: float, spread: float, individuals: int, *, comparisons: int = 1
) -> float:
    """Probability of a clear difference on the right side.

    Of a two-sided Student's t test at 5 % over the individuals' mean differences, normal and with
    as many clips each as in the pilot. A report's own test (`ClusteredMeans.p_values`) guards
    against skew too and is stricter where individuals are few. What is planned for 80 % it sees at
    45 individuals in 79 %, in 77 % as one of 6 comparisons; at 9 in 69 % and 62 %:
    `tests/report/test_power.py`.

    Args:
        difference: the true one, above 0, in the unit of `spread`.
        spread: standard deviation of differences between individuals; 0 or more.
        individuals: 2 or more.
        comparisons: size of the family it is one of: its level is 5 % / `comparisons`, which the
            smallest p value of a family meets in Holm's correction.
    Source:
        Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapter 2; noncentral
        t.
    """
    if spread == 0:
        return 1.0
    freedom = individuals - 1
    critical = stats.t.isf((1 - CONFIDENCE) / 2 / comparisons, freedom)
    return float(stats.nct.sf(critical, freedom, difference / spread * math.sqrt(individuals)))


def individuals_needed(
    difference: float, spread: float, *, power: float = POWER, comparisons: int = 1
) -> int:
    """Smallest number of individuals, `FEWEST_CLUSTERS` or more, by which `power_to_see` reaches
    `power`.

    Raises:
        ValueError: a difference that is not above 0, or so small that it takes more than `MOST`; a
            power that is not between 0.05 and 1.
    """
    _check(power, difference)
    level = (1 - CONFIDENCE) / 2 / comparisons
    # Known spread needs fewer than an estimated one: the search starts below and takes a few steps.
    known = (stats.norm.isf(level) + stats.norm.ppf(power)) * spread / difference
    if known > math.sqrt(MOST):
        raise ValueError(
            f"more than {MOST:,} individuals are needed to see a difference of {difference:g}"
        )
    number = max(FEWEST_CLUSTERS, math.floor(known**2))
    while power_to_see(difference, spread, number, comparisons=comparisons) < power:
        number += 1
    return number


def smallest_difference(
    spread: float, individuals: int, *, power: float = POWER, comparisons: int = 1
) -> float:
    """The difference that so many individuals show with the given power, in the unit of `spread`; 0
    where nothing varies.

    Raises:
        ValueError: fewer than 2 individuals, or a power that is not between 0.05 and 1.
    """
    _check(power)
    if individuals < 2:
        raise ValueError(f"{individuals} individuals cannot vary")
    if spread == 0:
        return 0.0
    largest = 1.0
    while power_to_see(largest, 1.0, individuals, comparisons=comparisons) < power:
        largest *= 2
    found = optimize.brentq(
        lambda effect: power_to_see(effect, 1.0, individuals, comparisons=comparisons) - power,
        0.0,
        largest,
    )
    return float(found) * spread


def spread_factors(individuals: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """By how much the true spread may differ from one estimated with so many individuals, as (low,
    high) factors.

    The interval of a standard deviation of normal values, from the chi-square distribution.
    """
    freedom = individuals - 1
    low, high = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], freedom)
    return math.sqrt(freedom / low), math.sqrt(freedom / high)


def _check(power: float, difference: float = 1.0) -> None:
    if not 1 - CONFIDENCE < power < 1:
        raise ValueError(f"a power lies between {1 - CONFIDENCE:.2f} and 1, not at {power:g}")
    if not 0 < difference < math.inf:
        raise ValueError(f"a difference to be seen is above 0, not {difference:g}")
