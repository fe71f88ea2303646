"""The Triton kernels against the formulas in float64: in Triton's interpreter everywhere, compiled
where there is a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.attention.triton_checks import CHECKS, LARGE, check_shape
from vbbench.attention import triton_backend as backend
from vbbench.attention import triton_tiles as tiles


def _child(*arguments: str, **variables: str) -> dict[str, Any]:
    """What `tests.attention.triton_program` prints, in a fresh Python that sees the same
    packages."""
    pytest.importorskip("triton", reason="Triton is not installed")
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-m", "tests.attention.triton_program", *arguments],
        check=False,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=280,
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
    check_shape(LARGE, "cuda", twice=True)


@pytest.mark.parametrize(
    "dim", [40, *(pytest.param(dim, marks=pytest.mark.slow) for dim in (80, 96, 160, 256))]
)
@pytest.mark.parametrize(
    ("capability", "shared_kb", "products"), [(80, 99, "mma.sync"), (90, 227, "wgmma")]
)
def test_compiled_kernels_fit_the_gpu(
    dim: int, capability: int, shared_kb: int, products: str, tmp_path: Path
) -> None:
    """No spills to speak of, shared memory of the smallest GPU of the kind, tensor cores, and loads
    of 16 bytes."""
    kernels = _child(
        str(capability), str(dim), TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path)
    )
    assert set(kernels) == {"forward", "backward_queries", "backward_keys"}
    for name, taken in kernels.items():
        assert taken["registers"] <= 255, name
        assert taken["stack"] <= 16, name
        assert taken["shared"] <= shared_kb * 1024, name
        if dim < 256:  # such wide heads fit in tiles that are neither copied ahead nor 64 rows high
            assert taken["wide_copies"], name
            assert taken["products"] == products, name


def test_table_names_every_kernel_and_head_dimension() -> None:
    for table in (tiles.HALF, tiles.HALF_HOPPER, tiles.SINGLE):
        assert set(table) == {"forward", "backward_queries", "backward_keys"}
        assert all(max(widths) == tiles.LARGEST_HEAD for widths in table.values())


@pytest.mark.parametrize(
    ("dim", "pieces"),
    [
        (8, (16, 0)),
        (40, (32, 16)),
        (64, (64, 0)),
        (80, (64, 16)),
        (160, (128, 32)),
        (200, (256, 0)),
    ],
)
def test_heads_are_cut_with_little_padding(dim: int, pieces: tuple[int, int]) -> None:
    assert tiles.head_pieces(dim) == pieces


def test_every_head_dimension_fits_its_pieces() -> None:
    for dim in range(1, tiles.LARGEST_HEAD + 1):
        first, second = tiles.head_pieces(dim)
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
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        timeout=120,
    )
