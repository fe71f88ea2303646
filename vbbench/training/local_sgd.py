"""Local SGD: processes with one thread each that train apart and average their parameters every few steps.

On a small CPU this makes better use of the cores than threads or gradient averaging do: the parameters travel once in
``average_every`` steps, and nobody waits in between. Only parameters and buffers are averaged; each worker keeps its own optimiser
state, in its own checkpoint file. A resume with more workers than before starts the new ones from worker 0's optimiser state.
Results are deterministic for a given number of workers.
Method: Stich 2019, "Local SGD Converges Fast and Communicates Little".
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from vbbench.errors import VBBenchError
from vbbench.training.peers import Alone

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from vbbench.training.checkpoint import Checkpoint
    from vbbench.training.objective import Objective
    from vbbench.training.settings import TrainSettings

# Workers wait for worker 0 while it validates, so this is long; a worker that dies is noticed at once all the same (its connection closes).
PATIENCE = timedelta(hours=1)


class Group(Alone):
    """One of several workers, connected by a gloo process group."""

    def __init__(self, rank: int, size: int, every: int) -> None:
        self.rank, self.size, self.every = rank, size, every
        self.hears = rank == 0

    def due(self, done: int, steps: int) -> bool:
        """Every ``every`` steps, and after the last."""
        return done % self.every == 0 or done == steps

    def previous(self, done: int) -> int:
        """As ``due`` says."""
        return (done - 1) // self.every * self.every

    @torch.no_grad()
    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Broadcast one after the other."""
        for tensor in tensors:
            dist.broadcast(tensor.data, src=0)

    @torch.no_grad()
    def meet(self, tensors: Sequence[Tensor], save: bool, stop: bool) -> tuple[bool, bool]:
        """One all-reduce of everything, the two wishes included."""
        floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        flat = torch.cat([*(tensor.detach().reshape(-1) for tensor in floats), torch.tensor([float(save), float(stop)])])
        try:
            dist.all_reduce(flat)
        except RuntimeError as error:
            raise VBBenchError(
                "A training worker ended before its time; run the same command to go on from the last checkpoint."
            ) from error
        wants = flat[-2:].tolist()
        flat /= self.size
        offset = 0
        for tensor in floats:
            tensor.copy_(flat[offset : offset + tensor.numel()].view(tensor.shape))
            offset += tensor.numel()
        return wants[0] > 0, wants[1] > 0

    def barrier(self) -> None:
        """The process group's."""
        dist.barrier()


@contextmanager
def group(
    factory: Callable[[], Objective], settings: TrainSettings, seed: int, work: Path, found: Checkpoint | None, workers: int
) -> Iterator[Group]:
    """Start ``workers`` - 1 processes that train along; the caller is worker 0. They end with the training, or with the caller."""
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        ready = [context.Event() for _ in range(1, workers)]
        processes = [
            context.Process(target=_worker, args=(rank, workers, store, ready[rank - 1], factory, settings, seed, work, found), daemon=True)
            for rank in range(1, workers)
        ]
        try:
            for process in processes:
                process.start()
            for event, process in zip(ready, processes, strict=True):
                while not event.wait(0.1):
                    if not process.is_alive():
                        raise VBBenchError("A training worker could not be started; what it wrote above says why.")
            torch.set_num_threads(1)
            yield _join(store, 0, workers, settings.average_every)
            for process in processes:
                process.join(60)
        finally:
            torch.set_num_threads(threads)
            if dist.is_initialized():
                dist.destroy_process_group()
            for process in processes:
                process.terminate()


def _join(store: str, rank: int, size: int, every: int) -> Group:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=PATIENCE)
    return Group(rank, size, every)


def _worker(
    rank: int,
    size: int,
    store: str,
    ready: Event,
    factory: Callable[[], Objective],
    settings: TrainSettings,
    seed: int,
    work: Path,
    found: Checkpoint | None,
) -> None:
    """Body of a process other than worker 0."""
    from vbbench.training.trainer import Trainer

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; worker 0 decides what it means
    torch.set_num_threads(1)
    objective = factory()
    ready.set()
    peers = _join(store, rank, size, settings.average_every)
    try:
        Trainer(objective, settings, seed=seed, work=work, peers=peers, found=found).run()
    except (KeyboardInterrupt, VBBenchError):
        pass  # worker 0 tells
    finally:
        dist.destroy_process_group()
