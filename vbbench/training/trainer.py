"""One worker's share of a training; worker 0 also validates, shows and writes."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vbbench.core import progress
from vbbench.core.log import TRAINING
from vbbench.errors import UsageError, VBBenchError, one_line
from vbbench.training import checkpoint, curves
from vbbench.training.objective import Objective, TrainedModule
from vbbench.training.peers import Alone
from vbbench.training.settings import TrainSettings, batch_seed, ema_decay_at, lr_at

# Ctrl-C and SIGTERM as a polite request: finish the step, write a checkpoint, then stop. A second
# one stops at once.


class Interrupt:
    """Context in which the first SIGINT or SIGTERM only sets ``asked``.

    Does nothing outside the main thread, where signals cannot be caught.
    """

    def __init__(self, *, active: bool = True) -> None:
        self.asked = False
        self.active = active and threading.current_thread() is threading.main_thread()
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if self.active:
            self.before = {
                number: signal.signal(number, self._handle)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


# AdamW, its state by parameter names, and the moving average of the weights.

Parameters = Mapping[str, nn.Parameter]


def adamw(trained: Parameters, settings: TrainSettings, device_type: str) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices and kernels only."""
    groups = [
        {
            "params": [param for param in trained.values() if param.ndim >= 2],
            "weight_decay": settings.weight_decay,
        },
        {"params": [param for param in trained.values() if param.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(
        groups, lr=settings.lr, betas=settings.betas, fused=device_type in ("cpu", "cuda")
    )


def state_tensors(optimizer: torch.optim.Optimizer, trained: Parameters) -> dict[str, Tensor]:
    """The optimiser's state by ``<kind>/<parameter name>``; a parameter that never had a gradient
    has none."""
    return {
        f"{kind}/{name}": value
        for name, param in trained.items()
        for kind, value in optimizer.state.get(param, {}).items()
    }


def restore_state(
    optimizer: torch.optim.Optimizer, trained: Parameters, tensors: Mapping[str, Tensor]
) -> None:
    """Put what ``state_tensors`` gave back."""
    names = {param: name for name, param in trained.items()}
    order = [param for group in optimizer.param_groups for param in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for index, param in enumerate(order):
        name = names[param]
        if f"step/{name}" not in tensors:
            continue
        state[index] = {"step": tensors[f"step/{name}"]}
        for kind in (
            "exp_avg",
            "exp_avg_sq",
        ):  # in the parameter's own memory layout, which the fused kernel takes for granted
            state[index][kind] = torch.empty_like(param, requires_grad=False).copy_(
                tensors[f"{kind}/{name}"]
            )
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


class MovingAverage:
    """Exponential moving average of parameters: what is validated and shipped."""

    def __init__(self, trained: Parameters) -> None:
        self.trained = trained
        self.values = {name: param.detach().clone() for name, param in trained.items()}

    @torch.no_grad()
    def move(self, decay: float) -> None:
        """``average = decay * average + (1 - decay) * parameter``."""
        torch._foreach_lerp_(
            list(self.values.values()),
            [param.detach() for param in self.trained.values()],
            1.0 - decay,
        )

    def swap(self) -> None:
        """Exchange average and live parameters, by pointer."""
        for name, param in self.trained.items():
            param.data, self.values[name] = self.values[name], param.data

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module with the average in it, in eval mode without gradients; afterwards the live
        weights are back."""
        self.swap()
        module.eval()
        try:
            with torch.no_grad():
                yield module
        finally:
            module.train()
            self.swap()


ROWS = 200  # a loss curve has about this many rows,
LONGEST_ROW = 50  # or more: one for at most this many steps
DRAW_EVERY_SECONDS = 60.0


class Trainer:
    """The loop of one worker, from a checkpoint or from the objective's own initial weights."""

    def __init__(
        self,
        objective: Objective,
        settings: TrainSettings,
        *,
        seed: int,
        work: Path,
        device: str = "cpu",
        peers: Alone | None = None,
        found: checkpoint.Checkpoint | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.objective, self.module = objective, objective.module
        objective.settings = settings  # curricula count in shares of the steps that are really done
        self.settings, self.seed, self.work = settings, seed, work
        self.peers, self.facts = peers or Alone(), facts or {}
        self.device_type = torch.device(device).type
        self.params, self.buffers = (
            dict(self.module.named_parameters()),
            dict(self.module.named_buffers()),
        )
        self.trained = {name: param for name, param in self.params.items() if param.requires_grad}
        if getattr(objective, "rest_is_constant", False):
            self.params, self.buffers = self.trained, {}
        self.optimizer = adamw(self.trained, settings, self.device_type)
        self.done, self.seconds = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.sums: dict[
            str, tuple[Any, int]
        ] = {}  # of the curves' next row: total and number of steps
        self.peers.spread([*self.params.values(), *self.buffers.values()])
        self.average = MovingAverage(self.trained)
        if found is not None:
            self._restore(found)

    def run(self) -> TrainedModule:
        """All steps that are left. Afterwards the module holds the averaged weights."""
        self.module.train()
        self.clock = self.saved = self.drawn = time.monotonic()
        self.progress = progress.Progress(
            self.objective.name, self.settings.steps, self.done, shown=self._leads and self._left
        )
        try:
            with Interrupt(active=self.peers.hears) as interrupt:
                while self._left:
                    self._step()
                    if self.peers.due(self.done, self.settings.steps):
                        self._meet(stop=interrupt.asked)
        finally:
            self.progress.close()
        return self._result()

    @property
    def _leads(self) -> bool:
        return self.peers.rank == 0

    @property
    def _left(self) -> bool:
        return self.done < self.settings.steps

    def _step(self) -> None:
        """One optimiser step on this worker's own batch."""
        seed = batch_seed(self.seed, self.done, self.peers.rank)
        torch.manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = lr_at(self.settings, self.done)
        with torch.autocast(self.device_type, dtype=torch.bfloat16, enabled=self.settings.bf16):
            loss, parts = self.objective.loss(self.done, seed)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), self.settings.grad_clip)
        self.optimizer.step()
        if (after_step := getattr(self.objective, "after_step", None)) is not None:
            after_step(self.done)
        self.done += 1
        self._add({"loss": loss.detach(), **parts})

    def _add(self, parts: Mapping[str, float | Tensor]) -> None:
        """Add one step's figures to the sums, without waiting for a GPU."""
        on_cpu = self.device_type == "cpu"
        for name, value in parts.items():
            value = (
                float(value) if on_cpu or not isinstance(value, Tensor) else value.detach().double()
            )
            total, count = self.sums.get(
                name, (0.0, 0)
            )  # a part that only some steps have is a mean over those
            self.sums[name] = (total + value, count + 1)

    def _meet(self, stop: bool) -> None:
        """After every step, or where workers meet: average, move the moving average, and whatever
        else is due."""
        last, before = not self._left, self.peers.previous(self.done)
        overdue = time.monotonic() - self.saved >= self.settings.checkpoint_every_seconds
        save, stop = self.peers.meet(
            [*self.params.values(), *self.buffers.values()],
            save=self._leads and (stop or last or overdue),
            stop=stop,
        )
        if self._leads:
            self.average.move(ema_decay_at(self.settings, self.done - 1) ** (self.done - before))
            validate = last or crossed(self.settings.validate_every, before, self.done)
            if validate or crossed(
                max(1, min(LONGEST_ROW, self.settings.steps // ROWS)), before, self.done
            ):
                self._write_row(validate)
            if last or self.progress.due():
                self.progress.update(
                    self.done, self._means().get("loss") or self.history[-1]["loss"]
                )
        if save:
            self._save()
        if stop:
            raise KeyboardInterrupt

    def _means(self) -> dict[str, float]:
        return {name: float(total) / count for name, (total, count) in self.sums.items()}

    def _write_row(self, validate: bool) -> None:
        """One row of the curves: means since the last row, and validation figures if they are
        due."""
        means = self._means()
        if not math.isfinite(means["loss"]):
            raise VBBenchError(
                f"The loss of {self.objective.name} is no longer finite at step {self.done}; try a smaller learning rate."
            )
        row = {
            "step": self.done,
            "seconds": round(self._elapsed(), 1),
            "lr": lr_at(self.settings, self.done - 1),
            **means,
        }
        self.sums = {}
        self.history.append(row)
        if validate:
            self._validate(row)

    def _validate(self, row: dict[str, float]) -> None:
        """Add validation figures to a row of the curves."""
        torch.manual_seed(0)
        with self.average.inside(self.module) as module:
            figures = {
                name: float(value) for name, value in self.objective.validate(module).items()
            }
        row.update({f"val/{name}": value for name, value in figures.items()})
        self.progress.validation = figures

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.clock

    def _save(self) -> None:
        """A checkpoint; every worker writes its own optimiser, worker 0 the rest.

        Raises:
            VBBenchError: a weight is not finite, or the disk is full or gone; the checkpoint before
                is whole.
        """
        if self._leads and (
            bad := next(
                (name for name, param in self.trained.items() if not torch.isfinite(param).all()),
                None,
            )
        ):
            raise VBBenchError(
                f"{bad} is no longer finite at step {self.done}. {self._last_good()} Try a smaller learning rate."
            )
        try:
            self._write()
        except (OSError, SafetensorError) as error:
            checkpoint.clear_unfinished(self.work)
            raise VBBenchError(
                f"The checkpoint of step {self.done} cannot be written to {self.work}: {one_line(error)}. {self._last_good()} "
                "Make room there and run the same command again."
            ) from error
        if self._leads:
            self._draw()

    def _last_good(self) -> str:
        steps = [
            int(path.name.removeprefix("checkpoint-")) for path in self.work.glob("checkpoint-*")
        ]
        return f"That of step {max(steps)} is whole." if steps else "There is none before it."

    def _write(self) -> None:
        folder = checkpoint.begin(self.work, self.done)
        if self.peers.writes:
            optimizer = checkpoint.optimizer_name(self.peers.rank)
            checkpoint.write_tensors(
                folder / optimizer, state_tensors(self.optimizer, self.trained)
            )
        if self._leads:
            tensors: dict[str, Tensor] = {
                f"param/{name}": param for name, param in self.params.items()
            }
            tensors |= {f"buffer/{name}": buffer for name, buffer in self.buffers.items()}
            tensors |= {f"ema/{name}": value for name, value in self.average.values.items()}
            checkpoint.write_tensors(folder / checkpoint.MODEL, tensors)
        self.peers.barrier()
        if not self._leads:
            return
        checkpoint.commit(self.work, folder, self._state())
        self.saved = time.monotonic()

    def _draw(self) -> None:
        """The curves; a training does not end because they cannot be written."""
        try:
            curves.write_csv(self.work / "curves.csv", self.history)
            if not self._left or self.saved - self.drawn >= DRAW_EVERY_SECONDS:
                self.drawn = self.saved
                curves.draw_png(
                    self.work / "curves.png",
                    self.history,
                    f"{self.objective.name}, seed {self.seed}",
                )
        except OSError as error:
            TRAINING.warning(f"the curves of step {self.done} cannot be written: {one_line(error)}")

    def _state(self) -> dict[str, Any]:
        return {
            "name": self.objective.name,
            "step": self.done,
            "seconds": self._elapsed(),
            "seed": self.seed,
            **self.facts,
            "history": self.history,
            "sums": {name: [float(total), count] for name, (total, count) in self.sums.items()},
        }

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        state, tensors = found.state, found.model()
        here = {f"param/{name}": value for name, value in self.params.items()} | {
            f"buffer/{name}": value for name, value in self.buffers.items()
        }
        here |= {f"ema/{name}": value for name, value in self.average.values.items()}
        wrong = sorted(here.keys() ^ tensors.keys()) or [
            name for name, value in here.items() if tensors[name].shape != value.shape
        ]
        if wrong:
            raise UsageError(
                f"The checkpoint in {self.work} is of another network ({wrong[0]} differs): remove it or name another folder."
            )
        with torch.no_grad():
            for name, value in here.items():
                value.copy_(tensors[name])
        restore_state(self.optimizer, self.trained, found.optimizer(self.peers.rank))
        self.done, self.seconds, self.history = found.step, state["seconds"], state["history"]
        self.sums = {
            name: (pair[0], pair[1])
            for name, pair in state["sums"].items()
            if isinstance(pair, list)
        }

    def _result(self) -> TrainedModule:
        """What is handed back, with the averaged weights left in the module."""
        if (
            self._leads and self.history and not _figures(self.history[-1])
        ):  # ended earlier than it was once planned to
            self._validate(self.history[-1])
        if self._leads:
            self.average.swap()
        self.module.eval()
        rows = [row["loss"] for row in self.history if row["step"] > 0.9 * self.done]
        return TrainedModule(
            module=self.module,
            steps=self.done,
            seconds=self.history[-1]["seconds"] if self.history else 0.0,
            loss=sum(rows) / len(rows) if rows else math.nan,
            validation=_figures(self.history[-1]) if self.history else {},
            history=self.history,
            facts=self.facts,
        )


def _figures(row: Mapping[str, float]) -> dict[str, float]:
    """The validation figures of a row of the curves."""
    return {key.removeprefix("val/"): value for key, value in row.items() if key.startswith("val/")}


def crossed(every: int, before: int, now: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, now], of step numbers."""
    return now // every > before // every
