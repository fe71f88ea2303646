"""Shows on the terminal what the package tells through Python's logging."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vbbench.core.log import LOG, TRAINING
from vbbench.core.progress import say


class _Terminal(logging.Handler):
    """What a training tells is output of its command; all else is a note on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's sentence."""
        sentence = record.getMessage()
        if record.name == TRAINING.name:
            say(sentence)
        else:
            print(f"vbbench: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def spoken() -> Iterator[None]:
    """Print what the package tells, once, and hand it to nobody else, while it lasts."""
    if any(isinstance(each, _Terminal) for each in LOG.handlers):
        yield
        return
    handler, level, propagate = _Terminal(), LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    # other libraries give the root logger handlers of their own, which would say it again
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        LOG.propagate = propagate
