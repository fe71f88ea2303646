"""Throughput and memory of scoring, as ratios measured side by side. ``pytest tests/benchmarks
--benchmark-only`` runs them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.scoring_cases import (
    Values,
    largest_difference,
    plain_loop,
    scored,
    write_clips,
)

CASES = {"mini": 24, "sd14": 3}
ROUNDS = 3
FASTER, FASTER_WARM, MORE_MEMORY = 2.5, 20.0, 1.2


def timed(function: Callable[[], Values]) -> tuple[float, Values]:
    """CPU time: on a shared machine the clock on the wall measures the neighbours."""
    started = time.process_time()
    values = function()
    return time.process_time() - started, values


@pytest.mark.parametrize("scale", CASES)
def test_scoring_against_the_plain_loop(benchmark, tmp_path: Path, scale: str) -> None:
    clips = write_clips(tmp_path / "clips", scale, CASES[scale])
    cache = tmp_path / "cache"
    expected = scored(clips, scale, cache)  # fills the cache, loads the encoders
    ways: dict[str, Callable[[], Values]] = {
        "plain loop": lambda: plain_loop(clips, scale),
        "scorer": lambda: scored(clips, scale),
        "warm cache": lambda: scored(clips, scale, cache),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):  # interleaved, so that a busy minute hits all of them
        for name, way in ways.items():
            took, values = timed(way)
            seconds[name].append(took)
            assert largest_difference(values, expected) <= 1e-4
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    ratios = {name: median["plain loop"] / median[name] for name in ("scorer", "warm cache")}
    benchmark.extra_info.update({"videos": len(clips), "ratios": ratios, "seconds": seconds})
    benchmark.pedantic(ways["scorer"], rounds=1)
    assert ratios["scorer"] >= FASTER
    assert ratios["warm cache"] >= FASTER_WARM


def test_memory_does_not_grow_with_the_number_of_videos(benchmark, tmp_path: Path) -> None:
    write_clips(tmp_path, "mini", 200)
    peaks = {count: peak_memory(tmp_path, count) for count in (20, 200)}
    benchmark.extra_info.update({"peak_memory_mb": peaks})
    benchmark.pedantic(lambda: None, rounds=1)
    assert peaks[200] <= MORE_MEMORY * peaks[20]


def peak_memory(folder: Path, count: int) -> float:
    """Of a fresh process, in MB."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.scoring_cases",
        "--videos",
        str(count),
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return float(done.stdout.split()[0])
