"""How much of what one arm learned another learned too: a ratio of two gains over the same floor, with an interval after Fieller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

from vbbench.report.claims.arms import Arms
from vbbench.report.claims.crossed import CrossedMean, crossed_mean
from vbbench.report.statistics import Estimate

FARTHEST = 1e6


@dataclass(frozen=True)
class Share:
    """A share (1 is all, 0 nothing, more and less are possible) with its interval; `lack` says why there is none."""

    estimate: Estimate
    p: float | None
    lack: str = ""


def learned_share(arms: Arms, whole: str, part: str, floor: str, null: float) -> Share:
    """(part - floor) / (whole - floor), of means over items and trainings.

    A share r is in the interval where part - floor - r (whole - floor) is not told apart from 0, over individuals and trainings
    together. So nothing need be known of how the two gains vary with each other, and an unclear whole is never divided by.

    Args:
        arms: scores of the three recipes by one metric of which more is better; at least as many individuals as an interval takes.
        null: share that p is against, two-sided.
    Source:
        Fieller 1954, "Some Problems in Interval Estimation".
    """

    def at(share: float) -> CrossedMean:
        return crossed_mean(arms.weighted({part: 1.0, whole: -share, floor: share - 1.0}), arms.individuals)

    gain = crossed_mean(arms.weighted({whole: 1.0, floor: -1.0}), arms.individuals)
    items, individuals = len(arms.items), len(set(arms.individuals))
    if gain.estimate().sign <= 0:
        return Share(Estimate(None, None, None, items, individuals), None, f"{whole} is not clearly above {floor}")
    learned = at(0.0).mean / gain.mean
    low, high = (_crossing(lambda share, end=end: at(share).interval()[end], learned, way) for end, way in ((0, -1), (1, 1)))
    if low is None or high is None:
        return Share(Estimate(learned, None, None, items, individuals), None, "the share has no bounded interval")
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
