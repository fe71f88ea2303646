"""How long, how fast and how carefully to train. Standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from vbbench.errors import UsageError


@dataclass(frozen=True)
class TrainSettings:
    """Hyper-parameters of the loop; those of the model belong to its objective.

    Attributes:
        lr: peak learning rate of AdamW.
        steps: optimiser steps of each worker.
        betas, weight_decay: AdamW's; decay acts on matrices and kernels only (not on gains, biases,
            scalars).
        warmup_steps: steps of linear warm-up.
        decay_from: fraction of ``steps`` after which the learning rate falls linearly.
        final_lr_fraction: what is left of ``lr`` at the end.
        grad_clip: largest gradient norm.
        ema_decay: of the exponential moving average of the weights, which is what is validated and
            shipped.
        bf16: compute the loss under bfloat16 autocast (weights and optimiser stay float32); a
            device without instructions for it gets float32 (`recipes.for_device`).
        validate_every: steps between validations.
        checkpoint_every_seconds: wall-clock seconds between checkpoints.
        average_every: steps between averagings of the parameters, with more than one worker.
    """

    lr: float
    steps: int
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 60
    decay_from: float = 0.5
    final_lr_fraction: float = 0.03
    grad_clip: float = 1.0
    ema_decay: float = 0.998
    bf16: bool = True
    validate_every: int = 500
    checkpoint_every_seconds: float = 120.0
    average_every: int = 8

    def __post_init__(self) -> None:
        if self.steps < 1 or self.average_every < 1 or self.validate_every < 1:
            raise UsageError(
                "Training needs at least one step, and at least one step between validations and averagings."
            )
        if not 0.0 <= self.decay_from <= 1.0 or not 0.0 <= self.ema_decay < 1.0:
            raise UsageError("decay_from must lie in [0, 1] and ema_decay in [0, 1).")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for cards and checkpoints."""
        return {**asdict(self), "betas": list(self.betas)}


def lr_at(settings: TrainSettings, step: int) -> float:
    """Learning rate of step ``step`` (0 is the first): warm-up, constant, linear decay.

    A pure function of the step and of ``settings.steps``: a training resumed with another number of
    steps goes on as if it had been planned so from that step on (what was already trained is not
    undone), and its learning rate may jump there.
    """
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    start = settings.decay_from * settings.steps
    progress = min(1.0, max(0.0, (step - start) / max(1.0, settings.steps - start)))
    return settings.lr * warmup * (1.0 - progress * (1.0 - settings.final_lr_fraction))


def ema_decay_at(settings: TrainSettings, step: int) -> float:
    """Decay of the moving average after step ``step``: short memory first, (1 + n) / (10 + n),
    until ``ema_decay`` is reached."""
    return min(settings.ema_decay, (1 + step) / (10 + step))


def batch_seed(seed: int, step: int, rank: int) -> int:
    """The seed of everything random in one step of one worker: 63 bits of BLAKE2 over (run seed,
    step, rank).

    Because nothing else is drawn from, a training that was killed and resumed repeats the very same
    steps.
    """
    digest = hashlib.blake2b(f"vbbench-step:{seed}:{step}:{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
