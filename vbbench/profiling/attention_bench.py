"""One case of injection attention at work: its inputs, its variants, their clock, memory and
error."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from vbbench.attention import injection_attention, load_backend
from vbbench.profiling.costs import Operations, Shape, UncountedError, count_operations
from vbbench.profiling.finite import worst
from vbbench.profiling.measure import Rotating
from vbbench.profiling.system_time import SystemTime

SEED = 6
SDPA_KERNELS = ("flash", "efficient", "cudnn")
"""PyTorch's fused kernels on CUDA, of which the best is the one to beat; on a CPU there is one."""
CACHE = 16 * 2**20
"""Bytes that inputs rotate beyond on a CPU: what a core has for itself."""
FEWEST_INPUTS, MOST_INPUTS = 2, 64
ERROR_TOKENS = 2048
"""The error is measured up to so many tokens."""
TINY = Shape(tokens=4, head_dim=8, heads=1, frames=3, image_tokens=4)


@dataclass(frozen=True)
class Work:
    """What is computed: a shape in a type on a device, with or without gradients."""

    shape: Shape
    device: str
    dtype: str
    grad: bool

    @property
    def torch_dtype(self) -> torch.dtype:
        """The element type."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found


@dataclass(frozen=True)
class Inputs:
    """Queries, keys, values, the image prompt's keys and values, and, for a backward pass, the
    output's gradient."""

    tensors: tuple[Tensor, ...]
    grad_output: Tensor | None = field(default=None, repr=False)


def make_inputs(work: Work, seed: int = SEED) -> Inputs:
    """Standard normal numbers; drawn in the type itself, so that nothing is held beside them."""
    shape = work.shape
    generator = torch.Generator(work.device).manual_seed(seed)
    frames = (shape.batch, shape.frames, shape.tokens, shape.heads, shape.head_dim)
    image = (shape.batch, shape.image_tokens, shape.heads, shape.head_dim)

    def draw(sizes: tuple[int, ...], grad: bool) -> Tensor:
        drawn = torch.randn(sizes, generator=generator, device=work.device, dtype=work.torch_dtype)
        return drawn.requires_grad_(grad)

    tensors = tuple(draw(sizes, work.grad) for sizes in (frames, frames, frames, image, image))
    return Inputs(tensors, draw(frames, False) if work.grad else None)


def rotating_inputs(work: Work) -> list[Inputs]:
    """So many that the last ones have left the caches when they come again."""
    first = make_inputs(work)
    size = sum(x.numel() * x.element_size() for x in first.tensors)
    beyond = (
        2 * torch.cuda.get_device_properties(0).L2_cache_size if work.device == "cuda" else CACHE
    )
    count = min(MOST_INPUTS, max(FEWEST_INPUTS, math.ceil(beyond / size)))
    return [first, *(make_inputs(work, SEED + number) for number in range(1, count))]


def variants_for(backends: Sequence[str], device: str) -> list[str]:
    """Backends by name; on CUDA ``concat`` with each of PyTorch's kernels too."""
    kernels = (
        [f"concat {kernel}" for kernel in SDPA_KERNELS]
        if device == "cuda" and "concat" in backends
        else []
    )
    return [*backends, *kernels]


def refusal(variant: str, work: Work) -> str | None:
    """Why a variant cannot do the work, or None."""
    query = torch.empty(
        1,
        1,
        1,
        work.shape.heads,
        work.shape.head_dim,
        device=work.device,
        dtype=work.torch_dtype,
        requires_grad=work.grad,
    )
    try:
        return load_backend(variant.split()[0]).refusal(query, work.grad)
    except ImportError as error:
        return f"it cannot be imported here: {error}"


def call(variant: str, inputs: Inputs) -> tuple[Tensor, ...]:
    """The output; of inputs with an output gradient, the gradients of all inputs after it."""
    backend, _, kernel = variant.partition(" ")
    with torch.set_grad_enabled(inputs.grad_output is not None), _kernel(kernel):
        out = injection_attention(*inputs.tensors, backend=backend)
        return (
            (out,)
            if inputs.grad_output is None
            else (out, *torch.autograd.grad(out, inputs.tensors, inputs.grad_output))
        )


def _kernel(name: str) -> AbstractContextManager[Any]:
    """PyTorch's attention bound to one kernel."""
    if not name:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
    }
    context: AbstractContextManager[Any] = sdpa_kernel(kernels[name])
    return context


class Runner:
    """What is timed: a call with the next inputs; and how much of this process's time was the
    system's."""

    def __init__(self, variant: str, inputs: Sequence[Inputs]) -> None:
        self._variant, self._following = variant, Rotating(inputs)
        self._system_time = SystemTime()

    def __call__(self) -> None:
        """Once."""
        self._system_time.during(lambda: call(self._variant, self._following()))

    def release(self) -> None:
        """Let go of the inputs."""
        self._following = Rotating(())

    @property
    def system_share(self) -> float | None:
        """Of this process's CPU time; None where nothing was spent."""
        return self._system_time.share


def prepared(
    variant: str, shape: dict[str, int], device: str, dtype: str, grad: bool
) -> Callable[[], object]:
    """What a fresh process calls: inputs made, and the code loaded by a tiny call."""
    work = Work(Shape(**shape), device, dtype, grad)
    call(
        variant,
        make_inputs(
            replace(work, shape=replace(TINY, head_dim=work.shape.head_dim, heads=work.shape.heads))
        ),
    )
    inputs = make_inputs(work)
    return lambda: call(variant, inputs)


def preparation(variant: str, work: Work) -> dict[str, Any]:
    """`prepared`'s arguments, as JSON can hold them."""
    return {
        "variant": variant,
        "shape": asdict(work.shape),
        "device": work.device,
        "dtype": work.dtype,
        "grad": work.grad,
    }


def operations(variant: str, work: Work) -> Operations | None:
    """What a variant does, counted without doing it; None where PyTorch does not see into it (a
    kernel of its own).

    Raises:
        UncountedError: one of PyTorch's own products has no formula.
        RuntimeError: no product was seen where attention was computed.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        inputs = make_inputs_without_numbers(work)
        try:
            counted = count_operations(lambda: call(variant, inputs))
        except UncountedError as error:
            if error.is_foreign:
                return None
            raise
        except Exception:  # whatever a kernel says to tensors without numbers
            return None
    if not counted.flops:
        raise RuntimeError(
            f"no operation of the attention {variant!r} was counted, though it computes products."
        )
    return counted


def make_inputs_without_numbers(work: Work) -> Inputs:
    """As `make_inputs`, within a FakeTensorMode."""
    shape = work.shape
    frames = (shape.batch, shape.frames, shape.tokens, shape.heads, shape.head_dim)
    image = (shape.batch, shape.image_tokens, shape.heads, shape.head_dim)
    how: dict[str, Any] = {"device": work.device, "dtype": work.torch_dtype}
    tensors = tuple(
        torch.empty(sizes, requires_grad=work.grad, **how)
        for sizes in (frames, frames, frames, image, image)
    )
    return Inputs(tensors, torch.empty(frames, **how) if work.grad else None)


@contextmanager
def quiet() -> Iterator[None]:
    """PyTorch warns of every kernel that it does not choose; that a variant failed is told as its
    gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# How far a variant's numbers are from the formula in float64, on the very clip that is timed.
#
# A backend may take another way for a few frames than for many, so that the variant computes all of
# them; the formula in float64 would
# take long for all, so that it computes a few: every frame needs only itself, its predecessor and
# frame 0.


def checked_frames(frames: int) -> list[int]:
    """The first, the second, one in the middle and the last."""
    return sorted({0, min(1, frames - 1), frames // 2, frames - 1})


class Errors:
    """Errors of variants against the formula in float64, which is computed once.

    With gradients the output's gradient is 0 at frames that are not checked, so that nothing hangs
    on them.
    """

    def __init__(self, work: Work) -> None:
        self._inputs: Inputs | None = None
        if work.shape.tokens > ERROR_TOKENS:
            return
        self._checked = checked_frames(work.shape.frames)
        made = make_inputs(work)
        grad = made.grad_output
        if grad is not None:
            kept = torch.zeros_like(grad)
            kept[:, self._checked] = grad[:, self._checked]
            grad = kept
        self._inputs = replace(made, grad_output=grad)
        self._expected = self._compute(self._inputs, work)

    def _compute(self, inputs: Inputs, work: Work) -> list[Tensor]:
        """The output at the checked frames, (B, checked, L, N, D); then the gradients of all
        inputs, if wanted."""
        # A clip of the checked frames and their predecessors, each right before its successor.
        few = sorted({each for frame in self._checked for each in (max(frame - 1, 0), frame)})
        clip, images = inputs.tensors[:3], inputs.tensors[3:]
        wide = tuple(
            x.detach().double().requires_grad_(work.grad)
            for x in (*(x[:, few] for x in clip), *images)
        )
        grad = inputs.grad_output
        out, *gradients = call(
            "reference", Inputs(wide, None if grad is None else grad[:, few].double())
        )
        found = [out[:, [few.index(frame) for frame in self._checked]]]
        for x, gradient in zip(clip, gradients[:3], strict=False):
            whole = torch.zeros_like(x, dtype=torch.float64)
            whole[:, few] = gradient
            found.append(whole)
        return [*found, *gradients[3:]]

    def of(self, variant: str) -> float | None:
        """The largest deviation over the largest value, of the output and of each gradient; None
        where it was not measured.

        NaN where anything is not a number, or not finite.
        """
        if self._inputs is None:
            return None
        out, *gradients = call(variant, self._inputs)
        if not bool(out.isfinite().all()):
            return float("nan")
        found = (out[:, self._checked], *gradients)
        return worst(
            float((x.double() - y).abs().max() / y.abs().max())
            for x, y in zip(found, self._expected, strict=True)
        )
