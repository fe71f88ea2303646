"""One training loop for every stage, scale and model.

On the miniature plain torch: processes that train apart and meet now and then (``local_sgd``) suit
its small steps on a CPU. On real videos the same loop computes each step through ``accelerate``
(``real.trainer``).

Exactness: everything random in a step is drawn from ``batch_seed(seed, step, rank)``, to which
torch's own generator is set as well, so a training that is killed and resumed ends, on the CPU,
with the very weights of one that was not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from vbbench.core.locks import LOCK, lock_file
from vbbench.core.log import TRAINING
from vbbench.errors import UsageError, VBBenchError
from vbbench.training import checkpoint
from vbbench.training.objective import Objective, TrainedModule
from vbbench.training.peers import Alone
from vbbench.training.settings import TrainSettings
from vbbench.training.trainer import Trainer

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from vbbench.training.checkpoint import Checkpoint
    from vbbench.training.objective import Objective
    from vbbench.training.settings import TrainSettings

# Local SGD: processes with one thread each that train apart and average their parameters every few
# steps.
#
# On a small CPU this makes better use of the cores than threads or gradient averaging do: the
# parameters travel once in
# ``average_every`` steps, and nobody waits in between. Only parameters and buffers are averaged;
# each worker keeps its own optimiser
# state, in its own checkpoint file. A resume with more workers than before starts the new ones from
# worker 0's optimiser state.
# Results are deterministic for a given number of workers.
# Method: Stich 2019, "Local SGD Converges Fast and Communicates Little".

# Workers wait for worker 0 while it validates, so this is long; a worker that dies is noticed at
# once all the same (its connection closes).
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
        flat = torch.cat(
            [
                *(tensor.detach().reshape(-1) for tensor in floats),
                torch.tensor([float(save), float(stop)]),
            ]
        )
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
    factory: Callable[[], Objective],
    settings: TrainSettings,
    seed: int,
    work: Path,
    found: Checkpoint | None,
    workers: int,
) -> Iterator[Group]:
    """Start ``workers`` - 1 processes that train along; the caller is worker 0. They end with the
    training, or with the caller."""
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        ready = [context.Event() for _ in range(1, workers)]
        processes = [
            context.Process(
                target=_worker,
                args=(rank, workers, store, ready[rank - 1], factory, settings, seed, work, found),
                daemon=True,
            )
            for rank in range(1, workers)
        ]
        try:
            for process in processes:
                process.start()
            for event, process in zip(ready, processes, strict=True):
                while not event.wait(0.1):
                    if not process.is_alive():
                        raise VBBenchError(
                            "A training worker could not be started; what it wrote above says why."
                        )
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
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=PATIENCE
    )
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

    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of a terminal; worker 0 decides what it means
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


__all__ = ["Objective", "TrainedModule", "fit"]


def fit(
    objective: Objective,
    settings: TrainSettings,
    *,
    seed: int,
    work: Path,
    device: str = "cpu",
    workers: int = 1,
    factory: Callable[[], Objective] | None = None,
    made_from: Mapping[str, str] | None = None,
) -> TrainedModule:
    """Train, or go on training, until ``settings.steps`` steps are done.

    Args:
        objective: what is learned; its module is changed in place.
        seed: of the run; a work folder belongs to one seed.
        work: folder of checkpoints and curves; a checkpoint in it is resumed.
        device: where the module already is.
        workers: processes with one thread each that average their parameters (CPU only).
        factory: picklable; builds the same objective in another process. Needed with more than one
            worker.
        made_from: digests of the data and weights it learns from, by name. Going on after they
            changed is allowed and recorded; to call a finished training done although they changed
            is not.
    Raises:
        UsageError: the work folder holds another training, or workers cannot be had.
        VBBenchError: the loss is no longer finite, or a worker died.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    work.mkdir(parents=True, exist_ok=True)
    with locked(work):
        checkpoint.clear_unfinished(work)
        found = checkpoint.latest(work, TRAINING.info)
        facts = {
            "settings": settings.as_dict(),
            "made_from": dict(made_from or {}),
            "device": device,
            "workers": workers,
        }
        facts = facts_of(found, facts, objective.name, seed, work)
        if workers == 1 or (found is not None and found.step >= settings.steps):
            return Trainer(
                objective, settings, seed=seed, work=work, device=device, found=found, facts=facts
            ).run()
        if factory is None or torch.device(device).type != "cpu":
            raise UsageError(
                "More than one worker needs the CPU and a way to build the objective in each."
            )
        with group(factory, settings, seed, work, found, workers) as peers:
            return Trainer(
                objective, settings, seed=seed, work=work, peers=peers, found=found, facts=facts
            ).run()


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Keep other trainings out of a work folder.

    Raises:
        UsageError: there is one in it.
    """
    try:
        handle = lock_file(work / LOCK)
    except BlockingIOError:
        raise UsageError(
            f"another process trains in {work}: wait for it, or name another folder."
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def facts_of(
    found: checkpoint.Checkpoint | None,
    facts: dict[str, Any],
    name: str,
    seed: int,
    work: Path,
    tell: Callable[[str], None] = TRAINING.info,
) -> dict[str, Any]:
    """Facts of a training; of one that goes on with what differed before, each with the step
    ``until`` which it held.

    Args:
        facts: ``settings``, ``made_from`` and others, as they are now.
        name: of the objective.
        tell: is told what differs.
    Raises:
        UsageError: the checkpoint is of another training, or of one that is finished and was made
            from something else.
    """
    if found is None:
        return {**facts, "earlier": []}
    state = found.state
    if (state["name"], state["seed"]) != (name, seed):
        raise UsageError(
            f"{work} holds a training of {state['name']} with seed {state['seed']}: remove it or name another folder."
        )
    before = {key: state.get(key, value) for key, value in facts.items()}
    earlier = list(state.get("earlier", []))
    old, new = before["made_from"], facts["made_from"]
    changes = "; ".join(_changes(before, facts))
    if found.step >= facts["settings"]["steps"]:
        if changed := sorted(key for key in old | new if old.get(key) != new.get(key)):
            what = " and ".join(changed)
            raise UsageError(
                f"{work} holds a finished training, but {what} changed since: remove it, or ask for more steps to go on."
            )
        if changes:
            tell(
                f"{work} holds a finished training; what is asked for now is passed over: {changes}"
            )
        return {**before, "earlier": earlier}
    if changes:
        tell(f"going on from step {found.step} otherwise than before: {changes}")
    return {
        **facts,
        "earlier": earlier if before == facts else [*earlier, {"until": found.step, **before}],
    }


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """``lr 0.1, now 0.2`` for everything that differs but the number of steps."""
    for key in sorted(before.keys() | now.keys()):
        old, new = (values.get(key) for values in (before, now))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, f"{inside}{key} ")
        elif (
            old != new
            and key != "steps"
            and not (isinstance(old, list | tuple) and list(old) == list(new or ()))
        ):
            yield f"{inside}{key} {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)
