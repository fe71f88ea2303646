"""``vbbench profile attention``: injection attention by every backend, over shapes, frames and resolutions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vbbench.attention import BACKENDS
from vbbench.profiling.attention_bench import quiet
from vbbench.profiling.attention_cases import PART, Case, cases_for
from vbbench.profiling.attention_layers import layer_rows
from vbbench.profiling.attention_rows import Bench
from vbbench.profiling.attention_words import YARDSTICK, how
from vbbench.profiling.ceilings import measure_ceilings
from vbbench.profiling.measure import clock_for
from vbbench.profiling.options import Options, command, refuse_unknown_names
from vbbench.profiling.record import Ceiling, Check, Gap, Record, Row
from vbbench.profiling.targets import LAYERS, MEMORY_SHARE, SPEEDUP, TARGETS, Target, checks_of, system_notes
from vbbench.run.environment import commit, describe
from vbbench.threads import torch_threads

BASELINES = ("released", "concat")
QUICK_SECONDS = 31.0
"""What a quick profile takes at most to measure; loading PyTorch and drawing come on top."""
QUICK_ROUNDS, LARGE_SECONDS, SMALL_ROUNDS = 1, 0.5, 3
"""Rounds of a quick profile before it looks at the verdicts: few where a round takes longer than so many seconds."""
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
    cases: Sequence[Case], backends: Sequence[str], options: Options, environment: Mapping[str, Any], started: float
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
            if options.quick:  # the slow yardstick is far from its bound, and runs again only if it is not
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
    return lambda seconds: int(min(MOST_ROUNDS, max(FEWEST_ROUNDS, CASE_SECONDS / max(seconds, 1e-9))))


def _remembered(case: Case, options: Options) -> bool:
    """Whether memory is measured: a fresh process each takes seconds, so a quick profile does what the targets are for."""
    return not options.quick or any(target.quantity == MEMORY_SHARE and target.case == case.name for target in ATTENTION_TARGETS)


def _settle(
    benches: Sequence[Bench], ceilings: Sequence[Ceiling], options: Options, environment: Mapping[str, Any], deadline: float
) -> None:
    """Further rounds of those whose verdict lies within its spread, while there is time."""
    while True:
        checks = checks_of(ATTENTION_TARGETS, _rows(benches, ceilings), options, environment)
        close = [target for target, check in zip(ATTENTION_TARGETS, checks, strict=True) if undecided(target, check)]
        turns = [(bench, names) for bench in benches if (names := _in_doubt(bench, close))]
        turns = [(bench, names) for bench, names in turns if bench.round_seconds(names) < deadline - time.monotonic()]
        if not turns:
            return
        options.tell(f"a further round, as a verdict is close: {', '.join(target.name for target in close)}")
        for bench, names in turns:
            bench.again(names)


def _in_doubt(bench: Bench, close: Sequence[Target]) -> set[str]:
    """The variants of a case on which close verdicts rest: those of the case itself, or of all layers together."""
    names: set[str] = set()
    for target in close:
        if target.case == bench.case.name or (target.case == LAYERS and bench.case.layers):
            names |= {bench.chosen, *(name for name in bench.names if name.split()[0] == target.baseline)}
    return names


def undecided(target: Target, check: Check) -> bool:
    """Whether a speed-up is nearer to its bound than twice what it may be off."""
    if target.quantity != SPEEDUP or not check.counts or check.measured is None or check.uncertainty is None:
        return False
    return abs(check.measured / check.wanted - 1) < 2 * check.uncertainty


def _merged(gaps: Sequence[Gap], cases: int) -> list[Gap]:
    """One gap where a variant was refused several cases for the same reason; no case is named where it was all of them."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for gap in gaps:
        found.setdefault((gap.variant, gap.dtype, gap.reason), []).append(gap.case)
    named = {key: list(dict.fromkeys(names)) for key, names in found.items()}  # weighed and timed, it may fail twice
    return [Gap(PART, "" if len(names) == cases else "; ".join(names), *key) for key, names in named.items()]
