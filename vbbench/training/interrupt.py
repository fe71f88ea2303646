"""Ctrl-C and SIGTERM as a polite request: finish the step, write a checkpoint, then stop. A second one stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Context in which the first SIGINT or SIGTERM only sets ``asked``.

    Does nothing outside the main thread, where signals cannot be caught.
    """

    def __init__(self, *, active: bool = True) -> None:
        self.asked = False
        self.active = active and threading.current_thread() is threading.main_thread()
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if self.active:
            self.before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
