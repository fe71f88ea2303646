"""``vbbench profile attention``: injection attention by every backend, over shapes, frames and
resolutions."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vbbench.attention import BACKENDS
from vbbench.core.environment import commit, describe
from vbbench.core.threads import torch_threads
from vbbench.profiling.attention_bench import ERROR_TOKENS, quiet
from vbbench.profiling.attention_cases import FRAME_COUNT, LEVELS, PART, Case, cases_for
from vbbench.profiling.attention_rows import Bench
from vbbench.profiling.ceilings import floor_seconds, measure_ceilings
from vbbench.profiling.finite import worst
from vbbench.profiling.measure import clock_for, clock_words
from vbbench.profiling.options import Options, command, refuse_unknown_names
from vbbench.profiling.record import Ceiling, Check, Gap, Record, Row
from vbbench.profiling.targets import (
    CHOSEN,
    LAYERS,
    MEMORY_SHARE,
    SPEEDUP,
    SYSTEM_SHARE,
    TARGETS,
    Target,
    checks_of,
    system_notes,
)

# How injection attention is measured, in words for the page.

YARDSTICK = "reference"
"""The formula itself: for numbers, not for speed; timed only when asked for."""

ON_A_GPU = "what PyTorch allocated at most during a call, less what it held before."
ON_A_CPU = (
    "the peak resident set of a fresh process less its resident set just before the call; by then inputs are made and the code is loaded. "
    "About 1 MB is not resolved."
)
SYSTEM = (
    "System: what the operating system took of the time. Each large tensor is new memory, handed out page by page at every call; a "
    "formulation that stores its scores pays for that, and an allocator that kept memory would spare it."
)


def how(options: Options) -> tuple[str, ...]:
    """A paragraph each."""
    gpu = options.device == "cuda"
    quick = "A quick profile tries what the targets are about alone, and weighs only the cases that have a bound of memory."
    return (
        f"Time: {clock_words(options.device, options.threads)}. Variants run in turn, once a round, every round beginning with another; "
        "what counts is the median of the rounds. The spread is the interquartile range over the median. Calls quicker than a few "
        "milliseconds are repeated within a round.",
        f"Inputs: standard normal numbers, rotating beyond {'twice the L2 cache' if gpu else 'what caches a core has for itself'}; the "
        "image prompt has as many tokens as a frame.",
        f"Memory: {ON_A_GPU if gpu else ON_A_CPU}",
        "Needed operations: the products alone, every key read once (frames 0 and 1 read frame 0, later ones two frames); 4 x head "
        "dimension a query, key and head; with gradients three times that.",
        "Least traffic: inputs read once, outputs written once. Moved: each operation of the formulation reads each of its inputs once "
        "and writes its output once; a fused attention counts as its inputs and outputs.",
        "Share of the roofline: the least time for the needed operations and the least traffic, at the ceilings measured in this run, "
        "over the median. Exponentials are not in it.",
        f"Error: the largest deviation from the formula in float64 over the largest value{_of(options)}. "
        f"The variant computes the whole clip, as it is timed; its first, second, middle and last frame are compared, up to {ERROR_TOKENS} "
        "tokens a frame.",
        f"The formula itself (backend {YARDSTICK}) is what errors are measured against; it is timed only when asked for.",
        *(() if gpu else (SYSTEM,)),
        *((quick,) if options.quick else ()),
    )


def _of(options: Options) -> str:
    return (
        ", of the output and of every gradient that these frames give" if options.backward else ""
    )


# All attention layers of a network together, from the rows of its levels.

DISPATCHED = "dispatched"


@dataclass(frozen=True)
class _Sum:
    """Rows of all levels and how often each counts."""

    rows: tuple[Row, ...]
    layers: tuple[int, ...]

    def total(self, name: str) -> float:
        return sum(
            getattr(row, name) * count for row, count in zip(self.rows, self.layers, strict=True)
        )

    def system_share(self) -> float | None:
        """Of the sum's time; None unless known of all."""
        shares = [
            row.facts[SYSTEM_SHARE] for row in self.rows if row.facts.get(SYSTEM_SHARE) is not None
        ]
        if len(shares) < len(self.rows):
            return None
        taken = (
            share * row.median_seconds * count
            for share, row, count in zip(shares, self.rows, self.layers, strict=True)
        )
        return float(sum(taken) / self.total("median_seconds"))

    def spread(self) -> float:
        """Of a sum of medians whose noise is independent."""
        parts = (
            row.spread * row.median_seconds * count
            for row, count in zip(self.rows, self.layers, strict=True)
        )
        return math.hypot(*parts) / self.total("median_seconds")


def layer_rows(measured: Sequence[tuple[Case, Row]], ceilings: Sequence[Ceiling]) -> list[Row]:
    """All attn1 layers of a network together, wherever every level of a size was measured; and what
    the dispatch gives."""
    found = []
    keys = dict.fromkeys(
        (size, row.section, row.device) for case, row in measured for size in case.layers
    )
    for size, section, device in keys:
        same = [
            (case, row)
            for case, row in measured
            if size in case.layers and (row.section, row.device) == (section, device)
        ]
        for name in dict.fromkeys(row.variant for _, row in same):
            found.append(
                _together(
                    size, name, [(case, row) for case, row in same if row.variant == name], ceilings
                )
            )
        found.append(
            _together(
                size, DISPATCHED, [(case, row) for case, row in same if row.facts[CHOSEN]], ceilings
            )
        )
    return [row for row in found if row is not None]


def _together(
    size: int, name: str, levels: Sequence[tuple[Case, Row]], ceilings: Sequence[Ceiling]
) -> Row | None:
    """A network's layers as one row; None unless all of its levels were measured."""
    counts = tuple(case.layers[size] for case, _ in levels)
    if sum(counts) != sum(layers for _, layers in LEVELS):
        return None
    rows = tuple(row for _, row in levels)
    one = _Sum(rows, counts)
    memory = [row.peak_memory_mb for row in rows if row.peak_memory_mb is not None]
    errors = [row.error for row in rows if row.error is not None]
    flops, moved, median = one.total("flops"), one.total("bytes"), one.total("median_seconds")
    floor = floor_seconds(ceilings, rows[0].dtype, flops, moved)
    return Row(
        part=PART,
        case=f"{sum(one.layers)} layers, {size} px, {FRAME_COUNT} frames",
        variant=name,
        exact=rows[0].exact,
        device=rows[0].device,
        dtype=rows[0].dtype,
        grad=rows[0].grad,
        median_seconds=median,
        min_seconds=one.total("min_seconds"),
        spread=one.spread(),
        rounds=min(row.rounds for row in rows),
        first_seconds=one.total("first_seconds"),
        peak_memory_mb=max(memory) if len(memory) == len(rows) else None,
        flops=flops,
        bytes=moved,
        roofline=None if floor is None else floor / median,
        error=worst(errors) if len(errors) == len(rows) else None,
        facts={
            "size": size,
            "frames": FRAME_COUNT,
            "sweeps": ["layers"],
            "sum": True,
            "backends": [row.variant for row in rows],
            CHOSEN: name == DISPATCHED,
            SYSTEM_SHARE: one.system_share(),
        },
    )


BASELINES = ("released", "concat")
QUICK_SECONDS = 31.0
"""What a quick profile takes at most to measure; loading PyTorch and drawing come on top."""
QUICK_ROUNDS, LARGE_SECONDS, SMALL_ROUNDS = 1, 0.5, 3
"""Rounds of a quick profile before it looks at the verdicts: few where a round takes longer than so
many seconds."""
FURTHER_ROUNDS, SLOW = 2, "released"
CASE_SECONDS, FEWEST_ROUNDS, MOST_ROUNDS = 6.0, 3, 21
ATTENTION_TARGETS = tuple(target for target in TARGETS if target.part == PART)


def profile(options: Options) -> Record:
    """Measure.

    Raises:
        UsageError: unknown backends, or sizes that cannot be.
    """
    started = time.monotonic()
    backends = _backends(options)
    cases = cases_for(options)
    environment = describe(options.device, options.threads) | {"commit": commit()}
    with torch_threads(options.threads), quiet():
        rows, gaps, ceilings = _measure(cases, backends, options, environment, started)
    checks = checks_of(ATTENTION_TARGETS, rows, options, environment)
    return Record(
        part=PART,
        title="Injection attention",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command(PART, options),
        environment=environment,
        how=how(options),
        baselines=BASELINES,
        ceilings=ceilings,
        rows=tuple(rows),
        gaps=tuple(gaps),
        checks=checks,
        notes=system_notes(ATTENTION_TARGETS, rows),
    )


def _backends(options: Options) -> tuple[str, ...]:
    refuse_unknown_names("attention backend {!r}", options.backends, BACKENDS)
    return options.backends or tuple(name for name in BACKENDS if name != YARDSTICK)


def _dtypes(options: Options) -> tuple[str, ...]:
    """Of a quick profile, the one that the targets are for."""
    if options.quick:
        return options.dtypes or (("bfloat16",) if options.device == "cuda" else ("float32",))
    return options.dtypes or ("float32", "bfloat16")


def _measure(
    cases: Sequence[Case],
    backends: Sequence[str],
    options: Options,
    environment: Mapping[str, Any],
    started: float,
) -> tuple[list[Row], list[Gap], tuple[Ceiling, ...]]:
    clock = clock_for(options.device, options.threads)
    options.tell("ceilings of this device")
    ceilings = measure_ceilings(options.device, _dtypes(options), clock)
    benches = []
    for dtype in _dtypes(options):
        for number, case in enumerate(cases, 1):
            options.tell(f"{dtype}: {case.name} ({number} of {len(cases)})")
            bench = Bench(case, dtype, backends, options, clock)
            benches.append(bench)
            bench.measure(_remembered(case, options), _rounds(options))
            if (
                options.quick
            ):  # the slow yardstick is far from its bound, and runs again only if it is not
                for _ in range(FURTHER_ROUNDS):
                    bench.again([name for name in bench.names if name != SLOW])
            else:
                bench.release()
    if options.quick:
        _settle(benches, ceilings, options, environment, started + QUICK_SECONDS)
    gaps = [gap for bench in benches for gap in bench.gaps]
    return _rows(benches, ceilings), _merged(gaps, len(cases)), ceilings


def _rows(benches: Sequence[Bench], ceilings: Sequence[Ceiling]) -> list[Row]:
    rows = [(bench.case, row) for bench in benches for row in bench.rows(ceilings)]
    return [*(row for _, row in rows), *layer_rows(rows, ceilings)]


def _rounds(options: Options) -> Any:
    """How many rounds, of how long one takes."""
    if options.quick:
        return lambda seconds: QUICK_ROUNDS if seconds > LARGE_SECONDS else SMALL_ROUNDS
    return lambda seconds: int(
        min(MOST_ROUNDS, max(FEWEST_ROUNDS, CASE_SECONDS / max(seconds, 1e-9)))
    )


def _remembered(case: Case, options: Options) -> bool:
    """Whether memory is measured: a fresh process each takes seconds, so a quick profile does what
    the targets are for."""
    return not options.quick or any(
        target.quantity == MEMORY_SHARE and target.case == case.name for target in ATTENTION_TARGETS
    )


def _settle(
    benches: Sequence[Bench],
    ceilings: Sequence[Ceiling],
    options: Options,
    environment: Mapping[str, Any],
    deadline: float,
) -> None:
    """Further rounds of those whose verdict lies within its spread, while there is time."""
    while True:
        checks = checks_of(ATTENTION_TARGETS, _rows(benches, ceilings), options, environment)
        close = [
            target
            for target, check in zip(ATTENTION_TARGETS, checks, strict=True)
            if undecided(target, check)
        ]
        turns = [(bench, names) for bench in benches if (names := _in_doubt(bench, close))]
        turns = [
            (bench, names)
            for bench, names in turns
            if bench.round_seconds(names) < deadline - time.monotonic()
        ]
        if not turns:
            return
        options.tell(
            f"a further round, as a verdict is close: {', '.join(target.name for target in close)}"
        )
        for bench, names in turns:
            bench.again(names)


def _in_doubt(bench: Bench, close: Sequence[Target]) -> set[str]:
    """The variants of a case on which close verdicts rest: those of the case itself, or of all
    layers together."""
    names: set[str] = set()
    for target in close:
        if target.case == bench.case.name or (target.case == LAYERS and bench.case.layers):
            names |= {
                bench.chosen,
                *(name for name in bench.names if name.split()[0] == target.baseline),
            }
    return names


def undecided(target: Target, check: Check) -> bool:
    """Whether a speed-up is nearer to its bound than twice what it may be off."""
    if (
        target.quantity != SPEEDUP
        or not check.counts
        or check.measured is None
        or check.uncertainty is None
    ):
        return False
    return abs(check.measured / check.wanted - 1) < 2 * check.uncertainty


def _merged(gaps: Sequence[Gap], cases: int) -> list[Gap]:
    """One gap where a variant was refused several cases for the same reason; no case is named where
    it was all of them."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for gap in gaps:
        found.setdefault((gap.variant, gap.dtype, gap.reason), []).append(gap.case)
    named = {
        key: list(dict.fromkeys(names)) for key, names in found.items()
    }  # weighed and timed, it may fail twice
    return [
        Gap(PART, "" if len(names) == cases else "; ".join(names), *key)
        for key, names in named.items()
    ]
