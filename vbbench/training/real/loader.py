"""Each process's share of each step, read ahead by threads (decoding and resizing leave Python's
lock to others).

Position p of the global batch belongs to process p % size, and comes in the process's order of
positions. Whatever the number of threads and of processes, a position holds the same sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vbbench.errors import UsageError
from vbbench.training.real.clips import RealData
from vbbench.training.real.draws import Draw

_AHEAD = 2  # samples that wait for each thread, besides those of a step


@dataclass(frozen=True)
class LoadedSample:
    """An example as a training step takes it. T frames, S side in pixels.

    Attributes:
        number: step * global batch + position.
        seed: from which timestep and noise are to be drawn.
        dropped: text and image prompt are to be left out.
        text, subject_word: the caption, and the word of it that the image prompt stands for; also
            where they are dropped.
        frames: uint8 (T, S, S, 3); None where the latents are there already.
        image_prompt: uint8 (S, S, 3), on white.
        clip_key, prompt_key: what caches know clip and image prompt by; None for an image prompt
            that was changed.
        draw: all that was drawn; its example is the one that was read, which is another where the
            first could not be.
    """

    number: int
    seed: int
    dropped: bool
    text: str
    subject_word: str
    frames: np.ndarray | None
    image_prompt: np.ndarray
    clip_key: str
    prompt_key: str | None
    draw: Draw


def load(data: RealData, number: int, cached: Callable[[str], bool] | None = None) -> LoadedSample:
    """The sample of a number.

    Args:
        cached: whether there are latents of a clip key, so that its frames need not be read.
    Raises:
        InputError: as `RealData.readable`.
    """

    def read(draw: Draw) -> LoadedSample:
        key = data.clip_key(draw)
        return LoadedSample(
            number=number,
            seed=draw.seed,
            dropped=draw.dropped,
            text=data.text(draw),
            subject_word=data.subject_word(draw),
            frames=None if cached is not None and cached(key) else data.frames(draw),
            image_prompt=data.image_prompt(draw),
            clip_key=key,
            prompt_key=data.prompt_key(draw),
            draw=draw,
        )

    return data.readable(number, read)


def batches(
    data: RealData,
    *,
    steps: range,
    global_batch: int,
    micro_batch: int,
    rank: int,
    size: int,
    workers: int,
    cached: Callable[[str], bool] | None = None,
) -> Iterator[list[list[LoadedSample]]]:
    """For each step this process's samples, in microbatches.

    Args:
        steps: e.g. ``range(done, total)``.
        global_batch: examples of a step, of all processes together; a multiple of ``size *
            micro_batch``. It is the data's own.
        rank, size: which process this is, of how many.
        workers: threads; 0: samples are read when they are asked for.
        cached: as in `load`; asked from the threads.
    Raises:
        UsageError: numbers that do not fit each other.
        InputError: as `RealData.readable`.
    """
    if global_batch != data.global_batch:
        raise UsageError(
            f"the data were drawn for a global batch of {data.global_batch}, not {global_batch}."
        )
    if (
        min(size, micro_batch) < 1
        or not 0 <= rank < size
        or global_batch % (size * micro_batch)
        or workers < 0
    ):
        raise UsageError(
            f"a global batch of {global_batch} cannot be shared by {size} processes in microbatches of {micro_batch}: "
            "it must be a multiple of their product."
        )
    numbers = (
        data.number(step, position)
        for step in steps
        for position in range(rank, global_batch, size)
    )
    each_step = global_batch // size
    samples = _ahead(
        lambda number: load(data, number, cached), numbers, workers, each_step + _AHEAD * workers
    )
    return _in_steps(samples, len(steps), each_step, micro_batch)


def _in_steps(
    samples: Iterator[LoadedSample], steps: int, each_step: int, micro_batch: int
) -> Iterator[list[list[LoadedSample]]]:
    for _ in range(steps):
        yield [list(islice(samples, micro_batch)) for _ in range(each_step // micro_batch)]


def _ahead(
    read: Callable[[int], LoadedSample], numbers: Iterator[int], workers: int, most: int
) -> Iterator[LoadedSample]:
    """In the order of the numbers; so many are read or wait at most. Threads end with the
    iterator."""
    if not workers:
        yield from map(read, numbers)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="vbbench-data")
    try:
        waiting: deque[Future[LoadedSample]] = deque(
            pool.submit(read, number) for number in islice(numbers, most)
        )
        while waiting:
            sample = waiting.popleft().result()
            waiting.extend(pool.submit(read, number) for number in islice(numbers, 1))
            yield sample
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
