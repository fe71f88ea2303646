"""What the loop trains, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vbbench.training.settings import TrainSettings


class Objective(Protocol):
    """What is learned. Construct it deterministically: every worker builds its own.

    An objective may also have ``after_step(step)``, called after each optimiser step (a
    self-distilled teacher moves there). State that must survive a kill belongs into ``module`` as a
    buffer or a frozen parameter: both are in checkpoints, and averaged over workers; unless the
    objective has ``rest_is_constant = True``: then checkpoints hold what is trained and nothing
    else (a frozen network of real size would fill the disk).
    """

    name: str
    settings: TrainSettings
    """Its defaults; the loop replaces them on the instance by the settings it trains with."""
    module: nn.Module
    """Everything that is trained, and only that, on the right device."""

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The loss of one batch drawn from ``seed`` alone, and its parts for the curves; ``step``
        is for curricula only.

        ``seed`` already covers the run's seed, the step and the worker. Runs under autocast if the
        settings say so. Parts that are detached tensors are only read where the curves are written,
        which spares a GPU a wait in every step; a part may be missing in some steps.
        """

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """Figures on held-out data.

        ``module`` is ``self.module`` itself with the averaged weights in it; no gradients, eval
        mode, float32, fixed torch seed.
        """

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors to ship and the configuration to rebuild the network; ``module`` as in
        ``validate``."""


class Solver(Protocol):
    """An objective that is computed instead of trained (the latent codec's principal
    components)."""

    name: str

    def solve(self) -> Mapping[str, float]:
        """Compute it; returns figures on held-out data."""

    def export(self, module: None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors to ship and the configuration."""


@dataclass(frozen=True)
class TrainedModule:
    """The objective's own module with the averaged weights in it, and how it got there.

    Attributes:
        seconds: of training, over all resumes.
        loss: mean over the last tenth of the steps.
        validation: the last figures.
        history: the rows of the loss curves.
        facts: settings, device, workers and what it was made from, and under ``earlier`` those of
            earlier steps if they differed.
    """

    module: nn.Module
    steps: int
    seconds: float
    loss: float
    validation: dict[str, float]
    history: list[dict[str, float]]
    facts: Mapping[str, Any]
