"""Evaluations of a UNet as CUDA graphs: captured once for each set of shapes, then replayed without
the CPU's work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # evaluations before the capture, in which libraries choose their kernels


class GraphedUNet:
    """Called as the UNet is; on CUDA, without gradients.

    Inputs are copied into fixed places and the graph is replayed. What does not change from call to
    call (a text's keys and values) is copied all the same: that is little beside an evaluation.

    Args:
        unet: a `VideoUNet`, or any callable of tensors and frozen records of tensors.
    """

    def __init__(self, unet: Callable[..., Tensor]) -> None:
        self._unet = unet
        self._captured: dict[Any, tuple[list[Tensor], torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, *arguments: Any, inner: Any = None, **named: Any) -> Tensor:
        """The UNet's result, in a tensor of its own.

        Raises:
            ValueError: not on CUDA, or with kept inner features, whose evaluations differ from each
                other.
        """
        if inner is not None:
            raise ValueError("CUDA graphs and the approximation reuse_features exclude each other")
        given = list(tensors_of((arguments, named)))
        if any(x.device.type != "cuda" for x in given):
            raise ValueError(
                "CUDA graphs need CUDA tensors; set cuda_graph = false in the recipe's speed table"
            )
        key = tuple((tuple(x.shape), x.dtype) for x in given)
        if key not in self._captured:
            self._captured[key] = self._capture(arguments, named)
        places, graph, out = self._captured[key]
        for place, x in zip(places, given, strict=True):
            place.copy_(x)
        graph.replay()
        return out.clone()

    def _capture(
        self, arguments: Any, named: Any
    ) -> tuple[list[Tensor], torch.cuda.CUDAGraph, Tensor]:
        fixed_arguments, fixed_named = with_copies((arguments, named))
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._unet(*fixed_arguments, **fixed_named)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = self._unet(*fixed_arguments, **fixed_named)
        return list(tensors_of((fixed_arguments, fixed_named))), graph, out


def tensors_of(value: Any) -> Iterator[Tensor]:
    """All tensors in tuples, dicts and records, in a fixed order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_of(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_of(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


def with_copies(value: Any) -> Any:
    """The same structure with a copy of every tensor."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)(with_copies(part) for part in value)
    if isinstance(value, dict):
        return {key: with_copies(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{field.name: with_copies(getattr(value, field.name)) for field in fields(value)}
        )
    return value
