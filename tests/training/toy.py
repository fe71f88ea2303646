"""A small objective for the tests, and a program that trains it: ``python toy.py WORK STEPS WORKERS
PAUSE``."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.training.loop import TrainedModule, fit
from vbbench.training.settings import TrainSettings

SETTINGS = TrainSettings(lr=1e-2, steps=20, warmup_steps=5, validate_every=10, average_every=4)


class Toy:
    """Learns the product of two of its inputs. Dropout and batch statistics are there to make
    resuming hard."""

    name = "toy"
    settings = SETTINGS

    def __init__(
        self,
        pause: float = 0.0,
        trace: Path | None = None,
        nan_at: int = -1,
        dies_at: int = -1,
        width: int = 16,
    ) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(
            nn.Linear(8, width),
            nn.BatchNorm1d(width),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(width, 1),
            nn.Linear(1, 1),
        )
        self.module[5].requires_grad_(False)  # a frozen part is kept as it is, and kept
        self.pause, self.trace, self.nan_at, self.dies_at = pause, trace, nan_at, dies_at

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        time.sleep(self.pause)
        if step == self.dies_at and multiprocessing.parent_process() is not None:
            os._exit(1)
        if self.trace is not None:
            with (self.trace / str(os.getpid())).open("a") as file:
                file.write(f"{step} {seed} {fingerprint(self.module)}\n")
        error = self._error(self.module, torch.Generator().manual_seed(seed))
        if step == self.nan_at:
            error = error * float("nan")
        return error, {"even": error.detach()} if step % 2 == 0 else {}

    def _error(self, module: nn.Module, generator: torch.Generator | None = None) -> Tensor:
        x = torch.randn(16, 8, generator=generator).to(module[0].weight.device)
        return (module(x) - x[:, :1] * x[:, 1:2]).float().square().mean()

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        assert not module.training
        assert not torch.is_grad_enabled()
        return {"error": float(self._error(module))}

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return module.state_dict(), {"width": module[0].out_features}


def fingerprint(module: nn.Module) -> str:
    """Every bit of the parameters and buffers."""
    import hashlib

    parts = [value.detach().numpy().tobytes() for value in module.state_dict().values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def train(
    work: Path,
    settings: TrainSettings = SETTINGS,
    *,
    seed: int = 3,
    workers: int = 1,
    **options: Any,
) -> TrainedModule:
    """Fit the toy."""
    factory = functools.partial(Toy, **options)
    return fit(factory(), settings, seed=seed, work=work, workers=workers, factory=factory)


if __name__ == "__main__":
    import dataclasses

    folder, count, processes, wait = sys.argv[1:]
    chosen = dataclasses.replace(SETTINGS, steps=int(count), checkpoint_every_seconds=0.05)
    try:
        print(
            fingerprint(
                train(Path(folder), chosen, workers=int(processes), pause=float(wait)).module
            )
        )
    except KeyboardInterrupt:
        sys.exit(130)
