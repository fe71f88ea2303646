"""Targets against measurements that were made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.profiling.made import CPU, good_rows, record
from vbbench.profiling.attention import undecided
from vbbench.profiling.options import Options
from vbbench.profiling.record import Check, Row
from vbbench.profiling.targets import CHOSEN, ERROR, LARGE, MIDDLE, SPEEDUP, TARGETS, Target


def changed(case: str, variant: str, **changes: object) -> list[Row]:
    return [
        replace(row, **changes) if (row.case, row.variant) == (case, variant) else row
        for row in good_rows()
    ]


@pytest.mark.parametrize(
    ("rows", "missed"),
    [
        (
            changed(LARGE, "released", median_seconds=2.29),
            "1024 x 40: faster than the released formulation",
        ),
        (
            changed(MIDDLE, "concat", median_seconds=1.04),
            "256 x 80: faster than SDPA on concatenated keys",
        ),
        (
            changed(LARGE, "merge", peak_memory_mb=26.0),
            "1024 x 40: peak memory over the released formulation's",
        ),
        (
            changed(MIDDLE, "merge", peak_memory_mb=101.0),
            "256 x 80: peak memory over the released formulation's",
        ),
        (changed(MIDDLE, "merge", error=2.1e-6), "256 x 80: error against float64"),
    ],
)
def test_a_target_that_is_missed(rows: list[Row], missed: str) -> None:
    made = record(rows)
    assert [check.name for check in made.checks if check.passed is False] == [missed]
    assert made.exit_code == 1


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row for row in good_rows() if row.variant != "concat"],
        [row for row in good_rows() if row.case != MIDDLE],
        [replace(row, facts={}) for row in good_rows()],
        changed(LARGE, "merge", error=None),
        changed(LARGE, "released", peak_memory_mb=None),
        changed(LARGE, "released", median_seconds=float("inf")),
        [replace(row, grad=True) for row in good_rows()],
        [replace(row, dtype="bfloat16") for row in good_rows()],
    ],
)
def test_a_target_that_was_not_measured(rows: list[Row]) -> None:
    made = record(rows)
    assert made.exit_code == 3
    assert all(check.reason for check in made.checks if check.passed is None)


def test_a_miss_weighs_more_than_a_gap() -> None:
    rows = [row for row in changed(LARGE, "released", median_seconds=1.0) if row.case != MIDDLE]
    assert record(rows).exit_code == 1


def test_a_gpus_targets_do_not_count_on_a_cpu() -> None:
    made = record()
    assert made.exit_code == 0
    left_out = [check for check in made.checks if not check.counts]
    assert len(left_out) == sum(target.device == "cuda" for target in TARGETS)
    assert {check.reason for check in left_out} == {
        "it is for an H100 or H200, and this run was on a CPU"
    }


@pytest.mark.parametrize(
    ("gpu", "seconds", "code"),
    [("NVIDIA H200", 0.9e-3, 0), ("NVIDIA H100 80GB", 1.1e-3, 1), ("NVIDIA L4", 9.0, 0)],
)
def test_a_gpus_targets_count_on_that_gpu(gpu: str, seconds: float, code: int) -> None:
    rows = [
        replace(row, device="cuda", dtype="bfloat16", median_seconds=row.median_seconds * 0.9e-3)
        for row in good_rows()
    ]
    speed = {"released": 7.0, "concat": 1.3, "merge": 1.0}
    rows = [replace(row, median_seconds=seconds * speed[row.variant]) for row in rows]
    assert record(rows, Options(device="cuda", quick=True), {"gpu": gpu}).exit_code == code


def test_a_narrowed_run_is_not_asked_for_what_it_left_out() -> None:
    assert record([], Options(frames=(2,))).exit_code == 0
    assert record([], Options()).exit_code == 3
    assert (
        record([], Options(quick=True, threads=2), CPU).exit_code == 0
    )  # the targets are for one thread
    assert (
        record(
            changed(LARGE, "released", median_seconds=1.0), Options(backends=("merge",))
        ).exit_code
        == 1
    )


def test_every_target_says_whose_it_is() -> None:
    assert all(target.source and target.name for target in TARGETS)
    assert len({(target.name, target.device) for target in TARGETS}) == len(TARGETS)


def test_noise_asks_for_further_rounds() -> None:
    target = Target("fast", "attention", "cpu", "float32", LARGE, SPEEDUP, 2.0, "ours", "released")
    close = Check(
        "fast", 2.0, True, "x", measured=2.05, reason="", source="", counts=True, uncertainty=0.02
    )
    assert undecided(target, close)
    assert undecided(target, replace(close, measured=1.95))
    assert not undecided(target, replace(close, measured=2.1))
    assert not undecided(target, replace(close, counts=False))
    assert not undecided(target, replace(close, measured=None))
    assert not undecided(replace(target, quantity=ERROR), close)


def test_the_spread_is_in_the_uncertainty() -> None:
    def speed(rows: list[Row]) -> Check:
        return record(rows).checks[0]

    calm, wild = speed(good_rows()), speed(changed(LARGE, "released", spread=0.5))
    few = speed(changed(LARGE, "released", spread=0.5, rounds=3))
    assert calm.uncertainty is not None
    assert wild.uncertainty is not None
    assert few.uncertainty is not None
    assert calm.uncertainty < 0.02 < wild.uncertainty < few.uncertainty
    assert CHOSEN in good_rows()[2].facts


def test_a_chosen_backend_that_was_left_out_is_named() -> None:
    rows = [row for row in good_rows() if row.variant == "concat"]
    made = record(rows, Options(quick=True, backends=("concat",)))
    assert {check.reason for check in made.checks if check.counts} == {
        "what a user gets by default was left out by --backends"
    }


def test_an_error_that_is_no_number_is_missed() -> None:
    made = record(changed(LARGE, "merge", error=float("nan")))
    assert [check.name for check in made.checks if check.passed is False] == [
        "1024 x 40: error against float64"
    ]
    assert made.exit_code == 1
