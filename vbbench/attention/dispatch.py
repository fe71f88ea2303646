"""Which backend is used where: a small table of what measured fastest.

``vbbench profile attention`` measures anew; ``backend=`` and a recipe's ``speed`` table overrule
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vbbench.attention.backends import load_backend

HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Case:
    """What the choice hangs on."""

    device: str
    dtype: torch.dtype
    needs_grad: bool
    tokens: int
    head_dim: int

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on a CPU."""
        return self.device == "cpu"


@dataclass(frozen=True)
class Rule:
    """Backends to try where a case applies, fastest first, and where that was found."""

    applies: Callable[[Case], bool]
    backends: tuple[str, ...]
    measured: str


_XEON = "Xeon with AMX, one thread, torch 2.15"
RULES = (
    Rule(lambda case: case.on_cpu and case.needs_grad and case.dtype in HALVES, ("plain",), _XEON),
    Rule(lambda case: case.on_cpu and case.needs_grad and case.head_dim >= 64, ("merge",), _XEON),
    Rule(
        lambda case: case.on_cpu and (case.needs_grad or case.dtype in HALVES), ("concat",), _XEON
    ),
    Rule(
        lambda case: case.on_cpu and case.head_dim >= 32 and case.tokens * case.head_dim >= 8192,
        ("merge",),
        _XEON,
    ),
    Rule(
        lambda case: True,
        ("concat",),
        "GPUs are not measured yet; until they are, what every device has",
    ),
)


def choose_backend(q_BTLND: Tensor, needs_grad: bool = False) -> str:
    """Name of the fastest backend that can take these queries.

    Args:
        q_BTLND: queries (B, T, L, N, D).
        needs_grad: whether gradients are wanted of anything that goes into the attention.
    """
    case = Case(q_BTLND.device.type, q_BTLND.dtype, needs_grad, q_BTLND.shape[2], q_BTLND.shape[-1])
    fitting = (name for rule in RULES if rule.applies(case) for name in rule.backends)
    return next(name for name in fitting if load_backend(name).refusal(q_BTLND, needs_grad) is None)
