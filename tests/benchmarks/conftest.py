"""One thread: what is compared is work, not luck with the other cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vbbench.core.threads import torch_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one thread for the time of a test."""
    with torch_threads(1):
        yield
