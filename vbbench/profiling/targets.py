"""What is to be reached, as data, and whether a profile reached it.

The numbers are the project's own, set before the code was written; each says where it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbbench.profiling.measure import median_error
from vbbench.profiling.options import TARGET_THREADS, Options
from vbbench.profiling.record import BROKEN, Check, Row, best_peer

SPEEDUP, MEMORY_SHARE, ERROR, MILLISECONDS = "speedup", "memory share", "error", "milliseconds"
"""Quantities: times as fast as the baseline; peak memory over the baseline's; error against
float64; duration."""
CHOSEN = "chosen"
"""The fact that marks the row of what a user gets who asks for nothing."""
SYSTEM_SHARE = "system_share"
"""The fact that tells how much of a row's CPU time was the system's."""
LEAST_ERROR = 0.003
"""Of a median, relative: what rounds a moment apart do not show."""
FEW_ROUNDS, FEW_ROUNDS_ERROR = 3, 0.1
"""Fewer rounds than that tell no spread; the median is then taken to be off by so much at least."""
TARGET_GPUS = ("H100", "H200")


@dataclass(frozen=True)
class Target:
    """One bound.

    Attributes:
        name: in words.
        part: of which profile.
        device: ``cpu`` or ``cuda`` (one of `TARGET_GPUS`).
        dtype: of the rows.
        case: of the rows.
        quantity: see above.
        wanted: the bound: of speedups the least, of all else the most.
        source: whose figure.
        baseline: variant it is a ratio to; of several that begin with that word, the best.
    """

    name: str
    part: str
    device: str
    dtype: str
    case: str
    quantity: str
    wanted: float
    source: str
    baseline: str = ""

    @property
    def at_least(self) -> bool:
        """On which side of the bound is good."""
        return self.quantity == SPEEDUP

    @property
    def unit(self) -> str:
        """Of the bound."""
        return {SPEEDUP: "x", MEMORY_SHARE: "x", MILLISECONDS: "ms"}.get(self.quantity, "")


LAYERS = "16 layers, 256 px, 16 frames"
"""All attn1 layers of one network evaluation."""
_CPU = "targets for a CPU: float32, 1 thread, 16 frames, without gradients"
_GPU = "targets for an H100: bfloat16, 16 frames, without gradients"


def _cpu(case: str, quantity: str, wanted: float, words: str, baseline: str = "") -> Target:
    return Target(
        f"{case.split(',')[0]}: {words}",
        "attention",
        "cpu",
        "float32",
        case,
        quantity,
        wanted,
        _CPU,
        baseline,
    )


def _gpu(case: str, quantity: str, wanted: float, words: str, baseline: str = "") -> Target:
    return Target(
        f"{case.split(',')[0]}: {words}",
        "attention",
        "cuda",
        "bfloat16",
        case,
        quantity,
        wanted,
        _GPU,
        baseline,
    )


LARGE, MIDDLE = "1024 x 40, 16 frames", "256 x 80, 16 frames"
TARGETS: tuple[Target, ...] = (
    *(
        _cpu(case, SPEEDUP, 2.3, "faster than the released formulation", "released")
        for case in (LARGE, MIDDLE, LAYERS)
    ),
    *(
        _cpu(case, SPEEDUP, 1.05, "faster than SDPA on concatenated keys", "concat")
        for case in (LARGE, MIDDLE, LAYERS)
    ),
    _cpu(LARGE, MEMORY_SHARE, 1 / 40, "peak memory over the released formulation's", "released"),
    _cpu(MIDDLE, MEMORY_SHARE, 1 / 10, "peak memory over the released formulation's", "released"),
    *(_cpu(case, ERROR, 2e-6, "error against float64") for case in (LARGE, MIDDLE, LAYERS)),
    _gpu(LARGE, SPEEDUP, 6.0, "faster than the released formulation", "released"),
    _gpu(LARGE, SPEEDUP, 1.2, "faster than the best SDPA on concatenated keys", "concat"),
    _gpu(LAYERS, MILLISECONDS, 1.0, "duration"),
)


def checks_of(
    targets: Sequence[Target], rows: Sequence[Row], options: Options, environment: Mapping[str, Any]
) -> tuple[Check, ...]:
    """The targets of a profile against its rows.

    A target of another device does not count, nor one of which a narrowed run does not hold the
    figures.
    """
    return tuple(_check(target, rows, options, environment) for target in targets)


def _check(
    target: Target, rows: Sequence[Row], options: Options, environment: Mapping[str, Any]
) -> Check:
    about: dict[str, Any] = {
        "wanted": target.wanted,
        "at_least": target.at_least,
        "unit": target.unit,
        "source": target.source,
    }
    if reason := elsewhere(target.device, options, environment):
        return Check(target.name, measured=None, reason=reason, counts=False, **about)
    measured, uncertainty, reason = _measured(target, rows, options)
    counts = measured is not None or options.quick or not options.narrowed
    if measured is not None and not math.isfinite(measured):
        measured, reason = None, BROKEN if target.quantity == ERROR else "no finite number came out"
    return Check(
        target.name,
        measured=measured,
        reason=reason,
        counts=counts,
        uncertainty=uncertainty,
        **about,
    )


def elsewhere(device: str, options: Options, environment: Mapping[str, Any]) -> str:
    """Why this run cannot speak about a target for that device; empty if it can."""
    gpu = str(environment.get("gpu", ""))
    if device == "cuda" and not (
        options.device == "cuda" and any(name in gpu for name in TARGET_GPUS)
    ):
        return f"it is for an {' or '.join(TARGET_GPUS)}, and this run was on {gpu or 'a CPU'}"
    if device == "cpu" and options.device != "cpu":
        return "it is for a CPU"
    if device == "cpu" and options.threads != TARGET_THREADS:
        return f"it is for {TARGET_THREADS} thread, and this run had {options.threads}"
    return "it is for calls without gradients" if options.backward else ""


def _measured(
    target: Target, rows: Sequence[Row], options: Options
) -> tuple[float | None, float | None, str]:
    """The figure, how far it may be off, and why there is none."""
    ours = chosen_row(target, rows)
    if ours is None:
        if not _rows_of(target, rows):
            return None, None, f"its case was not measured in {target.dtype}"
        return (
            None,
            None,
            f"what a user gets by default was {'left out by --backends' if options.backends is not None else 'not measured'}",
        )
    if target.quantity == MILLISECONDS:
        return 1e3 * ours.median_seconds, None, ""
    if target.quantity == ERROR:
        return ours.error, None, "" if ours.error is not None else "no error was measured"
    theirs = best_peer(rows, ours, target.baseline)
    if theirs is None:
        return None, None, f"{target.baseline} was not measured"
    if target.quantity == SPEEDUP:
        return (
            theirs.median_seconds / ours.median_seconds,
            math.hypot(_median_error(ours), _median_error(theirs)),
            "",
        )
    if ours.peak_memory_mb is None or not theirs.peak_memory_mb:
        return None, None, "memory was not measured"
    return ours.peak_memory_mb / theirs.peak_memory_mb, None, ""


def chosen_row(target: Target, rows: Sequence[Row]) -> Row | None:
    """The row a target is about."""
    return next((row for row in _rows_of(target, rows) if row.facts.get(CHOSEN) is True), None)


def _rows_of(target: Target, rows: Sequence[Row]) -> list[Row]:
    about = (target.part, target.device, target.dtype, target.case, False)
    return [row for row in rows if (row.part, row.device, row.dtype, row.case, row.grad) == about]


def system_notes(targets: Sequence[Target], rows: Sequence[Row]) -> tuple[str, ...]:
    """Of each speed-up over the released formulation: how much of it the system's handing out of
    memory is."""
    found = []
    for target in targets:
        ours = (
            chosen_row(target, rows)
            if (target.quantity, target.baseline) == (SPEEDUP, "released")
            else None
        )
        theirs = best_peer(rows, ours, target.baseline) if ours is not None else None
        if ours is None or theirs is None:
            continue
        our_share, their_share = (row.facts.get(SYSTEM_SHARE) for row in (ours, theirs))
        if our_share is None or their_share is None:
            continue
        without = (
            theirs.median_seconds * (1 - their_share) / (ours.median_seconds * (1 - our_share))
            if our_share < 1
            else math.inf
        )
        found.append(
            f"{target.case}: of {theirs.variant}'s time {100 * their_share:.0f} % went to the system handing out memory (of "
            f"{ours.variant}'s {100 * our_share:.0f} %); without that it would be {without:.2f} x."
        )
    return tuple(found)


def _median_error(row: Row) -> float:
    """About how far off a median may be, relative; more where rounds are few."""
    least = LEAST_ERROR if row.rounds >= FEW_ROUNDS else FEW_ROUNDS_ERROR
    return max(least, median_error(row.spread, row.rounds) * (1 + 4 / row.rounds))
