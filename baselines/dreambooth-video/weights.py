"""Which weights are tuned, and how: all of a part, or a low-rank product added to its matrices.

The base's own tensors are read and never written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from vbbench.errors import RecipeError

ATTENTION = (".attn1.", ".attn2.", ".attn_temp.")
# "spatial" leaves how frames follow each other to the base
PARTS = {"all": ("",), "attention": ATTENTION, "text-attention": (".attn2.",), "spatial": ("",)}
TEMPORAL = (".attn_temp.", ".norm_temp.")
DIFFERENCE, DOWN, UP = "difference/", "down/", "up/"
Weights = dict[str, Tensor]


def choose(named: Iterable[tuple[str, Tensor]], part: str) -> Weights:
    """The parameters of a part of the UNet.

    Raises:
        RecipeError: no such part.
    """
    if part not in PARTS:
        raise RecipeError(
            f"there is no part {part!r} of the network to tune; there are {', '.join(PARTS)}."
        )
    inside = {name: tensor for name, tensor in named if any(mark in name for mark in PARTS[part])}
    if part == "spatial":
        inside = {
            name: tensor
            for name, tensor in inside.items()
            if not any(mark in name for mark in TEMPORAL)
        }
    return inside


class Tuning(Protocol):
    """Weights on their way from the base's to the subject's."""

    def parameters(self) -> list[Tensor]:
        """What the optimiser moves."""
        ...

    def weights(self) -> Weights:
        """The weights as they are now, by the UNet's names, with gradients to `parameters`."""
        ...

    def stored(self) -> Weights:
        """What an adapter holds; `restore` reads it."""
        ...


class FullTuning:
    """Every number of the chosen tensors; stored as float16 differences to the base."""

    def __init__(self, base: Mapping[str, Tensor]) -> None:
        self._base = base
        self._values = {
            name: tensor.detach().float().clone().requires_grad_(True)
            for name, tensor in base.items()
        }

    def parameters(self) -> list[Tensor]:
        """The copies."""
        return list(self._values.values())

    def weights(self) -> Weights:
        """The copies, by name."""
        return self._values

    def stored(self) -> Weights:
        """One difference a tensor."""
        return {
            DIFFERENCE + name: (value.detach() - self._base[name].float()).half().cpu()
            for name, value in self._values.items()
        }


class LowRank:
    """LoRA (Hu et al. 2022, equation 3) on the attention projections among the chosen tensors: W +
    U D, U zero at first.

    Args:
        base: the chosen tensors.
        rank: columns of U and rows of D.
        generator: draws D, on the CPU.
    Raises:
        RecipeError: no attention projection among them.
    """

    def __init__(self, base: Mapping[str, Tensor], rank: int, generator: torch.Generator) -> None:
        self._base = {
            name: tensor
            for name, tensor in base.items()
            if tensor.ndim == 2 and any(mark in name for mark in ATTENTION)
        }
        if not self._base:
            raise RecipeError(
                "lora_rank tunes attention projections, of which the chosen part of the network has none."
            )
        self._down, self._up = {}, {}
        for name, tensor in self._base.items():
            down = torch.randn(rank, tensor.shape[1], generator=generator) * tensor.shape[1] ** -0.5
            self._down[name] = down.to(tensor.device).requires_grad_(True)
            self._up[name] = torch.zeros(
                tensor.shape[0], rank, device=tensor.device, requires_grad=True
            )

    def parameters(self) -> list[Tensor]:
        """Both factors."""
        return [*self._down.values(), *self._up.values()]

    def weights(self) -> Weights:
        """The base's matrices plus the products."""
        return {
            name: tensor.detach() + self._up[name] @ self._down[name]
            for name, tensor in self._base.items()
        }

    def stored(self) -> Weights:
        """Both factors of each matrix, float16."""
        parts = {DOWN: self._down, UP: self._up}
        return {
            prefix + name: tensor.detach().half().cpu()
            for prefix, table in parts.items()
            for name, tensor in table.items()
        }


def restore(base: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> Weights:
    """The subject's weights, from the base's parameters and what `Tuning.stored` gave; new tensors
    all."""
    tuned: Weights = {}
    for key, value in stored.items():
        kind, name = key.split("/", 1)
        if kind + "/" == DIFFERENCE:
            tuned[name] = base[name] + value.to(base[name])
        elif kind + "/" == UP:
            tuned[name] = base[name] + value.to(base[name]) @ stored[DOWN + name].to(base[name])
    return tuned
