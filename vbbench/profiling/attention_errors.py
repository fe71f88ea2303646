"""How far a variant's numbers are from the formula in float64, on the very clip that is timed.

A backend may take another way for a few frames than for many, so that the variant computes all of them; the formula in float64 would
take long for all, so that it computes a few: every frame needs only itself, its predecessor and frame 0.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vbbench.profiling import attention_bench as bench
from vbbench.profiling.attention_bench import ERROR_TOKENS, Inputs, Work, make_inputs
from vbbench.profiling.finite import worst


def checked_frames(frames: int) -> list[int]:
    """The first, the second, one in the middle and the last."""
    return sorted({0, min(1, frames - 1), frames // 2, frames - 1})


class Errors:
    """Errors of variants against the formula in float64, which is computed once.

    With gradients the output's gradient is 0 at frames that are not checked, so that nothing hangs on them.
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
        """The output at the checked frames, (B, checked, L, N, D); then the gradients of all inputs, if wanted."""
        # A clip of the checked frames and their predecessors, each right before its successor.
        few = sorted({each for frame in self._checked for each in (max(frame - 1, 0), frame)})
        clip, images = inputs.tensors[:3], inputs.tensors[3:]
        wide = tuple(x.detach().double().requires_grad_(work.grad) for x in (*(x[:, few] for x in clip), *images))
        grad = inputs.grad_output
        out, *gradients = bench.call("reference", Inputs(wide, None if grad is None else grad[:, few].double()))
        found = [out[:, [few.index(frame) for frame in self._checked]]]
        for x, gradient in zip(clip, gradients[:3], strict=False):
            whole = torch.zeros_like(x, dtype=torch.float64)
            whole[:, few] = gradient
            found.append(whole)
        return [*found, *gradients[3:]]

    def of(self, variant: str) -> float | None:
        """The largest deviation over the largest value, of the output and of each gradient; None where it was not measured.

        NaN where anything is not a number, or not finite.
        """
        if self._inputs is None:
            return None
        out, *gradients = bench.call(variant, self._inputs)
        if not bool(out.isfinite().all()):
            return float("nan")
        found = (out[:, self._checked], *gradients)
        return worst(float((x.double() - y).abs().max() / y.abs().max()) for x, y in zip(found, self._expected, strict=True))
