"""The loop's step on real clips: this process's share of a global batch, in microbatches, gradients averaged over processes.

Whatever is random comes from a clip's number in the whole training, so losses and weights do not depend on the number of processes,
on microbatches or on interruptions, up to the rounding of sums in another order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.errors import InputError, VBBenchError
from vbbench.training import checkpoint
from vbbench.training.objective import TrainedModule
from vbbench.training.real.board import Board
from vbbench.training.real.loader import LoadedSample
from vbbench.training.real.objective import Batch, RealStage
from vbbench.training.real.processes import Processes
from vbbench.training.real.settings import RealSettings
from vbbench.training.settings import batch_seed, lr_at
from vbbench.training.trainer import Trainer, crossed

Microbatches = Sequence[Sequence[LoadedSample]]


class _Loss(nn.Module):
    """The loss as a forward pass, which is what accelerate wraps; under autocast where that is wanted."""

    def __init__(self, objective: RealStage, autocast: bool) -> None:
        super().__init__()
        self.network, self._loss_of, self._autocast = objective.module, objective.loss_of, autocast

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.autocast(batch.latents_BCThw.device.type, torch.bfloat16, enabled=self._autocast):
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
        super().__init__(objective, settings, seed=seed, work=work, device=device, peers=peers, found=found, facts=facts)  # type: ignore[arg-type]
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
            with nullcontext() if place + 1 == len(micro) else self.peers.accelerator.no_sync(self._loss):
                means += self._gradients(samples)
        total, denoising = self.peers.sum(means).tolist()
        norm = float(self.peers.accelerator.clip_grad_norm_(self.trained.values(), self.settings.grad_clip))
        if not math.isfinite(total) or not math.isfinite(norm):
            raise VBBenchError(self._not_finite("loss" if not math.isfinite(total) else "gradient"))
        self.optimizer.step()
        self.done += 1
        self._add({"loss": total, "denoising": denoising, "gradient": norm})

    def _next(self) -> Microbatches:
        """This process's share of the next step; where it cannot be read and nobody waits, what is done is kept."""
        try:
            return next(self._batches)
        except InputError:
            if self.peers.size == 1 and self.done:
                self._save()
            raise

    def _gradients(self, samples: Sequence[LoadedSample]) -> Tensor:
        """Add a microbatch's gradients; returns its share of the step's mean loss and denoising error."""
        loss, error = self._loss(self.objective.batch(samples))
        share = len(samples) / self.settings.global_batch
        self.peers.accelerator.backward(loss * (share * self.peers.size))  # which averages gradients over processes
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
        due = self.settings.sample_every and (crossed(self.settings.sample_every, self.done - 1, self.done) or not self._left)
        if due:
            with self.average.inside(self.module):
                self._board.show(self.done)
