"""Trains a stage of VideoBooth on real videos, from a dataset in the released layout to a file of
weights.

One process by itself, or as many as ``accelerate launch`` or ``torchrun`` start: every one of them
runs this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.core import paths, progress
from vbbench.core.log import TRAINING
from vbbench.core.weights_file import card_path, read_card
from vbbench.errors import InputError, UsageError, VBBenchError
from vbbench.networks.weights.tensor_files import write_safetensors
from vbbench.training import checkpoint
from vbbench.training.loop import facts_of, locked
from vbbench.training.objective import TrainedModule
from vbbench.training.real.board import Board
from vbbench.training.real.loader import LoadedSample, batches
from vbbench.training.real.objective import Batch, RealStage
from vbbench.training.real.parts import (
    Processes,
    accelerator_for,
    make_board,
    make_data,
    make_stage,
)
from vbbench.training.real.recipes import RealRun
from vbbench.training.real.settings import RealSettings
from vbbench.training.recipes import environment
from vbbench.training.settings import batch_seed, lr_at
from vbbench.training.trainer import Trainer, crossed

# The loop's step on real clips: this process's share of a global batch, in microbatches, gradients
# averaged over processes.
#
# Whatever is random comes from a clip's number in the whole training, so losses and weights do not
# depend on the number of processes,
# on microbatches or on interruptions, up to the rounding of sums in another order.

Microbatches = Sequence[Sequence[LoadedSample]]


class _Loss(nn.Module):
    """The loss as a forward pass, which is what accelerate wraps; under autocast where that is
    wanted."""

    def __init__(self, objective: RealStage, autocast: bool) -> None:
        super().__init__()
        self.network, self._loss_of, self._autocast = objective.module, objective.loss_of, autocast

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.autocast(
            batch.latents_BCThw.device.type, torch.bfloat16, enabled=self._autocast
        ):
            return self._loss_of(self.network, batch)


class RealTrainer(Trainer):
    """One process's loop.

    Args:
        batches: this process's microbatches, a step at a time, from the first step that is left.
        board: what is shown while it trains; the first process has one.
    """

    objective: RealStage  # type: ignore[assignment]
    settings: RealSettings
    peers: Processes

    def __init__(
        self,
        objective: RealStage,
        settings: RealSettings,
        *,
        seed: int,
        work: Path,
        peers: Processes,
        board: Board | None,
        found: checkpoint.Checkpoint | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        device = str(peers.accelerator.device)
        super().__init__(
            objective,  # type: ignore[arg-type]  # its loss is computed in `_gradients`
            settings,
            seed=seed,
            work=work,
            device=device,
            peers=peers,
            found=found,
            facts=facts,
        )
        self._board = board
        self._loss = peers.accelerator.prepare(_Loss(objective, settings.bf16))

    def train(self, batches: Iterator[Microbatches]) -> TrainedModule:
        """All steps that are left, on these batches; see `Trainer.run`.

        Raises:
            InputError: clips cannot be read; a checkpoint was written before.
            VBBenchError: as `Trainer.run`, or another process ended before its time.
        """
        self._batches = batches
        try:
            return self.run()
        except RuntimeError as error:
            if self.peers.size == 1 or not self.peers.is_gone(error):
                raise
            raise VBBenchError(
                "Another process of this training ended before its time; what it wrote says why. Run the same command to go on."
            ) from error

    def _step(self) -> None:
        """One optimiser step on a global batch."""
        torch.manual_seed(batch_seed(self.seed, self.done, 0))
        for group in self.optimizer.param_groups:
            group["lr"] = lr_at(self.settings, self.done)
        self.optimizer.zero_grad(set_to_none=True)
        micro = self._next()
        means = torch.zeros(2)
        for place, samples in enumerate(micro):
            with (
                nullcontext()
                if place + 1 == len(micro)
                else self.peers.accelerator.no_sync(self._loss)
            ):
                means += self._gradients(samples)
        total, denoising = self.peers.sum(means).tolist()
        norm = float(
            self.peers.accelerator.clip_grad_norm_(self.trained.values(), self.settings.grad_clip)
        )
        if not math.isfinite(total) or not math.isfinite(norm):
            raise VBBenchError(self._not_finite("loss" if not math.isfinite(total) else "gradient"))
        self.optimizer.step()
        self.done += 1
        self._add({"loss": total, "denoising": denoising, "gradient": norm})

    def _next(self) -> Microbatches:
        """This process's share of the next step; where it cannot be read and nobody waits, what is
        done is kept."""
        try:
            return next(self._batches)
        except InputError:
            if self.peers.size == 1 and self.done:
                self._save()
            raise

    def _gradients(self, samples: Sequence[LoadedSample]) -> Tensor:
        """Add a microbatch's gradients; returns its share of the step's mean loss and denoising
        error."""
        loss, error = self._loss(self.objective.batch(samples))
        share = len(samples) / self.settings.global_batch
        self.peers.accelerator.backward(
            loss * (share * self.peers.size)
        )  # which averages gradients over processes
        return share * torch.stack([loss.detach(), error]).float().cpu()

    def _not_finite(self, what: str) -> str:
        words = f"The {what} of {self.objective.name} is no longer finite at step {self.done + 1}."
        if not self.done:
            return f"{words} That is the first step: look at the weights it starts from (`vbbench weights verify`) and at the settings."
        return f"{words} {self._last_good()} Try a smaller learning rate."

    def _meet(self, stop: bool) -> None:
        before = len(self.history)
        super()._meet(stop)
        if self._board is None:
            return
        if len(self.history) > before:
            self._board.add(self.history[-1])
        due = self.settings.sample_every and (
            crossed(self.settings.sample_every, self.done - 1, self.done) or not self._left
        )
        if due:
            with self.average.inside(self.module):
                self._board.show(self.done)


def train(run: RealRun) -> None:
    """Train, or go on, until all steps are done, and write the weights and their card.

    Raises:
        UsageError: settings that do not go together, a work folder of another training or one that
            another process trains in, or weights of others where the result would go.
        InputError: a dataset without a clip that can be used.
        WeightsError: weights to start from are missing or damaged.
        VBBenchError: the loss is no longer finite, or a checkpoint cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    peers = Processes(accelerator_for(run.device))
    run.settings.check(peers.size)
    target = _target(run)
    if peers.rank != 0:
        peers.barrier()
        return _train(run, peers, target)
    run.folder.mkdir(parents=True, exist_ok=True)
    with locked(run.folder):
        checkpoint.clear_unfinished(run.folder)
        peers.barrier()  # now the others may look into it
        _train(run, peers, target)


def _train(run: RealRun, peers: Processes, target: Path) -> None:
    leads, settings = peers.rank == 0, run.settings
    found = _latest(run, peers)
    stage, made_from = make_stage(run, str(peers.accelerator.device))
    data, made_from["data"] = make_data(run, stage, "train", TRAINING.info if leads else _quiet)
    if not peers.agree(int(made_from["data"][:15], 16)):
        raise UsageError(
            f"processes find different clips in {run.data} and {run.videos}: all of them must see the same files."
        )
    stage.frozen.read = lambda sample: data.frames(sample.draw)
    now = {
        "settings": settings.as_dict(),
        "made_from": made_from,
        "device": run.device,
        "workers": peers.size,
    }
    now["clips"] = asdict(data.settings)
    facts = facts_of(found, now, run.name, run.seed, run.folder, TRAINING.info if leads else _quiet)
    board = make_board(run, stage, found.step if found else 0) if leads else None
    trainer = RealTrainer(
        stage,
        settings,
        seed=run.seed,
        work=run.folder,
        peers=peers,
        board=board,
        found=found,
        facts=facts,
    )
    share = batches(
        data,
        steps=range(trainer.done, settings.steps),
        global_batch=settings.global_batch,
        micro_batch=settings.micro_batch,
        rank=peers.rank,
        size=peers.size,
        workers=settings.loaders,
        cached=stage.frozen.has_latents,
    )
    try:
        result = trainer.train(share)
    finally:
        if board is not None:
            board.close()
    if leads:
        _write(run, stage, result, target)
    peers.barrier()


def _quiet(line: str) -> None:
    """The first process says it."""


def _target(run: RealRun) -> Path:
    """The file that the weights go to, in a folder that can be written to: told now, not after the
    work.

    Raises:
        UsageError: it holds weights that no training of this name and seed made.
    """
    path = (run.out or paths.weights_dir(run.scale)) / f"{run.seeded}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        card = read_card(path) if card_path(path).is_file() else {}
        if (card.get("recipe"), card.get("seed")) != (
            run.name,
            run.seed,
        ) or "made_from" not in card:
            raise UsageError(
                f"{path} holds weights that were not trained here: name another folder with --out, or remove them."
            )
    return path


def _latest(run: RealRun, peers: Processes) -> checkpoint.Checkpoint | None:
    """The checkpoint to go on from, the same for every process."""
    found = checkpoint.latest(run.folder, TRAINING.info if peers.rank == 0 else _quiet)
    if not peers.agree(found.step if found else 0):
        raise UsageError(
            f"processes find different checkpoints in {run.folder}: all machines of a training must share that folder."
        )
    return found


def _write(run: RealRun, stage: RealStage, result: TrainedModule, path: Path) -> None:
    """The weights, in float32, and their card."""
    tensors, config = stage.export(result.module)
    tensors = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
    facts = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "loss": result.loss,
        "validation": result.validation,
    }
    facts |= {
        **result.facts,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "config": config,
    }
    card = {
        "recipe": run.name,
        "scale": run.scale,
        "seed": run.seed,
        **facts,
        **environment(run.device),
    }
    write_safetensors(path, tensors, card, source=f"the training {run.name}")
    TRAINING.info(f"{run.name}: {path}  {progress.figures(result.validation)}".rstrip())
