"""PyTorch's own attention kernels as parts of a larger softmax: they return the log-sum-exp beside the output.

Public functions hide it, so these are the operators underneath, the same in PyTorch 2.6 to 2.15. What they return carries no
gradient through the log-sum-exp: only `vbbench.attention.merge`, which calls their backward with the merged numbers, may use them.

Shape suffixes: B batch, L queries, M keys, N heads, D head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

_CPU_TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_CUDA_TYPES = (torch.bfloat16, torch.float16)


def refusal(q: Tensor, needs_grad: bool = False) -> str | None:
    """Why there is no such kernel for these queries, or None."""
    if q.device.type == "cpu":
        return None if q.dtype in _CPU_TYPES else f"there is no kernel for {q.dtype} on a CPU"
    if q.device.type != "cuda":
        return f"there is no kernel for the device {q.device.type!r}"
    if q.dtype not in _CUDA_TYPES:
        return f"on CUDA it takes float16 and bfloat16, not {q.dtype}"
    if torch.cuda.get_device_capability(q.device) < (8, 0):
        return "it needs a GPU of compute capability 8.0 or newer"
    return None if q.shape[-1] % 8 == 0 and q.shape[-1] <= 256 else "on CUDA its head dimension is a multiple of 8, at most 256"


def forward(q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> tuple[Tensor, Tensor]:
    """Output (B, L, N, D), contiguous, and log-sum-exp (B, N, L), float32 or wider."""
    q, k, v = (x.transpose(1, 2) for x in (q_BLND, k_BMND, v_BMND))
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
    else:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)
    return out.transpose(1, 2), lse


def backward(
    grad_BLND: Tensor, q_BLND: Tensor, k_BMND: Tensor, v_BMND: Tensor, out_BLND: Tensor, lse_BNL: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to queries, keys and values of one part, from the whole softmax's output and log-sum-exp.

    A part's probabilities are exp(logit - log-sum-exp) and its logits' gradients p * (grad . v - grad . out), so with the whole's
    numbers in the place of the part's own the kernel computes this part of the whole's gradient.
    """
    grad, q, k, v, out = (x.transpose(1, 2) for x in (grad_BLND, q_BLND, k_BMND, v_BMND, out_BLND))
    if q.device.type == "cpu":
        grads = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(grad, q, k, v, out, lse_BNL, 0.0, False)
    else:
        unused = torch.zeros(2, dtype=torch.uint64, device=q.device)  # the dropout's random state
        lengths = (None, None, q.shape[2], k.shape[2])
        grads = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            grad, q, k, v, out, lse_BNL.contiguous(), *lengths, 0.0, False, unused, unused[0]
        )
    dq, dk, dv = (x.transpose(1, 2) for x in grads)
    return dq, dk, dv
