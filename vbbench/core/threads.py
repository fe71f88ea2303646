"""PyTorch's CPU threads for a while. PyTorch is imported when that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int | None) -> Iterator[int]:
    """Let PyTorch use so many CPU threads while it lasts; None leaves them as they are. Yields how
    many they are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield count or before
    finally:
        torch.set_num_threads(before)
