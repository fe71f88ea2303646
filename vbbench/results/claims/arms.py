"""The scores that a claim compares: for each of its recipes the same items, in the same trainings.

I items, S trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from vbbench.results import formatting
from vbbench.results.claims.paper_claims import FIRST_CLIP
from vbbench.results.clustered import (
    CONFIDENCE,
    ClusteredMeans,
    by_cluster,
    clustered_means,
    ratio_of_sums,
    tidy,
)
from vbbench.results.run_data import RunData
from vbbench.results.statistics import Estimate


@dataclass(frozen=True)
class Arms:
    """Values of several recipes over the same items and trainings.

    Attributes:
        values: recipe -> (I, S).
        items: the I items' ids.
        individuals: whom each of them is of.
        seeds: numbers of the S trainings; empty where no recipe has trained weights of its own (S
            is 1 then).
        lost: model -> number of its items without a value; an item that one model lacks is left out
            of all.
        unused: models that were measured and not compared, because another recipe lacks a training
            of that number.
    """

    values: Mapping[str, np.ndarray]
    items: tuple[str, ...]
    individuals: tuple[str, ...]
    seeds: tuple[int, ...]
    lost: Mapping[str, int]
    unused: tuple[str, ...]

    def weighted(self, weights: Mapping[str, float]) -> np.ndarray:
        """(I, S): the recipes' values, each times its weight, added up."""
        return sum(
            (weight * self.values[recipe] for recipe, weight in weights.items()),
            np.zeros_like(next(iter(self.values.values()))),
        )


@dataclass(frozen=True)
class Lack:
    """Why recipes cannot be compared; `recipes` are those to measure."""

    says: str
    recipes: tuple[str, ...] = ()


def gather(run: RunData, recipes: Sequence[str], metric: str) -> Arms | Lack:
    """The values of recipes by one metric, as far as all of them have it.

    A training of one recipe is compared with the training of the same number of another: they have
    the numbers of their random draws and the order of their data in common, and which goes with
    which makes no difference to the mean. A recipe without trained weights of its own stands beside
    each training of the others as it is.

    Args:
        metric: name of one of the run's metrics, or `FIRST_CLIP`.
    """
    unknown = tuple(
        recipe for recipe in recipes if recipe not in {model.recipe for model in run.models}
    )
    if metric != FIRST_CLIP and metric not in {spec.name for spec in run.metrics}:
        return Lack(f"{formatting.metric_title(metric)} was not measured", unknown)
    measured = {recipe: _by_training(run, recipe, metric) for recipe in recipes}
    absent = tuple(recipe for recipe, trainings in measured.items() if not trainings)
    if absent:
        return Lack(f"no scores of {formatting.listed(absent)}", absent)
    numbered = [set(trainings) for trainings in measured.values() if None not in trainings]
    seeds = sorted(set.intersection(*numbered)) if numbered else []
    if numbered and not seeds:
        return Lack(
            f"{formatting.listed(recipes)} have no training of the same number", tuple(recipes)
        )
    chosen = {
        recipe: [trainings[None if None in trainings else seed] for seed in seeds or [None]]
        for recipe, trainings in measured.items()
    }
    used = list(dict.fromkeys(name for names in chosen.values() for name in names))
    unused = tuple(
        name for trainings in measured.values() for name in trainings.values() if name not in used
    )
    values = {name: values_of(run, name, metric) for name in used}
    items = [item for item in run.items if all(item.id in own for own in values.values())]
    if not items:
        return Lack(f"no item has a value of each of {formatting.listed(used)}", tuple(recipes))
    return Arms(
        {
            recipe: np.array([[values[name][item.id] for name in names] for item in items])
            for recipe, names in chosen.items()
        },
        tuple(item.id for item in items),
        tuple(item.subject_id for item in items),
        tuple(seeds),
        {name: left for name, own in values.items() if (left := len(run.items) - len(own))},
        unused,
    )


def values_of(run: RunData, model: str, metric: str) -> dict[str, float]:
    """Item id -> value, of the items that have one."""
    if metric != FIRST_CLIP:
        return run.values(model, metric)
    fits = {subject: seconds for subject, seconds, _ in run.fits[model]}
    found = {}
    for item in run.items:
        clip = run.clips[model, item.id]
        # a model that is fitted at all has no clip of a subject whose fit is not on record
        if (
            clip.status == "done"
            and clip.seconds is not None
            and (not fits or item.subject_id in fits)
        ):
            found[item.id] = fits.get(item.subject_id, 0.0) + clip.seconds
    return found


def _by_training(run: RunData, recipe: str, metric: str) -> dict[int | None, str]:
    """Number of the training -> model, of the recipe's models that have any value; where any has a
    number, only those with one."""
    found: dict[int | None, str] = {}
    for model in run.models:
        if model.recipe == recipe and values_of(run, model.name, metric):
            found.setdefault(model.training_seed, model.name)
    return {seed: name for seed, name in found.items() if seed is not None} or found


# Means over individuals and trainings: both are samples, and a claim about a method is about all
# individuals and all trainings.
#
# I items, S trainings, G individuals.
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
# `tests/report/claims/coverage.py` prints the table. The price is width: with 3 trainings that
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
