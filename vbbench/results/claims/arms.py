"""The scores that a claim compares: for each of its recipes the same items, in the same trainings.

I items, S trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vbbench.results import format as words
from vbbench.results.claims.paper_claims import FIRST_CLIP
from vbbench.results.run_data import RunData


@dataclass(frozen=True)
class Arms:
    """Values of several recipes over the same items and trainings.

    Attributes:
        values: recipe -> (I, S).
        items: the I items' ids.
        individuals: whom each of them is of.
        seeds: numbers of the S trainings; empty where no recipe has trained weights of its own (S is 1 then).
        lost: model -> number of its items without a value; an item that one model lacks is left out of all.
        unused: models that were measured and not compared, because another recipe lacks a training of that number.
    """

    values: Mapping[str, np.ndarray]
    items: tuple[str, ...]
    individuals: tuple[str, ...]
    seeds: tuple[int, ...]
    lost: Mapping[str, int]
    unused: tuple[str, ...]

    def weighted(self, weights: Mapping[str, float]) -> np.ndarray:
        """(I, S): the recipes' values, each times its weight, added up."""
        return sum((weight * self.values[recipe] for recipe, weight in weights.items()), np.zeros_like(next(iter(self.values.values()))))


@dataclass(frozen=True)
class Lack:
    """Why recipes cannot be compared; `recipes` are those to measure."""

    says: str
    recipes: tuple[str, ...] = ()


def gather(run: RunData, recipes: Sequence[str], metric: str) -> Arms | Lack:
    """The values of recipes by one metric, as far as all of them have it.

    A training of one recipe is compared with the training of the same number of another: they have the numbers of their random draws and
    the order of their data in common, and which goes with which makes no difference to the mean. A recipe without trained weights of its
    own stands beside each training of the others as it is.

    Args:
        metric: name of one of the run's metrics, or `FIRST_CLIP`.
    """
    unknown = tuple(recipe for recipe in recipes if recipe not in {model.recipe for model in run.models})
    if metric != FIRST_CLIP and metric not in {spec.name for spec in run.metrics}:
        return Lack(f"{words.metric_title(metric)} was not measured", unknown)
    measured = {recipe: _by_training(run, recipe, metric) for recipe in recipes}
    absent = tuple(recipe for recipe, trainings in measured.items() if not trainings)
    if absent:
        return Lack(f"no scores of {words.listed(absent)}", absent)
    numbered = [set(trainings) for trainings in measured.values() if None not in trainings]
    seeds = sorted(set.intersection(*numbered)) if numbered else []
    if numbered and not seeds:
        return Lack(f"{words.listed(recipes)} have no training of the same number", tuple(recipes))
    chosen = {
        recipe: [trainings[None if None in trainings else seed] for seed in seeds or [None]] for recipe, trainings in measured.items()
    }
    used = list(dict.fromkeys(name for names in chosen.values() for name in names))
    unused = tuple(name for trainings in measured.values() for name in trainings.values() if name not in used)
    values = {name: values_of(run, name, metric) for name in used}
    items = [item for item in run.items if all(item.id in own for own in values.values())]
    if not items:
        return Lack(f"no item has a value of each of {words.listed(used)}", tuple(recipes))
    return Arms(
        {recipe: np.array([[values[name][item.id] for name in names] for item in items]) for recipe, names in chosen.items()},
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
        if clip.status == "done" and clip.seconds is not None and (not fits or item.subject_id in fits):
            found[item.id] = fits.get(item.subject_id, 0.0) + clip.seconds
    return found


def _by_training(run: RunData, recipe: str, metric: str) -> dict[int | None, str]:
    """Number of the training -> model, of the recipe's models that have any value; where any has a number, only those with one."""
    found: dict[int | None, str] = {}
    for model in run.models:
        if model.recipe == recipe and values_of(run, model.name, metric):
            found.setdefault(model.training_seed, model.name)
    return {seed: name for seed, name in found.items() if seed is not None} or found
