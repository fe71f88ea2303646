"""Jobs over processes: the results come as they are done, and do not depend on how many processes
there are.

Processes are started anew (no state is shared by accident), leave interruptions to the one that
started them, and end with it however it ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

from vbbench.errors import IncompleteError

Job = TypeVar("Job")
Result = TypeVar("Result")
_STATE: list[Any] = []  # what one process made for all of its jobs
_AHEAD = 4  # jobs that wait for each process


def each(
    jobs: Iterable[Job],
    function: Callable[[Any, Job], Result],
    make: Callable[..., Any],
    arguments: tuple[Any, ...],
    workers: int,
) -> Iterator[Result]:
    """``function(state, job)`` for each job, in the order in which they are done; ``state`` is
    ``make(*arguments)``, once a process.

    Args:
        function, make: of a module's top level, when there are several processes.
        workers: processes; one means this very process.
    Raises:
        IncompleteError: a process was killed. Whatever the function raises ends all of it.
    """
    if workers == 1:
        state = make(*arguments)
        yield from (function(state, job) for job in jobs)
        return
    left = iter(jobs)
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(make, arguments)
    )
    try:
        waiting: set[Future[Result]] = {
            pool.submit(_run, function, job) for job in islice(left, workers * _AHEAD)
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(_run, function, job) for job in islice(left, len(done))}
            yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise IncompleteError(
            "a worker process was ended from outside (too little memory?); run the same command again, or with fewer workers."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _STATE[:] = [make(*arguments), None]
    except (
        Exception
    ) as error:  # told by the first job: an initializer's error would only break the pool
        _STATE[:] = [None, error]


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run(function: Callable[[Any, Job], Result], job: Job) -> Result:
    state, error = _STATE
    if error is not None:
        raise error
    return function(state, job)
