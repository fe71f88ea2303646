"""Processes that compute one step together (accelerate's, that is PyTorch's distributed data parallel), as the loop sees them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vbbench.errors import PrerequisiteError, UsageError
from vbbench.training.peers import Alone

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(hours=2)
"""Others wait for the first process while it validates, samples and writes."""


def accelerator_for(device: str) -> Accelerator:
    """This process's part of what ``accelerate launch`` or ``torchrun`` started; alone where neither did.

    Args:
        device: ``cpu`` or ``cuda``.
    Raises:
        PrerequisiteError: accelerate is not installed.
        UsageError: there is no such device.
    """
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError:
        raise PrerequisiteError("training at real size needs accelerate: pip install 'vbbench[train]'.") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here; train on the CPU with --device cpu.")
    # Autocast is the loss's own: accelerate's would be one for all trainings of a process.
    return Accelerator(cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])


class Processes(Alone):
    """All processes of an accelerator: they hold the same weights after each step, so there is nothing to average.

    The first one writes; a signal to any of them stops all.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.rank, self.size = accelerator.process_index, accelerator.num_processes
        self.writes = self.rank == 0

    def meet(self, tensors: Sequence[Tensor], save: bool, stop: bool) -> tuple[bool, bool]:
        """Whether anybody wants to save, or to stop (which saves)."""
        saves, stops = self.sum(torch.tensor([float(save), float(stop)])).tolist()
        return saves + stops > 0, stops > 0

    def sum(self, values: Tensor) -> Tensor:
        """Added up over all processes, on the CPU."""
        if self.size == 1:
            return values.cpu()
        return self.accelerator.reduce(values.to(self.accelerator.device), reduction="sum").cpu()

    def most(self, value: int) -> int:
        """The largest over all processes."""
        if self.size == 1:
            return value
        return int(self.accelerator.gather(torch.tensor([value], device=self.accelerator.device)).max())

    def agree(self, value: int) -> bool:
        """Whether it is the same in all processes."""
        return self.most(value) == value == -self.most(-value)

    @staticmethod
    def is_gone(error: RuntimeError) -> bool:
        """Whether an error of PyTorch's is that of a process whose peers are no longer there."""
        from torch.distributed import DistError

        words = str(error).lower()
        return isinstance(error, DistError) or "connection" in words or "peer" in words

    def barrier(self) -> None:
        """Wait for everybody."""
        self.accelerator.wait_for_everyone()
