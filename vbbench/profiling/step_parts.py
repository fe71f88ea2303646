"""Which kinds of layers a step's time goes to, and how many operations a formulation does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbbench.networks.unet.blocks import ResnetBlock
from vbbench.networks.unet.text_attention import TextAttention
from vbbench.networks.unet.transformer import CrossFrameAttention, FeedForward, TemporalAttention
from vbbench.networks.unet.unet import VideoUNet
from vbbench.profiling.costs import attention_formulas
from vbbench.profiling.released import KINDS, Removals, StepInputs, Way, guided_step, keep_text

OTHER = "other"
_CLASSES: dict[type[nn.Module], str] = {
    ResnetBlock: "resnets",
    CrossFrameAttention: "cross-frame attention",
    TextAttention: "text attention",
    FeedForward: "feed-forward",
    TemporalAttention: "temporal attention",
}


class Tally:
    """Adds up, kind by kind, what a meter that only rises shows: seconds, or operations.

    Args:
        read: the meter.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._open: list[float] = []
        self.found = dict.fromkeys(KINDS, 0.0)

    def enter(self) -> None:
        """A layer begins; layers do not nest."""
        self._open.append(self._read())

    def leave(self, kind: str) -> None:
        """It ends."""
        self.found[kind] += self._read() - self._open.pop()

    @contextmanager
    def scope(self, kind: str) -> Iterator[None]:
        """A layer from beginning to end."""
        self.enter()
        yield
        self.leave(kind)

    def total(self, run: Callable[[], object]) -> dict[str, float]:
        """What a call adds: kind -> share of it, the rest as ``other``."""
        start = self._read()
        run()
        total = self._read() - start
        return {**self.found, OTHER: max(0.0, total - sum(self.found.values()))}


def seconds_meter(device: str) -> Callable[[], float]:
    """CPU time of this process, or the clock once the GPU has done what was asked of it."""
    if device != "cuda":
        return time.process_time

    def read() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return read


def seconds_released(
    unet: VideoUNet, inputs: StepInputs, device: str, removals: Removals
) -> dict[str, float]:
    """Kind of layer -> seconds of one step of the released formulation, or of what is left of
    it."""
    tally = Tally(seconds_meter(device))
    kept = keep_text(unet, inputs)
    return tally.total(lambda: guided_step(unet, inputs, Way(removals, tally.scope), kept=kept))


def seconds_own(
    unet: VideoUNet, step: Callable[[StepInputs], Tensor], inputs: StepInputs, device: str
) -> dict[str, float]:
    """Kind of layer -> seconds of one step by the network's own forward, by hooks on its layers."""
    tally, hooks = Tally(seconds_meter(device)), []

    def before(module: nn.Module, args: Any) -> None:
        tally.enter()

    for module, kind in layers_by_kind(unet).items():

        def after(module: nn.Module, args: Any, out: Any, kind: str = kind) -> None:
            tally.leave(kind)

        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        return tally.total(lambda: step(inputs))
    finally:
        for hook in hooks:
            hook.remove()


def layers_by_kind(unet: VideoUNet) -> dict[nn.Module, str]:
    """The layers whose time is told apart; none lies within another."""
    found = {}
    for name, module in unet.named_modules():
        if name.startswith("watermark_"):
            if name.count(".") == 1 or name == "watermark_zero_out":
                found[module] = "watermark removal"
        elif type(module) in _CLASSES:
            found[module] = _CLASSES[type(module)]
    return {module: kind for module, kind in found.items() if not isinstance(module, nn.ModuleList)}


def count_flops(
    unet: VideoUNet, inputs: StepInputs, removals: Removals
) -> tuple[float, dict[str, float]]:
    """Floating point operations of a step's products and convolutions, all and by kind; a
    multiplication and an addition are two.

    Nothing is computed on the ``meta`` device.
    """
    kept = keep_text(unet, inputs)
    with FlopCounterMode(display=False, custom_mapping=dict(attention_formulas())) as counter:
        tally = Tally(lambda: float(counter.get_total_flops()))
        found = tally.total(
            lambda: guided_step(unet, inputs, Way(removals, tally.scope), kept=kept)
        )
    return sum(found.values()), found
