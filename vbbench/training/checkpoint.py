"""Checkpoints that survive kill -9: whole or absent, never half, and no pickles.

A checkpoint is a folder ``checkpoint-<step>`` inside the work folder::

    model.safetensors          param/<name>, buffer/<name>, ema/<name>
    optimizer-<rank>.safetensors   exp_avg/<name>, exp_avg_sq/<name>, step/<name>  (one file per
    worker) state.json                 step, seconds, loss history, settings, seed, workers, SHA-256
    of the files above

It is written under another name, flushed to the disk and renamed; the one before it is removed only
two checkpoints later, so there is always a whole one. A checkpoint whose files do not match their
digests is passed over in favour of the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from vbbench.core.digests import file_digest
from vbbench.errors import UsageError

KEPT = 2
MODEL = "model.safetensors"
_PREFIX = "checkpoint-"
_STATE: Mapping[str, Any] = {
    "name": str,
    "seed": int,
    "step": int,
    "seconds": int | float,
    "history": list,
    "sums": dict,
    "files": dict,
}


def _nobody(line: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint found whole on the disk."""

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Number of steps done."""
        return int(self.state["step"])

    def model(self) -> dict[str, Tensor]:
        """Tensors by ``param/<name>``, ``buffer/<name>``, ``ema/<name>``."""
        return load_file(self.folder / MODEL)

    def optimizer(self, rank: int) -> dict[str, Tensor]:
        """The optimiser's tensors of one worker; those of worker 0 when the checkpoint was written
        by fewer workers."""
        path = self.folder / optimizer_name(rank)
        return load_file(path if path.is_file() else self.folder / optimizer_name(0))


def optimizer_name(rank: int) -> str:
    """File name of one worker's optimiser state."""
    return f"optimizer-{rank}.safetensors"


def clear_unfinished(work: Path) -> None:
    """Remove what writers that were killed left behind; only when nobody is writing."""
    for path in work.glob(".writing-*"):
        shutil.rmtree(path, ignore_errors=True)


def begin(work: Path, step: int) -> Path:
    """Folder in which the files of the checkpoint of ``step`` are collected; the same for every
    worker."""
    folder = work / f".writing-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors (moved to the CPU) and flush them to the disk."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    _sync(path)


def commit(work: Path, folder: Path, state: Mapping[str, Any]) -> Path:
    """Make the checkpoint collected in ``folder`` the newest one; call after every worker has
    written its file."""
    files = {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))}
    (folder / "state.json").write_text(json.dumps({**state, "files": files}))
    _sync(folder / "state.json")
    _sync(folder)
    final = work / f"{_PREFIX}{int(state['step']):08d}"
    if final.exists():  # only a torn one can have been left under this name
        shutil.rmtree(final)
    # not `atomic_folder`: every worker must find the unfinished folder by its name
    os.replace(folder, final)
    _sync(work)
    _tidy(work, newest=final)
    return final


def latest(work: Path, tell: Callable[[str], None] = _nobody) -> Checkpoint | None:
    """The newest whole checkpoint of a work folder; None where there is no checkpoint at all.

    Args:
        tell: is told in a sentence of each that is passed over because it is damaged.
    Raises:
        UsageError: there are some, and none is whole: to begin anew and remove them is not for a
            program to decide.
        OSError: the disk cannot be read.
    """
    folders = sorted(work.glob(f"{_PREFIX}*"), reverse=True)
    for folder in folders:
        state = _whole_state(folder)
        if state is not None:
            return Checkpoint(folder, state)
        tell(f"{folder} is damaged, and passed over")
    if folders:
        raise UsageError(
            f"none of the checkpoints in {work} is whole: remove them ({_PREFIX}*) to train from the beginning."
        )
    return None


def _whole_state(folder: Path) -> dict[str, Any] | None:
    """A checkpoint's state; None where it or a file that it names is damaged or missing."""
    try:
        state = json.loads((folder / "state.json").read_text())
        fits = (
            all(isinstance(state[key], kind) for key, kind in _STATE.items())
            and {MODEL, optimizer_name(0)} <= state["files"].keys()
        )
        fits = (
            fits
            and state["step"] >= 0
            and all(file_digest(folder / name) == digest for name, digest in state["files"].items())
        )
    except (FileNotFoundError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return state if fits else None


def _tidy(work: Path, newest: Path) -> None:
    """Drop all but the newest checkpoints, and what interrupted writers left."""
    older = sorted(
        (path for path in work.glob(f"{_PREFIX}*") if path.name < newest.name), reverse=True
    )
    newer = [
        path for path in work.glob(f"{_PREFIX}*") if path.name > newest.name
    ]  # torn ones: latest() passed them over
    for path in [*older[KEPT - 1 :], *newer, *work.glob(".writing-*")]:
        shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
