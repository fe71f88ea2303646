"""What the Triton kernels must do, on a device by name: under pytest on a GPU, and in a program of
its own in the interpreter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from vbbench.attention import reference
from vbbench.attention import triton_backend as backend
from vbbench.attention import triton_launches as launches

# Largest error of outputs, and of gradients as a share of the largest gradient.
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 3e-2}
SHAPES = {  # batch, frames, tokens, image tokens, heads, head dimension, type
    "one frame": (2, 1, 7, 1, 1, 8, torch.float32),
    "two frames": (1, 2, 9, 9, 2, 40, torch.float32),
    "more than a tile of tokens": (1, 3, 65, 9, 1, 16, torch.float32),
    "80 dimensions": (2, 3, 7, 9, 1, 80, torch.float32),
    "160 dimensions": (1, 4, 7, 1, 1, 160, torch.float32),
    "200 dimensions": (1, 3, 3, 1, 1, 200, torch.float32),
    "1 dimension": (1, 3, 2, 1, 2, 1, torch.float32),
    "float16": (1, 4, 16, 9, 2, 40, torch.float16),
    "bfloat16": (1, 4, 9, 16, 1, 40, torch.bfloat16),
    "bfloat16, 160 dimensions": (1, 3, 16, 16, 1, 160, torch.bfloat16),
    "float64": (2, 4, 7, 5, 2, 20, torch.float64),
}
LARGE = (1, 16, 1024, 256, 8, 40, torch.bfloat16)
Shape = tuple[int, int, int, int, int, int, torch.dtype]


def make_inputs(shape: Shape, device: str, scale: float = 1.0) -> list[Tensor]:
    """Queries, keys, values, and the image prompt's: views of two products, as the network's
    projections leave them."""
    batch, frames, tokens, image_tokens, heads, dim, dtype = shape
    generator = torch.Generator().manual_seed(0)
    video, image = (
        torch.randn(*sizes, heads, dim, generator=generator, dtype=torch.float64)
        .mul(scale)
        .to(device, dtype)
        for sizes in ((batch, frames, tokens, 3), (batch, image_tokens, 2))
    )
    return [x.requires_grad_() for x in (*video.unbind(-3), *image.unbind(-3))]


def _injected(
    module: Any, q: Tensor, k: Tensor, v: Tensor, k_image: Tensor, v_image: Tensor
) -> Tensor:
    return module.across_frames(q, k, v, module.inject(q[:, 0], k[:, 0], v[:, 0], k_image, v_image))


def _with_gradients(module: Any, inputs: list[Tensor], d_out: Tensor) -> list[Tensor]:
    out = _injected(module, *inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, d_out.to(out.dtype))]


@contextmanager
def _poison() -> Iterator[list[int]]:
    """Memory that kernels are to fill is full of NaN; yields the sizes asked for."""
    sizes, empty = [], launches.empty
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            launches,
            "empty",
            lambda *a, **k: (sizes.append(1), empty(*a, **k).fill_(float("nan")))[1],
        )
        yield sizes


def _compare(inputs: list[Tensor], tolerance: float, *, twice: bool = False) -> None:
    exact = [x.detach().double().requires_grad_() for x in inputs]
    d_out = torch.randn(
        exact[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).to(inputs[0])
    with _poison():
        results = _with_gradients(backend, inputs, d_out)
        again = _with_gradients(backend, inputs, d_out) if twice else results
    expected = _with_gradients(reference, exact, d_out)
    errors = {}
    for name, actual, repeated, wanted in zip(
        ("out", "dq", "dk", "dv", "dk_image", "dv_image"), results, again, expected, strict=True
    ):
        assert actual.shape == wanted.shape
        assert actual.dtype == inputs[0].dtype
        assert torch.equal(actual, repeated), f"{name} differs the second time"
        # NaN compares false, so anything unwritten fails here.
        errors[name] = float(
            (actual.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1)
        )
        assert errors[name] <= tolerance, (
            f"{name} is off by {errors[name]:.3g}, more than {tolerance}: {errors}"
        )


def check_shape(shape: Shape, device: str, *, twice: bool = False) -> None:
    """A shape against the formulas; ``twice``: and against itself."""
    if shape[-1] is torch.float64 and device != "cpu":
        pytest.skip("the kernels refuse float64 on a GPU")
    _compare(make_inputs(shape, device), TOLERANCE[shape[-1]], twice=twice)


def _large_magnitudes(dtype: torch.dtype, tolerance: float, device: str) -> None:
    """Logits of several hundred: weights are 0 or 1, and exponentials of the logits themselves
    would overflow."""
    inputs = make_inputs((1, 3, 9, 5, 1, 40, dtype), device, scale=10)
    assert (
        torch.einsum("blnd,bmnd->blm", inputs[0][:, 0], inputs[1][:, 0]).abs().max() / 40**0.5 > 200
    )
    _compare(inputs, tolerance)


def _other_layouts(device: str) -> None:
    """Heads before tokens; and a last axis that is not contiguous."""
    inputs = make_inputs((2, 3, 5, 3, 2, 8, torch.float32), device)
    _compare(
        [
            x.detach().transpose(-3, -2).contiguous().transpose(-3, -2).requires_grad_()
            for x in inputs
        ],
        2e-6,
    )
    _compare(
        [
            x.detach().transpose(-3, -1).contiguous().transpose(-3, -1).requires_grad_()
            for x in inputs
        ],
        2e-6,
    )


def _nothing_kept(device: str) -> None:
    """Without gradients only the output is allocated; with them its log-sum-exp too."""
    q, k, v, *image = make_inputs((1, 3, 4, 3, 1, 16, torch.float32), device)
    with _poison() as sizes, torch.no_grad():
        out = backend.across_frames(q, k, v, v[:, 0])
        assert len(sizes) == 1
    with _poison() as sizes:
        trained = backend.across_frames(q, k, v, v[:, 0])
        assert len(sizes) == 2
    assert torch.equal(out, trained)
    assert out.grad_fn is None
    assert trained.grad_fn is not None
    assert backend.inject(*(x[:0] for x in (q[:, 0], k[:, 0], v[:, 0], *image))).shape == (
        0,
        4,
        1,
        16,
    )


def _several_frames_a_slot(device: str) -> None:
    """Frame 0's gradients are summed over 2, 2 and 1 frames, as they are where the GPU is full
    anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launches, "ENOUGH_PROGRAMS", 2)
        _compare(
            make_inputs((1, 5, 4, 3, 1, 16, torch.float32), device),
            TOLERANCE[torch.float32],
            twice=True,
        )


def _far_rows(device: str) -> None:
    """Rows so far apart that 32 bits would not reach the last one are copied; the memory itself is
    only reserved."""
    row = 2**31 // (4 + launches.MOST_ROWS)
    memory = torch.empty(4 * (row + 1), dtype=torch.float16, device=device)
    assert launches.lean(memory.as_strided((1, 4, 1, 8), (0, row + 1, 8, 1))).is_contiguous()
    near = memory.as_strided((1, 4, 1, 8), (0, row - 1, 8, 1))
    assert launches.lean(near) is near


def _frozen_keys(device: str) -> None:
    """Gradients of the queries alone."""
    q, k, v, k_image, v_image = (
        x.detach() for x in make_inputs((1, 3, 4, 3, 1, 16, torch.float32), device)
    )
    q.requires_grad_()
    (actual,) = torch.autograd.grad(_injected(backend, q, k, v, k_image, v_image).square().sum(), q)
    (expected,) = torch.autograd.grad(
        _injected(reference, q, k, v, k_image, v_image).square().sum(), q
    )
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def _gradcheck(device: str) -> None:
    if device != "cpu":
        pytest.skip("the kernels refuse float64 on a GPU")
    inputs = make_inputs((1, 3, 2, 2, 1, 3, torch.float64), device)
    assert torch.autograd.gradcheck(lambda *x: _injected(backend, *x), inputs, fast_mode=True)


CHECKS: dict[str, Callable[[str], None]] = {
    **{name: functools.partial(check_shape, shape) for name, shape in SHAPES.items()},
    "large magnitudes": functools.partial(_large_magnitudes, torch.float32, 1e-4),
    "large magnitudes, float16": functools.partial(_large_magnitudes, torch.float16, 4e-3),
    "other layouts": _other_layouts,
    "nothing kept": _nothing_kept,
    "several frames a slot": _several_frames_a_slot,
    "far rows": _far_rows,
    "frozen keys": _frozen_keys,
    "gradcheck": _gradcheck,
}
