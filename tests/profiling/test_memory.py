"""The scales: a known allocation in a fresh process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vbbench.errors import IncompleteError
from vbbench.profiling.memory import free_bytes, peak_in_fresh_process

HERE = "tests.profiling.test_memory"
HELD = []


def takes(megabytes: float, held: float) -> Callable[[], object]:
    """Before the call it holds some; in the call it takes more, and lets go of it before the
    end."""
    HELD.append(np.ones(int(held * 1e6) // 8))

    def run() -> None:
        passing = np.ones(int(megabytes * 1e6) // 8)
        del passing

    return run


def fails() -> Callable[[], object]:
    raise ValueError("there is no such thing")


def test_a_known_allocation_is_weighed() -> None:
    weighed = peak_in_fresh_process(f"{HERE}:takes", {"megabytes": 200, "held": 150}, threads=1)
    assert weighed == pytest.approx(200, rel=0.1)


def test_a_process_that_fails_is_told_with_its_reason() -> None:
    with pytest.raises(IncompleteError, match="ValueError: there is no such thing"):
        peak_in_fresh_process(f"{HERE}:fails", {}, threads=1)
    with pytest.raises(IncompleteError, match="longer than"):
        peak_in_fresh_process(f"{HERE}:fails", {}, threads=1, timeout=0.01)


def test_free_memory_is_some_of_what_there_is() -> None:
    assert 1e6 < free_bytes("cpu") < 1e14
