"""AdamW, its state by parameter names, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vbbench.training.settings import TrainSettings

Parameters = Mapping[str, nn.Parameter]


def adamw(trained: Parameters, settings: TrainSettings, device_type: str) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices and kernels only."""
    groups = [
        {"params": [param for param in trained.values() if param.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [param for param in trained.values() if param.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=device_type in ("cpu", "cuda"))


def state_tensors(optimizer: torch.optim.Optimizer, trained: Parameters) -> dict[str, Tensor]:
    """The optimiser's state by ``<kind>/<parameter name>``; a parameter that never had a gradient has none."""
    return {f"{kind}/{name}": value for name, param in trained.items() for kind, value in optimizer.state.get(param, {}).items()}


def restore_state(optimizer: torch.optim.Optimizer, trained: Parameters, tensors: Mapping[str, Tensor]) -> None:
    """Put what ``state_tensors`` gave back."""
    names = {param: name for name, param in trained.items()}
    order = [param for group in optimizer.param_groups for param in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for index, param in enumerate(order):
        name = names[param]
        if f"step/{name}" not in tensors:
            continue
        state[index] = {"step": tensors[f"step/{name}"]}
        for kind in ("exp_avg", "exp_avg_sq"):  # in the parameter's own memory layout, which the fused kernel takes for granted
            state[index][kind] = torch.empty_like(param, requires_grad=False).copy_(tensors[f"{kind}/{name}"])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


class MovingAverage:
    """Exponential moving average of parameters: what is validated and shipped."""

    def __init__(self, trained: Parameters) -> None:
        self.trained = trained
        self.values = {name: param.detach().clone() for name, param in trained.items()}

    @torch.no_grad()
    def move(self, decay: float) -> None:
        """``average = decay * average + (1 - decay) * parameter``."""
        torch._foreach_lerp_(list(self.values.values()), [param.detach() for param in self.trained.values()], 1.0 - decay)

    def swap(self) -> None:
        """Exchange average and live parameters, by pointer."""
        for name, param in self.trained.items():
            param.data, self.values[name] = self.values[name], param.data

    @contextmanager
    def inside(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module with the average in it, in eval mode without gradients; afterwards the live weights are back."""
        self.swap()
        module.eval()
        try:
            with torch.no_grad():
                yield module
        finally:
            module.train()
            self.swap()
