"""Records made up for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vbbench.profiling.options import Options
from vbbench.profiling.record import Ceiling, Gap, Record, Row
from vbbench.profiling.targets import CHOSEN, LARGE, LAYERS, MIDDLE, TARGETS, checks_of

CPU = {"cpu": "a CPU", "threads": 1, "device": "cpu", "torch": "2.x"}


def row(case: str, variant: str, seconds: float, memory: float | None = 1.0, **facts: Any) -> Row:
    """A row of a case that every backend computed in ten steady rounds."""
    return Row(
        part="attention",
        case=case,
        variant=variant,
        exact=True,
        device="cpu",
        dtype="float32",
        grad=False,
        median_seconds=seconds,
        min_seconds=0.9 * seconds,
        spread=0.01,
        rounds=10,
        first_seconds=2 * seconds,
        peak_memory_mb=memory,
        flops=4e9,
        bytes=1e8,
        roofline=0.5,
        error=1e-6,
        facts=facts,
    )


def good_rows() -> list[Row]:
    """Rows that meet every target of a CPU."""
    rows = []
    for case in (LARGE, MIDDLE, LAYERS):
        rows += [
            row(case, "released", 3.0, 1000.0),
            row(case, "concat", 1.1, 90.0),
            row(case, "merge", 1.0, 10.0, **{CHOSEN: True}),
        ]
    return rows


def record(
    rows: list[Row] | None = None,
    options: Options | None = None,
    environment: dict[str, Any] | None = None,
) -> Record:
    """A record of given rows, its targets checked."""
    rows = good_rows() if rows is None else rows
    environment = environment or CPU
    return Record(
        part="attention",
        title="Injection attention",
        created="2026-01-01T00:00:00+00:00",
        command="vbbench profile attention",
        environment=environment,
        how=("With a clock.",),
        baselines=("released", "concat"),
        ceilings=(Ceiling("matmul", "float32", 1e11), Ceiling("copy", "", 1e10)),
        rows=tuple(rows),
        gaps=(Gap("attention", "", "triton", "float32", "it needs a GPU"),),
        checks=checks_of(TARGETS, rows, options or Options(quick=True), environment),
    )


def swept(case: str, variant: str, seconds: float, **facts: Any) -> Row:
    """A row of a sweep over frames, a point of the roofline too."""
    made = row(case, variant, seconds, 100 * seconds, sweeps=["frames"], roofline=True, **facts)
    return replace(made, flops=1e10 * seconds)
