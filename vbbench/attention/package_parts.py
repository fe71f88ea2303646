"""What the backends of optional packages share: CUDA kernels that tell their log-sum-exp, without
gradients through it."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor


def package_refusal(package: str, q: Tensor, needs_grad: bool) -> str | None:
    """Why the kernels of a package cannot take such queries, or None."""
    if find_spec(package) is None:
        return f"the package {package} is not installed"
    if q.device.type != "cuda":
        return f"{package} runs on CUDA, not on the device {q.device.type!r}"
    if q.dtype not in (torch.float16, torch.bfloat16):
        return f"{package} takes float16 and bfloat16, not {q.dtype}"
    return f"{package} gives no gradients through its log-sum-exp" if needs_grad else None
