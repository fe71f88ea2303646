"""Claims held against scores: a difference (or a share) with its interval, and what it says of the
claim.

Every interval is for itself, at 95 %. Of some 30 of them one or two may miss the truth by chance;
Holm's corrected p value, over all metrics of all claims, stands beside for those who ask whether
any such difference is there at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from vbbench.results import formatting
from vbbench.results.claims.paper_claims import CLAIMS, FIRST_CLIP, SHARE, Claim
from vbbench.results.comparisons import holm
from vbbench.results.run_data import RunData
from vbbench.results.statistics import FEWEST_CLUSTERS, CrossedMean, Estimate, crossed_mean

# The scores that a claim compares: for each of its recipes the same items, in the same trainings.
#
# I items, S trainings.


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
    numbered = [
        {seed for seed in trainings if seed is not None}
        for trainings in measured.values()
        if None not in trainings
    ]
    seeds = sorted(set.intersection(*numbered)) if numbered else []
    if numbered and not seeds:
        return Lack(
            f"{formatting.listed(recipes)} have no training of the same number", tuple(recipes)
        )
    compared: Sequence[int | None] = seeds or [None]
    chosen = {
        recipe: [trainings[None if None in trainings else seed] for seed in compared]
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


# How much of what one arm learned another learned too: a ratio of two gains over the same floor,
# with an interval after Fieller.

FARTHEST = 1e6


@dataclass(frozen=True)
class Share:
    """A share (1 is all, 0 nothing, more and less are possible) with its interval; `lack` says why
    there is none."""

    estimate: Estimate
    p: float | None
    lack: str = ""


def learned_share(arms: Arms, whole: str, part: str, floor: str, null: float) -> Share:
    """(part - floor) / (whole - floor), of means over items and trainings.

    A share r is in the interval where part - floor - r (whole - floor) is not told apart from 0,
    over individuals and trainings together. So nothing need be known of how the two gains vary with
    each other, and an unclear whole is never divided by.

    Args:
        arms: scores of the three recipes by one metric of which more is better; at least as many
            individuals as an interval takes.
        null: share that p is against, two-sided.
    Source:
        Fieller 1954, "Some Problems in Interval Estimation".
    """

    def at(share: float) -> CrossedMean:
        return crossed_mean(
            arms.weighted({part: 1.0, whole: -share, floor: share - 1.0}), arms.individuals
        )

    gain = crossed_mean(arms.weighted({whole: 1.0, floor: -1.0}), arms.individuals)
    items, individuals = len(arms.items), len(set(arms.individuals))
    if gain.estimate().sign <= 0:
        return Share(
            Estimate(None, None, None, items, individuals),
            None,
            f"{whole} is not clearly above {floor}",
        )
    learned = at(0.0).mean / gain.mean
    low = _crossing(lambda share: at(share).interval()[0], learned, -1)
    high = _crossing(lambda share: at(share).interval()[1], learned, 1)
    if low is None or high is None:
        return Share(
            Estimate(learned, None, None, items, individuals),
            None,
            "the share has no bounded interval",
        )
    return Share(Estimate(learned, low, high, items, individuals), at(null).p_value())


def _crossing(end: Callable[[float], float], start: float, direction: int) -> float | None:
    """Where an interval's end passes 0 on the way from `start`; None where it does not."""
    if end(start) == 0:
        return start
    step = 0.25
    while end(start + direction * step) * end(start) > 0:
        step *= 2
        if step > FARTHEST:
            return None
    return round(float(brentq(end, start, start + direction * step, xtol=1e-9)), 9)


REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_MEASURED = (
    "reproduced",
    "not reproduced",
    "undecided",
    "not measured",
)
FIRST_RULE = (NOT_MEASURED, NOT_REPRODUCED, UNDECIDED, REPRODUCED)
"""A claim has the first of these verdicts that one of its metrics has: it is reproduced where it is
by all of them."""
ENOUGH_TRAININGS = 3


@dataclass(frozen=True)
class Finding:
    """A claim by one metric.

    Attributes:
        estimate: better - worse in the metric's unit, or the share learned, with its 95 % interval;
            None where nothing was measured.
        direction: +1 where the claim says that the estimate is above `null`, -1 where below.
        null: where the claim begins to be true: 0, the margin, or the share.
        seeds: numbers of the trainings compared; empty where none of the recipes has trained
            weights of its own.
        p, corrected: two-sided against `null`: alone, and after Holm's correction; None without
            interval, and for metrics told beside.
        lost: model -> number of items without a value.
        unused: models left out, for want of the same training of another recipe.
        lack: why nothing was measured; or why there is no interval.
        missing: recipes to measure.
    """

    metric: str
    estimate: Estimate | None
    direction: int
    null: float = 0.0
    seeds: tuple[int, ...] = ()
    p: float | None = None
    corrected: float | None = None
    lost: Mapping[str, int] | None = None
    unused: tuple[str, ...] = ()
    lack: str = ""
    missing: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """*reproduced*: the whole interval is on the claimed side; *not reproduced*: all of it is
        on the other; else *undecided*."""
        if self.estimate is None:
            return NOT_MEASURED
        if self.estimate.low is None or self.estimate.high is None:
            return UNDECIDED
        above = int(self.estimate.low > self.null) - int(self.estimate.high < self.null)
        return {1: REPRODUCED, 0: UNDECIDED, -1: NOT_REPRODUCED}[above * self.direction]

    @property
    def one_training(self) -> bool:
        """Whether a single training stands for all: another could come out otherwise."""
        return len(self.seeds) == 1


@dataclass(frozen=True)
class Result:
    """A claim by all of its metrics; `findings` decide, `beside` is told."""

    claim: Claim
    findings: tuple[Finding, ...]
    beside: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """By the rule of `FIRST_RULE`."""
        return min((finding.verdict for finding in self.findings), key=FIRST_RULE.index)

    @property
    def one_training(self) -> bool:
        """Whether it is measured, and a single training stands for all."""
        return self.verdict != NOT_MEASURED and any(
            finding.one_training for finding in self.findings
        )

    @property
    def established(self) -> bool:
        """Whether there is a verdict that holds of more than one training, or that trainings have
        no part in."""
        return self.verdict in (REPRODUCED, NOT_REPRODUCED) and not self.one_training

    @property
    def missing(self) -> tuple[str, ...]:
        """Recipes to measure."""
        return tuple(
            dict.fromkeys(recipe for finding in self.findings for recipe in finding.missing)
        )


def evaluate(run: RunData, claims: Sequence[Claim] = CLAIMS) -> list[Result]:
    """Every claim against the scores of a run."""
    results = [
        Result(
            claim,
            *(
                tuple(_finding(run, claim, metric) for metric in names)
                for names in (claim.metrics, claim.beside)
            ),
        )
        for claim in claims
    ]
    tested = [
        finding.p for result in results for finding in result.findings if finding.p is not None
    ]
    corrected = iter(holm(tested))
    return [
        replace(
            result,
            findings=tuple(
                f if f.p is None else replace(f, corrected=next(corrected)) for f in result.findings
            ),
        )
        for result in results
    ]


def _finding(run: RunData, claim: Claim, metric: str) -> Finding:
    higher = {spec.name: spec.higher_is_better for spec in run.metrics} | {FIRST_CLIP: False}
    sign = 1 if higher.get(metric, True) else -1
    direction, null = (-1, claim.share) if claim.kind == SHARE else (sign, -sign * claim.margin)
    found = gather(run, claim.arms, metric)
    if isinstance(found, Lack):
        return Finding(metric, None, direction, null, lack=found.says, missing=found.recipes)
    # seconds do not depend on what was learned: one training is as good as three
    seeds = () if metric == FIRST_CLIP and len(found.seeds) == 1 else found.seeds
    told = Finding(metric, None, direction, null, seeds, lost=found.lost, unused=found.unused)
    individuals = len(set(found.individuals))
    if individuals < FEWEST_CLUSTERS:
        difference = found.weighted({claim.better: 1.0, claim.worse: -1.0}).mean()
        mean = None if claim.kind == SHARE else float(difference)
        return replace(
            told,
            estimate=Estimate(mean, None, None, len(found.items), individuals),
            lack="too few individuals",
        )
    if claim.kind == SHARE:
        share = learned_share(found, claim.better, claim.worse, str(claim.floor), claim.share)
        return replace(told, estimate=share.estimate, p=share.p, lack=share.lack)
    difference = _difference(found, claim)
    return replace(told, estimate=difference.estimate(), p=difference.p_value(null))


def _difference(arms: Arms, claim: Claim) -> CrossedMean:
    return crossed_mean(arms.weighted({claim.better: 1.0, claim.worse: -1.0}), arms.individuals)
