"""The Triton kernels against the formulas in float64: in Triton's interpreter everywhere, compiled where there is a GPU.

Triton decides when it is imported whether it interprets, so this file is also a program that a test starts with TRITON_INTERPRET
set: it runs every check and prints what failed. Started with a compute capability it compiles the kernels for a GPU that need not
be there and prints what they take.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vbbench.attention import reference
from vbbench.attention import triton_backend as backend

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


def _inputs(shape: Shape, device: str, scale: float = 1.0) -> list[Tensor]:
    """Queries, keys, values, and the image prompt's: views of two products, as the network's projections leave them."""
    batch, frames, tokens, image_tokens, heads, dim, dtype = shape
    generator = torch.Generator().manual_seed(0)
    video, image = (
        torch.randn(*sizes, heads, dim, generator=generator, dtype=torch.float64).mul(scale).to(device, dtype)
        for sizes in ((batch, frames, tokens, 3), (batch, image_tokens, 2))
    )
    return [x.requires_grad_() for x in (*video.unbind(-3), *image.unbind(-3))]


def _injected(module: Any, q: Tensor, k: Tensor, v: Tensor, k_image: Tensor, v_image: Tensor) -> Tensor:
    return module.across_frames(q, k, v, module.inject(q[:, 0], k[:, 0], v[:, 0], k_image, v_image))


def _with_gradients(module: Any, inputs: list[Tensor], d_out: Tensor) -> list[Tensor]:
    out = _injected(module, *inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, d_out.to(out.dtype))]


@contextmanager
def _poison() -> Iterator[list[int]]:
    """Memory that kernels are to fill is full of NaN; yields the sizes asked for."""
    sizes, empty = [], backend._empty
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_empty", lambda *a, **k: (sizes.append(1), empty(*a, **k).fill_(float("nan")))[1])
        yield sizes


def _compare(inputs: list[Tensor], tolerance: float, *, twice: bool = False) -> None:
    exact = [x.detach().double().requires_grad_() for x in inputs]
    d_out = torch.randn(exact[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(inputs[0])
    with _poison():
        results = _with_gradients(backend, inputs, d_out)
        again = _with_gradients(backend, inputs, d_out) if twice else results
    expected = _with_gradients(reference, exact, d_out)
    errors = {}
    for name, actual, repeated, wanted in zip(("out", "dq", "dk", "dv", "dk_image", "dv_image"), results, again, expected, strict=True):
        assert actual.shape == wanted.shape
        assert actual.dtype == inputs[0].dtype
        assert torch.equal(actual, repeated), f"{name} differs the second time"
        # NaN compares false, so anything unwritten fails here.
        errors[name] = float((actual.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1))
        assert errors[name] <= tolerance, f"{name} is off by {errors[name]:.3g}, more than {tolerance}: {errors}"


def _shape_check(shape: Shape, device: str, *, twice: bool = False) -> None:
    if shape[-1] is torch.float64 and device != "cpu":
        pytest.skip("the kernels refuse float64 on a GPU")
    _compare(_inputs(shape, device), TOLERANCE[shape[-1]], twice=twice)


def _large_magnitudes(dtype: torch.dtype, tolerance: float, device: str) -> None:
    """Logits of several hundred: weights are 0 or 1, and exponentials of the logits themselves would overflow."""
    inputs = _inputs((1, 3, 9, 5, 1, 40, dtype), device, scale=10)
    assert torch.einsum("blnd,bmnd->blm", inputs[0][:, 0], inputs[1][:, 0]).abs().max() / 40**0.5 > 200
    _compare(inputs, tolerance)


def _other_layouts(device: str) -> None:
    """Heads before tokens; and a last axis that is not contiguous."""
    inputs = _inputs((2, 3, 5, 3, 2, 8, torch.float32), device)
    _compare([x.detach().transpose(-3, -2).contiguous().transpose(-3, -2).requires_grad_() for x in inputs], 2e-6)
    _compare([x.detach().transpose(-3, -1).contiguous().transpose(-3, -1).requires_grad_() for x in inputs], 2e-6)


def _nothing_kept(device: str) -> None:
    """Without gradients only the output is allocated; with them its log-sum-exp too."""
    q, k, v, *image = _inputs((1, 3, 4, 3, 1, 16, torch.float32), device)
    with _poison() as sizes, torch.no_grad():
        out = backend.across_frames(q, k, v, v[:, 0])
        assert len(sizes) == 1
    with _poison() as sizes:
        trained = backend.across_frames(q, k, v, v[:, 0])
        assert len(sizes) == 2
    assert torch.equal(out, trained)
    assert out.grad_fn is None
    assert trained.grad_fn is not None
    assert backend.inject(*(x[:0] for x in (q[:, 0], k[:, 0], v[:, 0], *image))).shape == (0, 4, 1, 16)


def _several_frames_a_slot(device: str) -> None:
    """Frame 0's gradients are summed over 2, 2 and 1 frames, as they are where the GPU is full anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "ENOUGH_PROGRAMS", 2)
        _compare(_inputs((1, 5, 4, 3, 1, 16, torch.float32), device), TOLERANCE[torch.float32], twice=True)


def _far_rows(device: str) -> None:
    """Rows so far apart that 32 bits would not reach the last one are copied; the memory itself is only reserved."""
    row = 2**31 // (4 + backend.MOST_ROWS)
    memory = torch.empty(4 * (row + 1), dtype=torch.float16, device=device)
    assert backend._lean(memory.as_strided((1, 4, 1, 8), (0, row + 1, 8, 1))).is_contiguous()
    near = memory.as_strided((1, 4, 1, 8), (0, row - 1, 8, 1))
    assert backend._lean(near) is near


def _frozen_keys(device: str) -> None:
    """Gradients of the queries alone."""
    q, k, v, k_image, v_image = (x.detach() for x in _inputs((1, 3, 4, 3, 1, 16, torch.float32), device))
    q.requires_grad_()
    (actual,) = torch.autograd.grad(_injected(backend, q, k, v, k_image, v_image).square().sum(), q)
    (expected,) = torch.autograd.grad(_injected(reference, q, k, v, k_image, v_image).square().sum(), q)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def _gradcheck(device: str) -> None:
    if device != "cpu":
        pytest.skip("the kernels refuse float64 on a GPU")
    inputs = _inputs((1, 3, 2, 2, 1, 3, torch.float64), device)
    assert torch.autograd.gradcheck(lambda *x: _injected(backend, *x), inputs, fast_mode=True)


CHECKS: dict[str, Callable[[str], None]] = {
    **{name: functools.partial(_shape_check, shape) for name, shape in SHAPES.items()},
    "large magnitudes": functools.partial(_large_magnitudes, torch.float32, 1e-4),
    "large magnitudes, float16": functools.partial(_large_magnitudes, torch.float16, 4e-3),
    "other layouts": _other_layouts,
    "nothing kept": _nothing_kept,
    "several frames a slot": _several_frames_a_slot,
    "far rows": _far_rows,
    "frozen keys": _frozen_keys,
    "gradcheck": _gradcheck,
}


def _child(*arguments: str, **variables: str) -> dict[str, Any]:
    """What this file prints as a program, in a fresh Python that sees the same packages."""
    pytest.importorskip("triton", reason="Triton is not installed")
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=False, env=os.environ | variables, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def interpreted() -> dict[str, str]:
    return _child(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.parametrize("check", CHECKS)
def test_interpreted_kernels(check: str, interpreted: dict[str, str]) -> None:
    assert interpreted[check] == ""


@pytest.mark.gpu
@pytest.mark.parametrize("check", CHECKS)
def test_compiled_kernels(check: str) -> None:
    CHECKS[check]("cuda")


@pytest.mark.gpu
def test_compiled_kernels_at_the_size_of_the_network() -> None:
    _shape_check(LARGE, "cuda", twice=True)


@pytest.mark.parametrize("dim", [40, *(pytest.param(dim, marks=pytest.mark.slow) for dim in (80, 96, 160, 256))])
@pytest.mark.parametrize(("capability", "shared_kb", "products"), [(80, 99, "mma.sync"), (90, 227, "wgmma")])
def test_compiled_kernels_fit_the_gpu(dim: int, capability: int, shared_kb: int, products: str, tmp_path: Path) -> None:
    """No spills to speak of, shared memory of the smallest GPU of the kind, tensor cores, and loads of 16 bytes."""
    kernels = _child(str(capability), str(dim), TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))
    assert set(kernels) == {"forward", "backward_queries", "backward_keys"}
    for name, taken in kernels.items():
        assert taken["registers"] <= 255, name
        assert taken["stack"] <= 16, name
        assert taken["shared"] <= shared_kb * 1024, name
        if dim < 256:  # such wide heads fit in tiles that are neither copied ahead nor 64 rows high
            assert taken["wide_copies"], name
            assert taken["products"] == products, name


def test_table_names_every_kernel_and_head_dimension() -> None:
    for table in (backend.HALF, backend.HALF_HOPPER, backend.SINGLE):
        assert set(table) == {"forward", "backward_queries", "backward_keys"}
        assert all(max(widths) == backend.LARGEST_HEAD for widths in table.values())


@pytest.mark.parametrize(
    ("dim", "pieces"), [(8, (16, 0)), (40, (32, 16)), (64, (64, 0)), (80, (64, 16)), (160, (128, 32)), (200, (256, 0))]
)
def test_heads_are_cut_with_little_padding(dim: int, pieces: tuple[int, int]) -> None:
    assert backend.head_pieces(dim) == pieces


def test_every_head_dimension_fits_its_pieces() -> None:
    for dim in range(1, backend.LARGEST_HEAD + 1):
        first, second = backend.head_pieces(dim)
        assert first + second >= dim
        assert first >= 16
        assert second == 0 or 16 <= second < first <= dim


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "NVIDIA GPU" in backend.refusal(torch.zeros(1, 2, 3, 4, 40))
    assert "257 dimensions" in backend.refusal(torch.zeros(1, 1, 1, 1, 257))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert backend.refusal(torch.zeros(1, 2, 3, 4, 40)) is None
    assert "bfloat16" in backend.refusal(torch.zeros(1, 2, 3, 4, 40, dtype=torch.bfloat16))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "not installed" in backend.refusal(torch.zeros(1, 2, 3, 4, 40))


def test_importing_the_backend_does_not_import_triton() -> None:
    code = "import sys, vbbench.attention, vbbench.attention.triton_backend; sys.exit('triton' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, check=True, timeout=120
    )


def _interpret() -> dict[str, str]:
    """Name of a check -> how it failed, or nothing."""
    _teach_the_interpreter_bfloat16()
    results = {}
    for name, check in CHECKS.items():
        try:
            check("cpu")
            results[name] = ""
        except Exception:
            results[name] = traceback.format_exc()
    return results


def _teach_the_interpreter_bfloat16() -> None:
    """Triton's interpreter keeps bfloat16 as 16-bit integers and multiplies those; here it multiplies the numbers."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    multiply = InterpreterBuilder.create_dot

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return multiply(self, *(self.cast_impl(x, tl.float32) if x.dtype.scalar == tl.bfloat16 else x for x in (a, b)), *rest)

    InterpreterBuilder.create_dot = create_dot


def _compile(capability: int, dim: int) -> dict[str, dict[str, Any]]:
    """Name of a kernel -> what it takes when compiled for a GPU, as the backend itself would launch it."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver

    class Absent:
        """The driver of a GPU that is not there."""

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", capability, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

    tools, taken = Path(triton.__file__).parent / "backends" / "nvidia" / "bin", {}

    def launch(name: str, grid: tuple[int, ...], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        if name in taken:
            return
        kernel = backend._kernel(name).warmup(*arguments, grid=grid, **options)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            Path(file.name).write_bytes(kernel.asm["cubin"])
            usage = subprocess.run([tools / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        registers, stack = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())
        products = next((kind for kind in ("wgmma", "mma.sync") if kind in kernel.asm["ptx"]), "none")
        wide = "cp.async.cg.shared.global" in kernel.asm["ptx"]  # .cg copies 16 bytes, and nothing else
        taken[name] = {"registers": registers, "stack": stack, "products": products, "wide_copies": wide, "shared": kernel.metadata.shared}

    driver.set_active(Absent())
    backend._launch = launch
    backend._table = lambda q: backend.HALF_HOPPER if capability == 90 else backend.HALF
    q, k, v, *_ = _inputs((1, 3, 256, 1, 2, dim, torch.bfloat16), "cpu")
    out = backend.across_frames(q, k, v, v[:, 0].detach())
    out.backward(torch.zeros_like(out))
    return taken


if __name__ == "__main__":
    print(json.dumps(_compile(*map(int, sys.argv[1:])) if sys.argv[1:] else _interpret()))
