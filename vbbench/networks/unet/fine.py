"""The fine stage: image-prompt keys and values injected into cross-frame attention (VideoBooth,
section 3.3).

The image prompt runs through the same network as the video, but nothing of the video flows into it.
So it goes first, alone, and leaves behind the only thing the video reads: keys and values of its
first frame, one pair an attention layer.

Shape suffixes: B batch, T frames, L tokens of a frame, M tokens of the image prompt, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vbbench.attention import injection_attention
from vbbench.networks.unet.projection import project
from vbbench.networks.unet.text_states import TextStates


@dataclass(frozen=True)
class ImagePromptInput:
    """An image prompt at the noise level of the video it conditions.

    Attributes:
        latent_BCTHW: noised latent; T is the video's or 1 (only its first frame is read, the others
            are mixed in by normalisation and temporal attention).
        timestep_B: its timestep.
        text_BLD: text states it is processed with (the null text's), or None for the video's.
    """

    latent_BCTHW: Tensor
    timestep_B: Tensor
    text_BLD: Tensor | TextStates | None = None


@dataclass(frozen=True)
class ImagePromptStates:
    """Keys and values of an image prompt, (B, M, C) each, in the order in which the network's
    layers read them."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]

    def for_videos(self, count: int) -> ImagePromptStates:
        """One image prompt's states for a batch of ``count`` videos, without a copy."""
        return ImagePromptStates(
            tuple((k.expand(count, -1, -1), v.expand(count, -1, -1)) for k, v in self.keys_values)
        )

    @classmethod
    def of_several(cls, states: Sequence[ImagePromptStates]) -> ImagePromptStates:
        """States of several image prompts, one a video; an image prompt that they all share is not
        copied."""
        if all(one is states[0] for one in states):
            return states[0].for_videos(len(states))
        layers = zip(*(one.keys_values for one in states), strict=True)
        return cls(
            tuple(
                (torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer]))
                for layer in layers
            )
        )

    @property
    def num_bytes(self) -> int:
        """Memory of the tensors."""
        return sum(x.numel() * x.element_size() for pair in self.keys_values for x in pair)


@dataclass
class Recorder:
    """Collects an image prompt's keys and values while it passes through the network."""

    expected: int
    keys_values: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every layer has been recorded, so that whatever follows would be thrown away."""
        return len(self.keys_values) == self.expected


class CrossFrameAttention(nn.Module):
    """Self-attention of every frame to the first and the previous frame, which an image prompt can
    be injected into.

    Args:
        channels: C.
        num_heads: heads; divides C.
        injection: with the image prompt's own projections.
    """

    def __init__(self, channels: int, num_heads: int, injection: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.fused_qkv = (
            False  # how it is computed, not what: see `vbbench.networks.sampling.speed`
        )
        self.backend: str | None = None
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.to_k_image: nn.Linear | None = None
        self.to_v_image: nn.Linear | None = None
        if injection:
            self.enable_injection()

    def enable_injection(self) -> None:
        """Add the image prompt's key and value projections, starting as copies of the frames'
        own."""
        if self.to_k_image is not None:
            return
        weight = self.to_k.weight
        self.to_k_image, self.to_v_image = (
            nn.Linear(
                weight.shape[1],
                weight.shape[0],
                bias=False,
                device=weight.device,
                dtype=weight.dtype,
            )
            for _ in range(2)
        )
        self.reset_injection()

    def reset_injection(self) -> None:
        """Set the image prompt's projections to copies of the frames' own, if there are any."""
        if self.to_k_image is None or self.to_v_image is None:
            return
        with torch.no_grad():
            self.to_k_image.weight.copy_(self.to_k.weight)
            self.to_v_image.weight.copy_(self.to_v.weight)

    def image_keys_values(self, image_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the image prompt's first frame.

        Raises:
            RuntimeError: the network has no injection projections.
        """
        if self.to_k_image is None or self.to_v_image is None:
            raise RuntimeError(
                "this network has no injection projections; call enable_injection() or load weights that have them"
            )
        return self.to_k_image(image_BMC), self.to_v_image(image_BMC)

    def forward(self, x_BTLC: Tensor, image: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, T, L, C) -> (B, T, L, C); ``image``: keys and values of image prompts, for the first
        so many videos."""
        heads = (self.num_heads, -1)
        q, k, v = (
            x.unflatten(-1, heads)
            for x in project(x_BTLC, self.to_q, self.to_k, self.to_v, fused=self.fused_qkv)
        )
        k_image, v_image = (
            (None, None) if image is None else (kv.unflatten(-1, heads) for kv in image)
        )
        return self.to_out[0](
            injection_attention(q, k, v, k_image, v_image, backend=self.backend).flatten(-2)
        )
