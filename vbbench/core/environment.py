"""Where a run takes place: threads, versions, memory, commit. All of it goes into the manifest or
the records."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vbbench.core.paths import PACKAGE
from vbbench.core.process import high_water_mb
from vbbench.errors import UsageError

LIBRARIES = (
    "torch",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "timm",
    "numpy",
    "pillow",
    "av",
    "scipy",
    "safetensors",
)


def usable_cores() -> int:
    """Cores this process may use: what the scheduler and a container's quota allow, not what the
    machine has."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return max(1, cores)


def choose_device(wanted: str, scale: str) -> str:
    """``cpu`` or ``cuda``. ``auto`` keeps the miniature on the CPU: it is quick there, and gives
    everybody the same numbers.

    Raises:
        UsageError: an unknown device, or ``cuda`` where there is none.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"there is no device {wanted!r}: known are auto, cpu, cuda.")
    if wanted == "cpu" or (wanted == "auto" and scale == "mini"):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise UsageError("--device cuda: PyTorch finds no NVIDIA GPU here.")
    return "cpu"


def default_threads(scale: str, device: str) -> int:
    """CPU threads where none are asked for: one for the miniature wherever it runs, else all usable
    cores.

    Another number of threads moves the last digits of a video, and with them those of its scores;
    the miniature's operations are too small to gain much from more.
    """
    return 1 if scale == "mini" and device == "cpu" else usable_cores()


def describe(device: str, threads: int) -> dict[str, Any]:
    """The manifest's ``environment``."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
    }
    facts |= {"cores": usable_cores(), "threads": threads, "device": device}
    for library in LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            facts[library] = None
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def commit() -> str | None:
    """The checkout's commit, ``+changes`` added if its files differ from it; None outside of a
    checkout."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        status = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if status.stdout.strip() else "")


class PeakMemory:
    """Most memory this process held since `reset`, in MB (10^6 bytes): resident memory, or the
    GPU's own on ``cuda``.

    Linux can forget the peak so far; elsewhere the peak of the whole process is told.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self.reset()

    def reset(self) -> None:
        """Forget the peak so far."""
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
            return
        with contextlib.suppress(OSError):  # not Linux, or not allowed here
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def megabytes(self) -> float:
        """The peak since `reset`."""
        if self._cuda:
            import torch

            return torch.cuda.max_memory_allocated() / 1e6
        if (peak := high_water_mb()) is not None:
            return peak
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
