"""The clock: how long variants of one computation take, side by side.

Variants run in turn, so that a busy minute of a shared machine hits all of them. With one thread on
the CPU the time is the process's own CPU time, which neighbours move least; with more it is the
time on the wall; on a GPU it is the time between two events of its stream. Inputs should rotate
beyond the caches: see `Rotating`.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Clock = Callable[[Callable[[], object]], float]
"""Runs a callable once and tells the seconds it took."""
MOST_CALLS = 200
"""Of one variant in a round."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one variant.

    Attributes:
        seconds: one figure a round.
        first_seconds: the very first call, with compilation and warm-up, which no round counts.
    """

    seconds: tuple[float, ...]
    first_seconds: float

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        """Seconds."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """Interquartile range over the median; 0 of a single round."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median if self.median else 0.0


@dataclass
class Rotating(Generic[Item]):
    """Items in turn, for ever: inputs of which no call finds its own still in a cache.

    Args:
        items: at least one; together larger than the last cache.
    """

    items: Sequence[Item]
    _next: int = field(default=0, init=False)

    def __call__(self) -> Item:
        """The next item."""
        item = self.items[self._next]
        self._next = (self._next + 1) % len(self.items)
        return item


def clock_for(device: str, threads: int = 1) -> Clock:
    """How time is taken on ``cpu`` or ``cuda``; CPU time of several threads would be their sum,
    which nobody waits for."""
    if device == "cuda":
        return cuda_seconds
    return cpu_seconds if threads == 1 else wall_seconds


def clock_words(device: str, threads: int) -> str:
    """`clock_for` in words."""
    if device == "cuda":
        return "between two events of the GPU's stream"
    return (
        "CPU time of the process, one thread" if threads == 1 else f"on the wall, {threads} threads"
    )


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    device: str = "cpu",
    clock: Clock | None = None,
) -> dict[str, Timing]:
    """Time variants side by side: a first call each, then rounds in each of which every variant
    runs once.

    Each round begins with another variant. What a variant returns is dropped at once.

    Args:
        variants: name -> what to run.
        rounds: at least 1.
        device: ``cpu`` (CPU time of this process, all its threads) or ``cuda`` (events).
        clock: another clock.
    Returns:
        A `Timing` a variant, in the order given.
    Raises:
        ValueError: no rounds.
    """
    meter = Meter(variants, clock or clock_for(device))
    meter.run(rounds)
    return meter.timings()


class Meter:
    """`interleaved` for those who decide between rounds whether to go on.

    Args:
        variants: name -> what to run.
        clock: see `clock_for`.
        sample_seconds: a variant quicker than this runs several times a round, and its figure is
            their mean: a single call would be near what the clock itself costs. 0: every figure is
            one call.
    """

    def __init__(
        self,
        variants: Mapping[str, Callable[[], object]],
        clock: Clock,
        *,
        sample_seconds: float = 0.0,
    ) -> None:
        self._clock = clock
        self._variants: dict[str, Callable[[], object]] = {}
        self._first: dict[str, float] = {}
        self._sample_seconds = sample_seconds
        self._calls: dict[str, int] = {}
        self._seconds: dict[str, list[float]] = {}
        self.rounds = 0
        for name, variant in variants.items():
            self.add(name, variant)

    def add(self, name: str, variant: Callable[[], object]) -> None:
        """A further variant, by its first call; if that fails, it is none."""
        self._first[name] = self._clock(variant)
        self._variants[name], self._calls[name], self._seconds[name] = variant, 1, []

    def run(self, rounds: int, names: Collection[str] | None = None) -> None:
        """So many further rounds, of all variants or of some.

        Raises:
            ValueError: fewer than 1.
        """
        if rounds < 1:
            raise ValueError(f"at least one round is needed, not {rounds}")
        chosen = [name for name in self._variants if names is None or name in names]
        for _ in range(rounds):
            start = self.rounds % max(1, len(chosen))
            for name in (*chosen[start:], *chosen[:start]):
                self._seconds[name].append(self._sample(name))
            self.rounds += 1

    def _sample(self, name: str) -> float:
        """One figure; a variant's first one tells how often it must run for the next."""
        variant, calls = self._variants[name], self._calls[name]
        if calls == 1:
            seconds = self._clock(variant)
            if seconds >= self._sample_seconds or self._seconds[name]:
                return seconds
            calls = self._calls[name] = math.ceil(
                self._sample_seconds / max(seconds, self._sample_seconds / MOST_CALLS)
            )

        def several() -> None:
            for _ in range(calls):
                variant()

        return self._clock(several) / calls

    def timings(self) -> dict[str, Timing]:
        """What was measured so far, in the order the variants were given."""
        return {
            name: Timing(tuple(seconds), self._first[name])
            for name, seconds in self._seconds.items()
        }


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times as long ``slow`` takes: the quotient of the medians."""
    return slow.median / fast.median if fast.median else math.inf


def median_error(spread: float, rounds: int) -> float:
    """About how far off a median may be, relative: its standard error is 0.93 interquartile ranges
    over the root of the rounds.

    (Of a normal distribution: 1.2533 standard deviations over the root, and an interquartile range
    is 1.349 of them.)
    """
    return 0.93 * spread / math.sqrt(rounds)


def cpu_seconds(variant: Callable[[], object]) -> float:
    """CPU seconds of this process during one call."""
    start = time.process_time()
    variant()
    return time.process_time() - start


def wall_seconds(variant: Callable[[], object]) -> float:
    """Seconds on the wall during one call."""
    start = time.perf_counter()
    variant()
    return time.perf_counter() - start


def cuda_seconds(variant: Callable[[], object]) -> float:
    """Seconds between two events of the current stream around one call."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    variant()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3
