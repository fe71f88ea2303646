"""The clock, with clocks of our own."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vbbench.profiling.measure import (
    Meter,
    Rotating,
    Timing,
    clock_for,
    cpu_seconds,
    interleaved,
    median_error,
    ratio,
    wall_seconds,
)


def fake_clock(seconds: Iterator[float]) -> Callable[[Callable[[], object]], float]:
    def clock(run: Callable[[], object]) -> float:
        run()
        return next(seconds)

    return clock


def test_median_minimum_spread() -> None:
    values = [float(value) for value in np.random.default_rng(0).exponential(size=101)]
    timing = Timing(tuple(values), first_seconds=9.0)
    low, middle, high = np.percentile(values, [25, 50, 75])
    assert timing.median == pytest.approx(middle)
    assert timing.minimum == min(values)
    assert timing.spread == pytest.approx((high - low) / middle)
    assert Timing((2.0,), 1.0).spread == 0
    assert Timing((0.0, 0.0), 1.0).spread == 0


def test_rounds_interleave_and_begin_with_another_variant_each() -> None:
    calls: list[str] = []
    variants = {name: lambda name=name: calls.append(name) for name in "abc"}
    timings = interleaved(variants, rounds=4, clock=fake_clock(float(n) for n in range(99)))
    assert (
        "".join(calls) == "abc" + "abc" + "bca" + "cab" + "abc"
    )  # the first calls, then the rounds
    assert list(timings) == ["a", "b", "c"]
    assert [timing.first_seconds for timing in timings.values()] == [0, 1, 2]
    assert timings["a"].seconds == (3, 8, 10, 12)
    assert timings["c"].seconds == (5, 7, 9, 14)


def test_the_first_call_counts_in_no_round() -> None:
    seconds = iter([100.0, 1.0, 1.0, 1.0])
    timing = interleaved({"a": lambda: None}, rounds=3, clock=fake_clock(seconds))["a"]
    assert (timing.first_seconds, timing.median, timing.spread) == (100, 1, 0)


def test_a_busy_minute_hits_all_variants() -> None:
    """The machine slows down by four in the middle: blocks one after the other would tell 1 and
    4."""
    now = iter(range(10_000))
    meter = Meter(
        {"a": lambda: None, "b": lambda: None}, lambda _: 4.0 if 10 <= next(now) < 30 else 1.0
    )
    meter.run(20)
    timings = meter.timings()
    assert ratio(timings["a"], timings["b"]) == pytest.approx(1, rel=0.01)


def test_short_calls_are_repeated() -> None:
    calls = []
    now = [0.0]

    def quick() -> None:
        calls.append(1)
        now[0] += 0.001

    def clock(run: Callable[[], object]) -> float:
        start = now[0]
        run()
        return now[0] - start

    meter = Meter({"quick": quick}, clock, sample_seconds=0.01)
    meter.run(2)
    assert meter.timings()["quick"].seconds == pytest.approx((0.001, 0.001))
    assert len(calls) == 1 + 1 + 10 + 10  # first, to learn how long it takes, two rounds


def test_some_variants_alone() -> None:
    meter = Meter({"a": lambda: None, "b": lambda: None}, lambda _: 1.0)
    meter.run(2)
    meter.run(3, {"b"})
    assert [len(timing.seconds) for timing in meter.timings().values()] == [2, 5]


@pytest.mark.parametrize("rounds", [0, -1])
def test_no_rounds(rounds: int) -> None:
    with pytest.raises(ValueError, match="at least one round"):
        interleaved({"a": lambda: None}, rounds=rounds)


def test_error_of_a_ratio_is_about_what_repeating_shows() -> None:
    """Of ratios of medians of normal noise, drawn often."""
    draw = random.Random(0)

    def timing() -> Timing:
        return Timing(tuple(draw.gauss(1, 0.05) for _ in range(25)), 1)

    pairs = [(timing(), timing()) for _ in range(400)]
    seen = float(np.std([ratio(*pair) for pair in pairs]))
    told = float(
        np.median([math.hypot(*(median_error(each.spread, 25) for each in pair)) for pair in pairs])
    )
    assert 0.7 * seen < told < 1.5 * seen
    assert ratio(Timing((1.0,), 1), Timing((0.0,), 1)) == math.inf


def test_rotating() -> None:
    following = Rotating("abc")
    assert "".join(following() for _ in range(7)) == "abcabca"


def test_cpu_time_does_not_count_waiting() -> None:
    assert cpu_seconds(lambda: time.sleep(0.1)) < 0.05
    assert wall_seconds(lambda: time.sleep(0.1)) >= 0.1
    assert (clock_for("cpu"), clock_for("cpu", 2)) == (cpu_seconds, wall_seconds)
