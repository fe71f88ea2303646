"""What the video UNet reads beside its latents: texts, image prompts, times, and what is kept of
them.

The image prompt runs through the same network as the video, but nothing of the video flows into it.
So it goes first, alone, and leaves behind the only thing the video reads: keys and values of its
first frame, one pair an attention layer (VideoBooth, section 3.3).

Shape suffixes: B videos, T frames, C channels, H/W latent pixels, S or L text tokens, M tokens of
the image prompt, N heads, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.networks.unet.config import UNetConfig
from vbbench.networks.unet.text_attention import LocalPrompt


@dataclass(frozen=True)
class TextStates:
    """Text states with the keys and values that the UNet's layers make of them: once a clip, not
    once a step.

    Attributes:
        states_BSD: text states; B videos, S tokens.
        keys_values: a pair (B, S, N, D) for each text attention, in the order in which the
            network's layers read them.
    """

    states_BSD: Tensor
    keys_values: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.states_BSD)

    def for_videos(self, count: int) -> TextStates:
        """One text for ``count`` videos, without a copy."""
        k_v = (
            (k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in self.keys_values
        )
        return TextStates(self.states_BSD.expand(count, -1, -1), tuple(k_v))

    @classmethod
    def of_several(cls, texts: Sequence[TextStates]) -> TextStates:
        """Texts of several batches as those of one."""
        layers = zip(*(text.keys_values for text in texts), strict=True)
        k_v = (
            (torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer])) for layer in layers
        )
        return cls(torch.cat([text.states_BSD for text in texts]), tuple(k_v))


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


@dataclass
class InnerFeatures:
    """What the last up block reads from below, as it was at the last full evaluation: an
    approximation (Ma et al. 2023, DeepCache).

    Attributes:
        every: a full evaluation comes every so many evaluations.
        kept: (B * T, C, H, W), or None before the first evaluation.
    """

    every: int
    kept: Tensor | None = None
    _evaluations: int = 0

    def due(self) -> bool:
        """Whether this evaluation is a full one; counts it."""
        self._evaluations += 1
        return self.kept is None or (self._evaluations - 1) % self.every == 0


@dataclass
class Conditioning:
    """What every layer of one forward pass may read.

    Attributes:
        frames: T; the network's tensors are (B * T, C, H, W).
        emb_BTD: time embedding after its SiLU; its T is 1 if all frames share it.
        text: text states or the keys and values made of them, layer by layer.
        positions_BT: frame indices for the temporal codes; B may be 1.
        image: keys and values of image prompts for the first so many videos, layer by layer, or
            None.
        recorder: where this pass leaves its own keys and values (the image prompt's pass), or None.
        local: what the local text attention reads, or None.
        inner: features of the inner levels that are kept over steps, or None.
    """

    frames: int
    emb_BTD: Tensor
    text: Iterator[Tensor | tuple[Tensor, Tensor]]
    positions_BT: Tensor
    image: Iterator[tuple[Tensor, Tensor]] | None = None
    recorder: Recorder | None = None
    local: LocalPrompt | None = None
    inner: InnerFeatures | None = None

    def skip_layers(self, count: int) -> None:
        """Pass over what was prepared for the next layers."""
        for prepared in (self.text, self.image):
            if prepared is not None:
                next(islice(prepared, count, count), None)


# The time embedding, and what the miniature adds to it.


class TimestepEmbedding(nn.Module):
    """Two linear layers on sinusoids of the timestep."""

    def __init__(self, channels: int, emb_dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, emb_dim)
        self.linear_2 = nn.Linear(emb_dim, emb_dim)

    def forward(self, timestep_B: Tensor) -> Tensor:
        """(B,) timesteps, whole or not -> (B, D)."""
        weight = self.linear_1.weight
        sinusoids = timestep_sinusoids(timestep_B, weight.shape[1]).to(weight.dtype)
        return self.linear_2(F.silu(self.linear_1(sinusoids)))


def timestep_sinusoids(timestep_B: Tensor, channels: int) -> Tensor:
    """[cosines; sines] of the timestep at frequencies 10000^(-i / half) (Ho et al. 2020, in Stable
    Diffusion's order)."""
    half = channels // 2
    frequencies = torch.exp(
        -math.log(10000.0)
        * torch.arange(half, device=timestep_B.device, dtype=torch.float32)
        / half
    )
    angles = timestep_B[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class FrameText(nn.Module):
    """What the miniature adds to the time embedding: which frame it is, what the text says, and
    both together."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        dim = config.emb_dim
        self.pooled_text_proj = (
            nn.Linear(config.cross_attention_dim, dim) if config.pooled_text else None
        )
        self.frame_code = nn.Embedding(config.frame_codes, dim) if config.frame_codes else None
        both = config.pooled_text and config.frame_codes > 0
        self.motion_text_proj = nn.Linear(config.cross_attention_dim, dim) if both else None
        self.motion_frame_code = nn.Embedding(config.frame_codes, dim) if both else None

    def forward(self, emb_BD: Tensor, text_BSD: Tensor, frame_index_BT: Tensor) -> Tensor:
        """(B, D) -> (B, T or 1, D); T is 1 without frame codes."""
        emb = emb_BD.unsqueeze(1)
        pooled = text_BSD.mean(1, keepdim=True)
        if self.pooled_text_proj is not None:
            emb = emb + self.pooled_text_proj(pooled)
        if self.frame_code is not None:
            emb = emb + self.frame_code(frame_index_BT)
        if self.motion_text_proj is not None and self.motion_frame_code is not None:
            emb = emb + self.motion_text_proj(pooled) * self.motion_frame_code(frame_index_BT)
        return emb
