"""Small GPUs: the table ``memory`` of a recipe's scale, and the parts of a model that are on the
device only while they work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.errors import RecipeError
from vbbench.networks.codec import FrameCodec
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.sampling.speed import Speed, read_table
from vbbench.networks.vae import VaeCodec


@dataclass(frozen=True)
class Memory:
    """What costs time and saves memory.

    Attributes:
        offload: text encoder, image encoder, UNet and autoencoder are on the device one at a time,
            while they work, and wait in the computer's memory; changes no number.
        vae_slicing: the autoencoder decodes one frame at a time, not all of a batch's clips at
            once.
        vae_tiling: the autoencoder decodes frames above its training size in overlapping tiles,
            whose seams are blended (diffusers).
    """

    offload: bool = False
    vae_slicing: bool = True
    vae_tiling: bool = False


def memory_of(settings: Mapping[str, Any], speed: Speed | None = None) -> Memory:
    """The table ``memory`` of a recipe's scale.

    Raises:
        RecipeError: unknown keys, values of another type, or offloading together with a switch of
            ``speed`` that forbids it.
    """
    memory = read_table(Memory(), "memory", settings)
    for name in ("compiled", "cuda_graph"):
        if memory.offload and speed is not None and getattr(speed, name):
            raise RecipeError(
                f"[memory] offload and [speed] {name} exclude each other: what is compiled or captured stays in its place."
            )
    return memory


def apply_memory(codec: FrameCodec, memory: Memory) -> None:
    """Set what an autoencoder does by itself; a linear codec needs none of it."""
    if isinstance(codec, VaeCodec):
        codec.slicing = memory.vae_slicing
        if memory.vae_tiling:
            codec.vae.enable_tiling()


def parts_of(
    network: nn.Module, base: TextToVideoNetwork, codec: FrameCodec
) -> dict[str, nn.Module]:
    """The parts of a model that work one after another."""
    own = (
        {name: child for name, child in network.named_children() if child is not base}
        if network is not base
        else {}
    )
    parts: dict[str, nn.Module] = {"text encoder": base.text_encoder, **own, "UNet": base.unet}
    if isinstance(codec, nn.Module):
        parts["autoencoder"] = codec
    return parts


class Offload:
    """Brings a part to the device when one of its modules is called, and puts back the part that
    was there before.

    What waits is not copied back: its weights are frozen, so the originals never left.

    Args:
        parts: modules that share no parameter.
        to_device: a tensor's copy on the device.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], to_device: Callable[[Tensor], Tensor]
    ) -> None:
        self._parts, self._to_device = dict(parts), to_device
        self.here: str | None = None
        self._waiting: list[tuple[Tensor, Tensor]] = []
        for name, part in self._parts.items():
            for module in part.modules():
                module.register_forward_pre_hook(partial(self._called, name))

    def _called(self, name: str, *_: Any) -> None:
        self.bring(name)

    def bring(self, name: str) -> None:
        """Have a part on the device, and no other."""
        if self.here == name:
            return
        self.release()
        with torch.inference_mode(
            False
        ):  # else the copies could not be held by ordinary parameters
            for tensor in _tensors(self._parts[name]):
                self._waiting.append((tensor, tensor.data))
                tensor.data = self._to_device(tensor.data)
        self.here = name

    def release(self) -> None:
        """Have no part on the device."""
        for tensor, original in self._waiting:
            tensor.data = original
        self._waiting.clear()
        self.here = None

    @contextmanager
    def session(self) -> Iterator[None]:
        """For the time of a call; afterwards nothing is on the device, whatever happened."""
        try:
            yield
        finally:
            self.release()


def _tensors(part: nn.Module) -> Iterator[Tensor]:
    return chain(part.parameters(), part.buffers())
