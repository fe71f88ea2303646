"""The Triton kernels where no GPU need be: run in the interpreter, or compiled for a GPU that is
not there.

Triton decides when it is imported whether it interprets, so this is a program that a test starts
with TRITON_INTERPRET set: it runs every check and prints what failed. Started with a compute
capability and a head dimension it prints what the kernels take.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import torch

from tests.attention.triton_checks import CHECKS, make_inputs
from vbbench.attention import triton_backend as backend
from vbbench.attention import triton_launches as launches
from vbbench.attention import triton_tiles as tiles


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
    """Triton's interpreter keeps bfloat16 as 16-bit integers and multiplies those; here it
    multiplies the numbers."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    multiply = InterpreterBuilder.create_dot

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        return multiply(
            self,
            *(
                self.cast_impl(x, tl.float32) if x.dtype.scalar == tl.bfloat16 else x
                for x in (a, b)
            ),
            *rest,
        )

    InterpreterBuilder.create_dot = create_dot


def _compile(capability: int, dim: int) -> dict[str, dict[str, Any]]:
    """Name of a kernel -> what it takes when compiled for a GPU, as the backend itself would launch
    it."""
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

    def launch(
        name: str, grid: tuple[int, ...], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        if name in taken:
            return
        kernel = launches.kernel_named(name).warmup(*arguments, grid=grid, **options)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            Path(file.name).write_bytes(kernel.asm["cubin"])
            usage = subprocess.run(
                [tools / "cuobjdump", "-res-usage", file.name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        registers, stack = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())
        products = next(
            (kind for kind in ("wgmma", "mma.sync") if kind in kernel.asm["ptx"]), "none"
        )
        wide = (
            "cp.async.cg.shared.global" in kernel.asm["ptx"]
        )  # .cg copies 16 bytes, and nothing else
        taken[name] = {
            "registers": registers,
            "stack": stack,
            "products": products,
            "wide_copies": wide,
            "shared": kernel.metadata.shared,
        }

    driver.set_active(Absent())
    launches.launch = launch
    tiles.table_for = lambda q: tiles.HALF_HOPPER if capability == 90 else tiles.HALF
    q, k, v, *_ = make_inputs((1, 3, 256, 1, 2, dim, torch.bfloat16), "cpu")
    out = backend.across_frames(q, k, v, v[:, 0].detach())
    out.backward(torch.zeros_like(out))
    return taken


if __name__ == "__main__":
    print(json.dumps(_compile(*map(int, sys.argv[1:])) if sys.argv[1:] else _interpret()))
