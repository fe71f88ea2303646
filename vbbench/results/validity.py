"""What `vbbench metrics --validate` found: does each metric go down as a damage grows, where it
ought to, and only there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from vbbench.metrics.validation.claims import CLAIMS, FALL, FREE, STAY, expected
from vbbench.results.statistics import Estimate, mean_with_interval

if TYPE_CHECKING:
    from vbbench.metrics.validation.damage import Damage
    from vbbench.metrics.validation.validity import Scored, Validation
    from vbbench.types import MetricSpec

SMALLEST_EFFECT = 0.2
"""Change at the largest level, in standard deviations of real clips, below which a metric is said
to stay (Cohen's "small" effect)."""
ALL_RANKS = (-1.0, 1.0)
TIE_DECIMALS = 5
"""Scores that differ below this are equal: batches and thread counts move them so far."""
SEES, BLIND, STAYS, MOVES, FOOLED = "sees", "blind", "stays", "moves", "fooled"
UNJUDGED = {-1: "falls", 0: "flat", 1: "rises"}
GOOD = (SEES, STAYS)


@dataclass(frozen=True)
class Level:
    """All clips at one level: mean score, and change from the real clips in the metric's better
    direction, with its interval."""

    level: float
    mean: float
    change: Estimate


@dataclass(frozen=True)
class Cell:
    """A metric under a damage.

    Attributes:
        metric, damage: names.
        expected: what it ought to do: `vbbench.metrics.validation.claims.expected`.
        correlation: Spearman's, of level and score (better being higher) within a clip, meaned over
            clips.
        effect: change at the largest level in standard deviations of the real clips' scores; None
            where those do not differ.
        threshold: the level from which on every change is clear of zero, on the side of the last
            one; None where there is none.
        levels: every level, the real clips' first.
    """

    metric: str
    damage: str
    expected: str
    correlation: Estimate
    effect: float | None
    threshold: float | None
    levels: tuple[Level, ...]

    @property
    def direction(self) -> int:
        """-1: it falls; +1: it rises; 0: neither, which needs a correlation and a last change that
        are both clear of zero on one side, and at least `SMALLEST_EFFECT`."""
        sign = self.correlation.sign
        large = self.effect is not None and abs(self.effect) >= SMALLEST_EFFECT
        return sign if large and sign == self.levels[-1].change.sign else 0

    @property
    def verdict(self) -> str:
        """``sees`` or ``blind`` where it ought to fall, ``stays`` or ``moves`` where it ought to
        stay, in both ``fooled`` where it rises; ``falls``, ``flat`` or ``rises`` where nobody can
        say what it ought to do."""
        if self.expected == FREE:
            return UNJUDGED[self.direction]
        if self.direction > 0:
            return FOOLED
        falls = self.direction < 0
        return (SEES if falls else BLIND) if self.expected == FALL else (MOVES if falls else STAYS)


@dataclass(frozen=True)
class TruthRow:
    """A metric that is read as telling identity, beside the true identity that the damaged clips
    were drawn with.

    Attributes:
        metric: its name.
        by_damage: damage -> Spearman's correlation of true identity and score within a clip, meaned
            over clips.
        within: the same over all of these damages together.
        across: over all clips and damages at once: are the numbers of two individuals comparable?
    """

    metric: str
    by_damage: Mapping[str, Estimate]
    within: Estimate
    across: float


@dataclass(frozen=True)
class Findings:
    """Everything that is read from a validation: (metric, damage) -> cell; metric -> scores of the
    real clips, lowest first."""

    validation: Validation
    cells: Mapping[tuple[str, str], Cell]
    real: Mapping[str, tuple[float, ...]]
    truths: tuple[TruthRow, ...]

    @property
    def families(self) -> list[list[str]]:
        """Names of the metrics that hold a video against its prompts, and of those that look at
        time."""
        names = [spec.name for spec in self.validation.specs]
        timely = [name for name in names if CLAIMS[name] & {"steadiness", "pace"}]
        return [
            family for family in ([name for name in names if name not in timely], timely) if family
        ]

    def of_metric(self, name: str, *verdicts: str) -> list[Cell]:
        """Its cells that have one of the verdicts, in the order of the damages."""
        return [
            cell
            for (metric, _), cell in self.cells.items()
            if metric == name and cell.verdict in verdicts
        ]

    def of_damage(self, name: str, *verdicts: str) -> list[Cell]:
        """Its cells that have one of the verdicts, in the order of the metrics."""
        return [
            cell
            for (_, damage), cell in self.cells.items()
            if damage == name and cell.verdict in verdicts
        ]


def analyse(validation: Validation) -> Findings:
    """The numbers. With fewer than `statistics.FEWEST_CLUSTERS` clips there are no intervals, and
    no metric is said to see anything."""
    table = _Table(validation)
    cells = {
        (spec.name, damage.name): _cell(table, spec, damage)
        for spec in validation.specs
        for damage in validation.damages
    }
    real = {
        spec.name: tuple(
            sorted(value for row in validation.real if (value := row.values[spec.name]) is not None)
        )
        for spec in validation.specs
    }
    identity = [damage for damage in validation.damages if "identity" in damage.harms]
    told = (
        [spec for spec in validation.specs if "identity" in CLAIMS[spec.name]] if identity else []
    )
    return Findings(
        validation, cells, real, tuple(_truth_row(table, spec, identity) for spec in told)
    )


def rank_correlation(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """Spearman's, ties sharing their mean rank; 0 where one of the two is constant: it tells
    nothing of the other."""
    ranks = [rankdata(np.round(values, TIE_DECIMALS)) for values in (x, y)]
    if any(np.ptp(own) == 0 for own in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


class _Table:
    """Scores by damage, level and clip."""

    def __init__(self, validation: Validation) -> None:
        self._rows: dict[tuple[str, float], dict[str, Scored]] = {}
        for row in (*validation.real, *validation.damaged):
            self._rows.setdefault((row.damage, row.level), {})[row.case] = row

    def rows(self, damage: str = "", level: float = 0.0) -> dict[str, Scored]:
        """Clip -> its row; level 0 of every damage is the real clip."""
        return self._rows["" if level == 0 else damage, level]

    def scores(self, spec: MetricSpec, damage: str = "", level: float = 0.0) -> dict[str, float]:
        """Clip -> score, turned so that higher is better; clips without one are left out."""
        sign = 1 if spec.higher_is_better else -1
        values = {case: row.values[spec.name] for case, row in self.rows(damage, level).items()}
        return {case: sign * value for case, value in values.items() if value is not None}

    def series(self, spec: MetricSpec, damage: Damage) -> dict[str, list[float]]:
        """Clip -> its scores at all levels; clips that lack one are left out."""
        levels = [self.scores(spec, damage.name, level) for level in damage.levels]
        return {
            case: [scores[case] for scores in levels]
            for case in levels[0]
            if all(case in scores for scores in levels)
        }


def _cell(table: _Table, spec: MetricSpec, damage: Damage) -> Cell:
    series = table.series(spec, damage)
    cases = list(series)
    scores_NL = np.array(list(series.values())).reshape(len(cases), len(damage.levels))
    correlations = [rank_correlation(damage.levels, own_L) for own_L in scores_NL]
    sign = 1 if spec.higher_is_better else -1
    levels = tuple(
        Level(
            level,
            sign * float(at_N.mean()) if len(at_N) else float("nan"),
            mean_with_interval(list(at_N - scores_NL[:, 0]), cases),
        )
        for level, at_N in zip(damage.levels, scores_NL.T, strict=True)
    )
    spread = float(np.std(scores_NL[:, 0], ddof=1)) if len(cases) > 1 else 0.0
    last = levels[-1].change
    effect = last.mean / spread if last.mean is not None and spread > 0 else None
    correlation = mean_with_interval(correlations, cases, ALL_RANKS)
    return Cell(
        spec.name,
        damage.name,
        expected(spec.name, damage),
        correlation,
        effect,
        _threshold(levels),
        levels,
    )


def _threshold(levels: Sequence[Level]) -> float | None:
    sign = levels[-1].change.sign
    found = None
    for level in reversed(levels[1:]):
        if not sign or level.change.sign != sign:
            break
        found = level.level
    return found


def _truth_row(table: _Table, spec: MetricSpec, damages: Sequence[Damage]) -> TruthRow:
    pairs = {damage.name: _with_truth(table, spec, damage) for damage in damages}
    common = [
        case for case in next(iter(pairs.values())) if all(case in own for own in pairs.values())
    ]
    together = {case: [pair for own in pairs.values() for pair in own[case]] for case in common}
    everything = [pair for own in together.values() for pair in own]
    by_damage = {name: _mean_correlation(own) for name, own in pairs.items()}
    return TruthRow(
        spec.name,
        by_damage,
        _mean_correlation(together),
        rank_correlation(*zip(*everything, strict=True)) if common else 0.0,
    )


def _with_truth(
    table: _Table, spec: MetricSpec, damage: Damage
) -> dict[str, list[tuple[float, float]]]:
    """Clip -> (true identity, score) at all levels."""
    return {
        case: [
            (table.rows(damage.name, level)[case].identity, score)
            for level, score in zip(damage.levels, scores, strict=True)
        ]
        for case, scores in table.series(spec, damage).items()
    }


def _mean_correlation(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> Estimate:
    return mean_with_interval(
        [rank_correlation(*zip(*own, strict=True)) for own in pairs.values()],
        list(pairs),
        ALL_RANKS,
    )


__all__ = [
    "BLIND", "FOOLED", "GOOD", "MOVES", "SEES", "STAY", "STAYS", "Cell", "Findings", "Level", "TruthRow", "analyse", "rank_correlation",
]  # fmt: skip
