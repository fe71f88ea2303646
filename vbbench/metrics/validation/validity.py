"""Every metric held against damage of known size: what `vbbench metrics --validate` measures. See
`vbbench.results.validity`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from vbbench.core.digests import sha256_number
from vbbench.data import world
from vbbench.errors import UsageError
from vbbench.metrics import METRICS, functional, get_metric
from vbbench.metrics.analysis import Encoders
from vbbench.metrics.cache import LIBRARIES
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scoring import ClipToScore, score_clips
from vbbench.metrics.validation.cases import Case, make_cases, write_item
from vbbench.metrics.validation.damage import DAMAGES, Damage
from vbbench.types import MetricSpec, Score, Video

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric

PER_CLASS = 5
SEED = 0
FPS = 8
EXAMPLE_MOTIONS = ("left", "right")
"""Those in which frames out of order can be told at a glance."""


@dataclass(frozen=True)
class Scored:
    """A clip at one level of one damage: its true identity (`exact_identity`) and each metric's
    value; None where there is none."""

    damage: str
    level: float
    case: str
    identity: float
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class Validation:
    """All that was measured.

    Attributes:
        specs: of the metrics, in the registry's order.
        absent: metric -> why the scale does not have it.
        damages: with the levels that were used.
        classes, per_class, seed: which individuals of `vbbench.metrics.validation.cases.SPLIT`;
            where scenes, motions and chance came from.
        real: every clip as it is.
        damaged: every clip at every level above 0 of every damage.
        failures: reasons of scores without a value.
        examples: damage -> uint8 (levels, T, 64, 64, 3), one clip at every level.
        libraries: name -> version, of those that take part in the numbers.
    """

    specs: tuple[MetricSpec, ...]
    absent: Mapping[str, str]
    damages: tuple[Damage, ...]
    classes: tuple[str, ...]
    per_class: int
    seed: int
    real: tuple[Scored, ...]
    damaged: tuple[Scored, ...]
    failures: tuple[str, ...]
    examples: Mapping[str, np.ndarray]
    libraries: Mapping[str, str]


@dataclass(frozen=True)
class _Job:
    damage: str
    level: float
    case: Case
    frames_THWC: np.ndarray
    identity: float


def validate(
    setting: Setting,
    device: str = "cpu",
    *,
    classes: Sequence[str] = world.CLASSES,
    per_class: int = PER_CLASS,
    damages: Sequence[str] = tuple(DAMAGES),
    levels: int | None = None,
    seed: int = SEED,
    start: Callable[[int], None] = lambda clips: None,
    advance: Callable[[], None] = lambda: None,
) -> Validation:
    """Damage real clips of held-out individuals, and score them by all metrics that the scale has.

    Args:
        setting: its ``num_frames`` and ``fps`` are set to those of the miniature world.
        levels: how many of each damage, 0 and the largest among them; all by default.
        start: told how many clips will be scored.
        advance: called once one is.
    Raises:
        WeightsError: an encoder's weights are not to be had.
    """
    setting = replace(setting, num_frames=world.NUM_FRAMES, fps=float(FPS))
    metrics, absent = _metrics(setting)
    cases = make_cases(classes, per_class, seed)
    chosen = [_thinned(DAMAGES[name], levels) for name in damages]
    start(len(cases) * (1 + sum(len(damage.levels) - 1 for damage in chosen)))
    scored: list[Scored] = []
    failures: dict[str, None] = {}
    with TemporaryDirectory() as folder:
        items = {case.id: write_item(Path(folder), case) for case in cases}
        waiting: list[_Job] = []

        def clips() -> Iterator[ClipToScore]:
            for job in _jobs(cases, chosen, seed):
                waiting.append(job)
                yield ClipToScore(
                    f"{job.damage} {job.level:g}", items[job.case.id], Video(job.frames_THWC, FPS)
                )

        for scores in score_clips(clips(), metrics, Encoders(setting, device)):
            scored.append(_scored(waiting.pop(0), scores))
            failures |= {
                f"{score.metric}: {score.reason}": None for score in scores if score.value is None
            }
            advance()
    example = next((case for case in cases if case.motion in EXAMPLE_MOTIONS), cases[0])
    return Validation(
        specs=tuple(metric.spec for metric in metrics),
        absent=absent,
        damages=tuple(chosen),
        classes=tuple(classes),
        per_class=per_class,
        seed=seed,
        real=tuple(row for row in scored if row.level == 0),
        damaged=tuple(row for row in scored if row.level != 0),
        failures=tuple(failures),
        examples={damage.name: examples_of(damage, example, seed) for damage in chosen},
        libraries={name: version(name) for name in LIBRARIES},
    )


def exact_identity(people: world.IndividualBatch, person: world.Individual) -> float:
    """`functional.true_identity` from the colours and the kind of marking that a clip was drawn
    with, no pixel read; mean over frames."""
    return float(
        np.mean(
            [
                _likeness(row.tobytes(), int(kind), person)
                for row, kind in zip(people.colours, people.marking, strict=True)
            ]
        )
    )


@lru_cache(maxsize=4096)
def _likeness(colours: bytes, kind: int, person: world.Individual) -> float:
    names = ("base", "secondary", "marking")
    seen = dict(zip(names, np.frombuffer(colours, np.uint8).reshape(3, 3), strict=True))
    truth = dict(
        zip(
            names,
            map(np.array, (person.base, person.secondary, person.marking_colour)),
            strict=True,
        )
    )
    kinds_K = np.eye(len(world.MARKINGS))[kind]
    return functional.true_identity(
        dict(seen), kinds_K, truth, world.MARKINGS.index(person.marking)
    )


def examples_of(damage: Damage, case: Case, seed: int) -> np.ndarray:
    """The clip at every level of a damage, uint8 (levels, T, 64, 64, 3)."""
    return np.stack(
        [damage.apply(case, level, _own_seed(seed, case, damage))[0] for level in damage.levels]
    )


def _jobs(cases: Sequence[Case], damages: Sequence[Damage], seed: int) -> Iterator[_Job]:
    for case in cases:
        yield _Job("", 0.0, case, case.frames_THWC, 1.0)
    for damage in damages:
        for level in damage.levels[1:]:
            for case in cases:
                frames, people = damage.apply(case, level, _own_seed(seed, case, damage))
                yield _Job(damage.name, level, case, frames, exact_identity(people, case.person))


def _own_seed(seed: int, case: Case, damage: Damage) -> int:
    """The same for all levels."""
    return sha256_number(f"{seed}:{case.id}:{damage.name}")


def _metrics(setting: Setting) -> tuple[list[Metric], dict[str, str]]:
    found, absent = [], {}
    for name in METRICS:
        try:
            found.append(get_metric(name, setting))
        except UsageError as error:
            absent[name] = str(error)
    return found, absent


def _thinned(damage: Damage, levels: int | None) -> Damage:
    if levels is None:
        return damage
    kept = np.linspace(0, len(damage.levels) - 1, levels).round().astype(int)
    return replace(damage, levels=tuple(damage.levels[place] for place in kept))


def _scored(job: _Job, scores: Sequence[Score]) -> Scored:
    return Scored(
        job.damage,
        job.level,
        job.case.id,
        job.identity,
        {score.metric: score.value for score in scores},
    )
