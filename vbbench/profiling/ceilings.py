"""What the device can do at most, measured where the profile is: products of matrices a second, and
bytes copied a second.

A computation that needs so many operations and so many bytes takes at least the longer of the two
times (Williams, Waterman and Patterson 2009, the roofline). Exponentials are not in it: attention
with small heads can be bound by them, and then stays below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from vbbench.profiling.measure import Clock
from vbbench.profiling.record import Ceiling, ceiling

ROUNDS = 7
SIDE = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices: large enough to be bound by arithmetic."""
COPIED = {"cpu": 128 * 2**20, "cuda": 2**30}
"""Bytes of the copied tensor: beyond the caches of a core, and of a GPU."""


def measure_ceilings(device: str, dtypes: Iterable[str], clock: Clock) -> tuple[Ceiling, ...]:
    """The most of some rounds: a ceiling is what can be had, not what is usual.

    Args:
        device: ``cpu`` or ``cuda``; torch's threads as they are.
        dtypes: names of element types.
        clock: see `vbbench.profiling.measure.clock_for`.
    """
    found = [
        Ceiling("matmul", dtype, _matmul(device, getattr(torch, dtype), clock))
        for dtype in dict.fromkeys(dtypes)
    ]
    return (*found, Ceiling("copy", "", _copy(device, clock)))


def _matmul(device: str, dtype: torch.dtype, clock: Clock) -> float:
    side = SIDE[device]
    a, b, out = (torch.ones(side, side, device=device, dtype=dtype) for _ in range(3))
    return 2 * side**3 / min(_seconds(lambda: torch.mm(a, b, out=out), clock))


def _copy(device: str, clock: Clock) -> float:
    """Bytes read and written a second."""
    source = torch.ones(COPIED[device] // 4, device=device)
    target: Tensor = torch.zeros_like(source)
    return 2 * COPIED[device] / min(_seconds(lambda: target.copy_(source), clock))


def _seconds(run: Callable[[], object], clock: Clock) -> list[float]:
    return [clock(run) for _ in range(ROUNDS)]


def floor_seconds(
    ceilings: Sequence[Ceiling], dtype: str, flops: float, moved: float
) -> float | None:
    """The least time for so many operations and bytes; None where a ceiling was not measured."""
    matmul, copy = ceiling(ceilings, "matmul", dtype), ceiling(ceilings, "copy")
    return None if not matmul or not copy else max(flops / matmul, moved / copy)
