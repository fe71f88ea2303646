"""How much of a variant's CPU time is the system's."""

from __future__ import annotations

import os
from collections.abc import Callable


class SystemTime:
    """This process's CPU time over several calls, its own and the system's apart.

    (Every large tensor is new memory to the system, which hands it out page by page: what stores
    its scores pays for that at every call.)
    """

    def __init__(self) -> None:
        self._own = self._system = 0.0

    def during(self, call: Callable[[], object]) -> None:
        """Call it, and count that; what it returns is dropped at once."""
        before = os.times()
        call()
        after = os.times()
        self._own += after.user - before.user
        self._system += after.system - before.system

    @property
    def share(self) -> float | None:
        """The system's; None where nothing was spent."""
        total = self._own + self._system
        return self._system / total if total else None
