"""The processes that train one model together, as a trainer sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Alone:
    """A single process: there is nobody to meet, and every step is a meeting.

    Attributes:
        hears: whether a signal to this process is a request to stop the training.
        writes: whether this process has an optimiser state of its own to write.
    """

    rank, size = 0, 1
    hears = writes = True

    def due(self, done: int, steps: int) -> bool:
        """Whether workers meet after step ``done`` (counted from 1)."""
        return True

    def previous(self, done: int) -> int:
        """The step of the meeting before that of ``done``."""
        return done - 1

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Make everybody start from worker 0's tensors."""

    def meet(self, tensors: Sequence[Tensor], save: bool, stop: bool) -> tuple[bool, bool]:
        """Average the floating-point tensors in place; returns whether anybody wants to save, and
        to stop."""
        return save, stop

    def barrier(self) -> None:
        """Wait for everybody."""
