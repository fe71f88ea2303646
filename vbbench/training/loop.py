"""One training loop for every stage, scale and model.

On the miniature plain torch: processes that train apart and meet now and then (``local_sgd``) suit its small steps on a CPU. On real
videos the same loop computes each step through ``accelerate`` (``real.trainer``).

Exactness: everything random in a step is drawn from ``batch_seed(seed, step, rank)``, to which torch's own generator is set as
well, so a training that is killed and resumed ends, on the CPU, with the very weights of one that was not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vbbench.core import progress
from vbbench.core.locks import lock_folder
from vbbench.errors import UsageError
from vbbench.training import checkpoint
from vbbench.training.local_sgd import group
from vbbench.training.objective import Objective, TrainedModule
from vbbench.training.settings import TrainSettings
from vbbench.training.trainer import Trainer

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
        factory: picklable; builds the same objective in another process. Needed with more than one worker.
        made_from: digests of the data and weights it learns from, by name. Going on after they changed is allowed and recorded;
            to call a finished training done although they changed is not.
    Raises:
        UsageError: the work folder holds another training, or workers cannot be had.
        VBBenchError: the loss is no longer finite, or a worker died.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    work.mkdir(parents=True, exist_ok=True)
    with locked(work):
        checkpoint.clear_unfinished(work)
        found = checkpoint.latest(work, progress.say)
        facts = {"settings": settings.as_dict(), "made_from": dict(made_from or {}), "device": device, "workers": workers}
        facts = facts_of(found, facts, objective.name, seed, work)
        if workers == 1 or (found is not None and found.step >= settings.steps):
            return Trainer(objective, settings, seed=seed, work=work, device=device, found=found, facts=facts).run()
        if factory is None or torch.device(device).type != "cpu":
            raise UsageError("More than one worker needs the CPU and a way to build the objective in each.")
        with group(factory, settings, seed, work, found, workers) as peers:
            return Trainer(objective, settings, seed=seed, work=work, peers=peers, found=found, facts=facts).run()


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Keep other trainings out of a work folder.

    Raises:
        UsageError: there is one in it.
    """
    try:
        handle = lock_folder(work)
    except BlockingIOError:
        raise UsageError(f"another process trains in {work}: wait for it, or name another folder.") from None
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
    tell: Callable[[str], None] = progress.say,
) -> dict[str, Any]:
    """Facts of a training; of one that goes on with what differed before, each with the step ``until`` which it held.

    Args:
        facts: ``settings``, ``made_from`` and others, as they are now.
        name: of the objective.
        tell: is told what differs.
    Raises:
        UsageError: the checkpoint is of another training, or of one that is finished and was made from something else.
    """
    if found is None:
        return {**facts, "earlier": []}
    state = found.state
    if (state["name"], state["seed"]) != (name, seed):
        raise UsageError(f"{work} holds a training of {state['name']} with seed {state['seed']}: remove it or name another folder.")
    before = {key: state.get(key, value) for key, value in facts.items()}
    earlier = list(state.get("earlier", []))
    old, new = before["made_from"], facts["made_from"]
    changes = "; ".join(_changes(before, facts))
    if found.step >= facts["settings"]["steps"]:
        if changed := sorted(key for key in old | new if old.get(key) != new.get(key)):
            what = " and ".join(changed)
            raise UsageError(f"{work} holds a finished training, but {what} changed since: remove it, or ask for more steps to go on.")
        if changes:
            tell(f"{work} holds a finished training; what is asked for now is passed over: {changes}")
        return {**before, "earlier": earlier}
    if changes:
        tell(f"going on from step {found.step} otherwise than before: {changes}")
    return {**facts, "earlier": earlier if before == facts else [*earlier, {"until": found.step, **before}]}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """``lr 0.1, now 0.2`` for everything that differs but the number of steps."""
    for key in sorted(before.keys() | now.keys()):
        old, new = (values.get(key) for values in (before, now))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, f"{inside}{key} ")
        elif old != new and key != "steps" and not (isinstance(old, list | tuple) and list(old) == list(new or ())):
            yield f"{inside}{key} {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) else str(value)
