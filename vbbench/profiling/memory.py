"""The scales: the most memory that one call holds beyond its inputs, measured in a process that did
nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from vbbench.core.environment import PeakMemory
from vbbench.core.paths import PACKAGE
from vbbench.errors import IncompleteError

TIMEOUT_SECONDS = 300.0
SHARE_OF_FREE_MEMORY = 0.6
"""What a call may be expected to take: more would push the machine into swapping, or be killed."""


def peak_of(run: Callable[[], object], device: str) -> float:
    """The most memory during one call beyond what was held just before it, in MB (10^6 bytes).

    On the CPU resident memory of this process, so call it in a fresh one (`peak_in_fresh_process`):
    what an earlier call freed would be used again unseen. On CUDA what PyTorch allocated.
    """
    memory = PeakMemory(device)
    before = _held_mb(device)
    memory.reset()
    kept = run()
    peak = memory.megabytes()
    del kept
    return max(0.0, peak - before)


def peak_in_fresh_process(
    target: str, arguments: Mapping[str, Any], *, threads: int, timeout: float = TIMEOUT_SECONDS
) -> float:
    """The peak of a call on the CPU, in MB, by `vbbench.profiling.worker`.

    Args:
        target: ``module:function``; with the arguments it makes the inputs, calls the code once on
            tiny ones (so that loading it is not counted), and returns what is to be called.
        arguments: whatever JSON holds.
        threads: of PyTorch.
        timeout: seconds.
    Raises:
        IncompleteError: it crashed, was killed, or took too long.
    """
    request = json.dumps({"target": target, "arguments": dict(arguments), "threads": threads})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vbbench.profiling.worker"],
            input=request,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=_environment(threads),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise IncompleteError(f"a fresh process took longer than {timeout:g} seconds") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = (
            f"was ended by signal {-done.returncode}"
            if done.returncode < 0
            else lines[-1]
            if lines
            else f"ended with {done.returncode}"
        )
        raise IncompleteError(f"a fresh process {'failed: ' if done.returncode > 0 else ''}{why}")
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mb"])


def free_bytes(device: str) -> float:
    """Memory that a call may take without harm."""
    if device == "cuda":
        import torch

        return SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info()[0]
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # a container's own limit, where there is one
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
        free = min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text("ascii")))
    return SHARE_OF_FREE_MEMORY * free


def _held_mb(device: str) -> float:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
        return torch.cuda.memory_allocated() / 1e6
    return psutil.Process().memory_info().rss / 1e6


def _environment(threads: int) -> dict[str, str]:
    """The other Python finds this very package, and its libraries start no more threads than asked
    for."""
    here = str(PACKAGE.parent)
    paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
