"""What a computation needs, by formula, and what a formulation of it moves, operation by operation.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, N heads, D
head dimension.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

# Operations of PyTorch's fused attention kernels, by our own formulas.
#
# Which kernels PyTorch's own counter has a formula for changes with its version: before 2.15 it
# counted nothing for the CPU's fused
# attention. These formulas stand for all of them, on every device, and replace the counter's own.
#
# Shapes: query (B, N, Q, D), key (B, N, K, D), value (B, N, K, E); B batch, N heads, Q queries, K
# keys, D and E head dimensions.

Formula = Callable[..., int]

FORWARD = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
"""Operators that compute softmax(q k^T) v; their arguments begin with query, key, value."""

BACKWARD = tuple(f"{name}_backward" for name in FORWARD)
"""Operators of their gradients; their arguments begin with the output's gradient, query, key,
value."""


def forward_flops(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Operations of the two products of an attention: scores (Q x D x K) and weighted values (Q x K
    x E); 2 a multiply-add.

    Args:
        query, key, value: shapes, see the module.
    """
    batch, heads, queries, head_dim = query
    keys, value_dim = value[-2], value[-1]
    return 2 * batch * heads * queries * keys * (head_dim + value_dim)


def backward_flops(
    _: Sequence[int],
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    *__: Any,
    **___: Any,
) -> int:
    """Operations of the five products of a fused attention's gradients.

    The kernels do not store the scores: they compute them again (D), and then the gradients of
    values and of probabilities (E each), of queries and of keys (D each).

    Args:
        query, key, value: shapes, see the module.
    """
    batch, heads, queries, head_dim = query
    keys, value_dim = value[-2], value[-1]
    return 2 * batch * heads * queries * keys * (3 * head_dim + 2 * value_dim)


def attention_formulas() -> Mapping[Any, Formula]:
    """Operator -> formula of shapes, for the operators that this version of PyTorch has; a
    ``custom_mapping`` of its counter."""
    named: dict[str, Formula] = dict.fromkeys(FORWARD, forward_flops)
    named |= dict.fromkeys(BACKWARD, backward_flops)
    return {
        getattr(torch.ops.aten, name): formula
        for name, formula in named.items()
        if hasattr(torch.ops.aten, name)
    }


BACKWARD_PRODUCTS = 2.0
"""A backward pass of attention has four products (to values, probabilities, queries, keys) where
the forward pass has two."""


@dataclass(frozen=True)
class Shape:
    """Sizes of an injection attention; `image_tokens` 0: no image prompt."""

    tokens: int
    head_dim: int
    heads: int
    frames: int
    image_tokens: int
    batch: int = 1

    @property
    def width(self) -> int:
        """Channels: N * D."""
        return self.heads * self.head_dim


def needed_flops(shape: Shape, grad: bool = False) -> float:
    """Operations of the products of injection attention, each key read once: frames 0 and 1 read L
    keys, later ones 2 L, and frame 0's values M + L before; 4 D a query, key and head. Softmax and
    merging are not counted."""
    keys = shape.tokens * (min(shape.frames, 2) + 2 * max(shape.frames - 2, 0))
    keys += shape.image_tokens + shape.tokens if shape.image_tokens else 0
    forward = 4.0 * shape.batch * shape.width * shape.tokens * keys
    return forward * (1 + BACKWARD_PRODUCTS) if grad else forward


def least_bytes(shape: Shape, itemsize: int, grad: bool = False) -> float:
    """Queries, keys, values and the image prompt's keys and values read once, the output written
    once; backward, all of it and the output's gradient read once more, and five gradients
    written."""
    inputs = shape.width * shape.batch * (3 * shape.frames * shape.tokens + 2 * shape.image_tokens)
    output = shape.width * shape.batch * shape.frames * shape.tokens
    elements = (inputs + output) + (inputs + 2 * output + inputs if grad else 0)
    return float(elements * itemsize)


@dataclass(frozen=True)
class Operations:
    """What a call did: floating point operations of its products, bytes its operations moved, and
    the most bytes that one of them touched, which is memory that was held at once."""

    flops: float
    bytes: float
    largest: float


def count_operations(run: Callable[[], object]) -> Operations:
    """Count what a call does.

    Each operation reads each of its inputs once and writes its output once; views move nothing, and
    of an expanded tensor only what is stored is read. What an operation moves within itself is not
    seen: a fused attention counts as its inputs and outputs.

    Raises:
        UncountedError: a product was done by an operator whose operations nobody has a formula for.
    """
    counter = FlopCounterMode(display=False, custom_mapping=dict(attention_formulas()))
    with counter, _Traffic() as traffic:
        run()
    uncounted = {
        name for packet, name in traffic.products.items() if packet not in counter.flop_registry
    }
    if uncounted:
        raise UncountedError(uncounted)
    return Operations(
        float(counter.get_total_flops()), float(traffic.total), float(traffic.largest)
    )


class UncountedError(RuntimeError):
    """Products were done whose operations are not counted, so that the total would be too small.

    Attributes:
        operators: their names, as ``aten.mm``.
    """

    def __init__(self, operators: Iterable[str]) -> None:
        self.operators = tuple(sorted(operators))
        super().__init__(
            f"no formula counts the operations of {', '.join(self.operators)}: add one in vbbench.profiling.costs."
        )

    @property
    def is_foreign(self) -> bool:
        """Whether all of them are kernels of other packages, into which PyTorch cannot see."""
        return not any(name.startswith("aten.") for name in self.operators)


_PRODUCTS = re.compile(r"attention|convolution|linear|mm$")
"""Names of operators that multiply matrices."""

KERNELS = frozenset((*FORWARD, *BACKWARD))
"""Names of the fused kernels, which are never taken apart: they do not store what their parts
would."""


class _Traffic(TorchDispatchMode):
    """Adds up what every operation reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.largest = 0
        self.products: dict[Any, str] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # In inference mode an operator that is made of others arrives whole: its parts are counted,
        # as they arrive in every other mode.
        if func.namespace == "aten" and func.overloadpacket.__name__ not in KERNELS:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if _PRODUCTS.search(func.overloadpacket.__name__):
            self.products[func.overloadpacket] = f"{func.namespace}.{func.overloadpacket.__name__}"
        if not _moves_nothing(func):
            moved = sum(map(stored_bytes, _read(func, args, kwargs))) + sum(
                map(stored_bytes, _tensors(out))
            )
            self.total += moved
            self.largest = max(self.largest, moved)
        return out


_EMPTY = (
    "empty",
    "new_empty",
    "empty_like",
    "empty_strided",
    "new_empty_strided",
    "detach",
    "_unsafe_view",
    "lift_fresh",
)


def _moves_nothing(func: Any) -> bool:
    if (
        func.namespace == "prim" or func.overloadpacket.__name__ in _EMPTY
    ):  # prim: questions about a tensor
        return True
    returns = [value.alias_info for value in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returns)


def _read(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors an operation reads: all but those that it fills."""
    name = func.overloadpacket.__name__
    if name == "copy_":
        args = args[1:]
    elif name == "baddbmm" and kwargs.get("beta", 1) == 0:
        args = args[1:]  # by its definition then not read
    elif name in ("zero_", "fill_", "random_", "normal_", "uniform_"):
        args = ()
    yield from _tensors((args, {key: value for key, value in kwargs.items() if key != "out"}))


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (each for each in tree_iter(tree) if isinstance(each, Tensor))


def stored_bytes(x: Tensor) -> int:
    """Bytes of a tensor's elements, each counted once however often a stride of 0 shows it."""
    elements = 1
    for size, stride in zip(x.shape, x.stride(), strict=True):
        elements *= size if stride else min(size, 1)
    return elements * x.element_size()
