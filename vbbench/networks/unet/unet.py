"""The video UNet of VideoBooth: Stable Diffusion 1.4's, with cross-frame and temporal attention and
attention injection.

Where a module exists in Stable Diffusion 1.4 its state-dict keys are diffusers'; the others are
named as released (``attn_temp``, ``norm_temp``, ``watermark_*``), apart from the image prompt's
projections (``to_k_image``, ``to_v_image``).

Shape suffixes: B batch, T frames, C channels, H/W latent pixels, L text tokens, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, cast

import torch
from torch import LongTensor, Tensor, nn
from torch.nn import functional as F

from vbbench.networks.unet.blocks import (
    DownBlock,
    Downsample,
    FrameGroupNorm,
    MidBlock,
    ResnetBlock,
    UpBlock,
    Upsample,
)
from vbbench.networks.unet.conditioning import (
    Conditioning,
    FrameText,
    ImagePromptInput,
    ImagePromptStates,
    InnerFeatures,
    Recorder,
    TextStates,
    TimestepEmbedding,
)
from vbbench.networks.unet.config import UNetConfig
from vbbench.networks.unet.convolution import Conv1x1, Conv3x3
from vbbench.networks.unet.preconditioning import preconditioned
from vbbench.networks.unet.text_attention import LocalPrompt, TextAttention
from vbbench.networks.unet.transformer import (
    CrossFrameAttention,
    Recomputed,
    Transformer,
    TransformerBlock,
)

# Puts the video UNet's levels together: which block has how many channels, heads and skips.


def resnet(config: UNetConfig, in_channels: int, out_channels: int) -> ResnetBlock:
    """A residual block of this configuration."""
    return ResnetBlock(
        in_channels,
        out_channels,
        config.emb_dim,
        groups=config.norm_num_groups,
        eps=config.norm_eps,
        scale_shift=config.time_scale_shift,
    )


def transformer(config: UNetConfig, level: int) -> Transformer:
    """A transformer of a level's width."""
    return Transformer(
        config.block_out_channels[level],
        config.heads(level),
        config.cross_attention_dim,
        groups=config.norm_num_groups,
        mult=config.feed_forward_mult,
        positions=config.temporal_codes,
        injection=config.injection,
    )


def down_blocks(
    config: UNetConfig, widths: Sequence[int], attention: Sequence[bool], in_channels: int
) -> list[DownBlock]:
    """The way down, from ``in_channels`` at full resolution to ``widths[-1]``."""
    blocks = []
    for level, width in enumerate(widths):
        resnets = [
            resnet(config, in_channels if i == 0 else width, width)
            for i in range(config.layers_per_block)
        ]
        attentions = [transformer(config, level) for _ in resnets] if attention[level] else []
        last = level + 1 == len(widths)
        blocks.append(DownBlock(resnets, attentions, None if last else Downsample(width)))
        in_channels = width
    return blocks


def up_blocks(
    config: UNetConfig, widths: Sequence[int], attention: Sequence[bool], in_channels: int
) -> list[UpBlock]:
    """The way up; its resnets take the skips of `down_blocks` (same arguments) in reverse."""
    skips = [in_channels]
    for level, width in enumerate(widths):
        skips += [width] * (config.layers_per_block + (level + 1 < len(widths)))
    blocks, channels = [], widths[-1]
    for level in reversed(range(len(widths))):
        resnets = []
        for _ in range(config.layers_per_block + 1):
            resnets.append(resnet(config, channels + skips.pop(), widths[level]))
            channels = widths[level]
        attentions = [transformer(config, level) for _ in resnets] if attention[level] else []
        blocks.append(UpBlock(resnets, attentions, Upsample(channels) if level else None))
    return blocks


def spatial_codes(config: UNetConfig) -> nn.ParameterList | None:
    """One learned (H, W, C) code a level, or None."""
    if config.spatial_codes is None:
        return None
    height, width = config.spatial_codes
    codes = []
    for level, channels in enumerate(config.block_out_channels):
        below = config.block_out_channels[
            max(level - 1, 0)
        ]  # a downsampler keeps the channels of the level above
        codes.append(nn.Parameter(0.1 * torch.randn(height, width, below if level else channels)))
        height, width = -(-height // 2), -(-width // 2)
    return nn.ParameterList(codes)


def zero_residual_branches(model: VideoUNet) -> None:
    """Set the last layer of each residual branch and of the network to zero, so that training
    starts from the identity."""
    lasts: list[Any] = [model.conv_out]  # convolutions and linear layers
    for module in model.modules():
        if isinstance(module, ResnetBlock):
            lasts.append(module.conv2)
        elif isinstance(module, Transformer):
            lasts.append(module.proj_out)
        elif isinstance(module, TransformerBlock):
            lasts += [
                module.attn1.to_out[0],
                module.attn2.to_out[0],
                module.attn_temp.to_out[0],
                module.ff.net[2],
            ]
    for layer in lasts:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


__all__ = [
    "ImagePromptInput",
    "ImagePromptStates",
    "LocalPrompt",
    "TextStates",
    "UNetConfig",
    "VideoUNet",
]


class VideoUNet(nn.Module):
    """Predicts the noise (or whatever it was trained to predict) of a noised video latent.

    Args:
        config: sizes and options.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = UNetConfig() if config is None else config
        widths = config.block_out_channels
        self.conv_in = Conv3x3(config.in_channels, widths[0])
        self.time_embedding = TimestepEmbedding(widths[0], config.emb_dim)
        self.frame_text = FrameText(config) if config.pooled_text or config.frame_codes else None
        self.spatial_codes = spatial_codes(config)
        levels = config.attention_levels
        self.down_blocks = nn.ModuleList(down_blocks(config, widths, levels, widths[0]))
        middle = [resnet(config, widths[-1], widths[-1]) for _ in range(2)]
        self.mid_block = MidBlock(middle, transformer(config, len(widths) - 1))
        self.up_blocks = nn.ModuleList(up_blocks(config, widths, levels, widths[0]))
        marks = config.watermark_widths
        if marks is not None:
            bare = (False,) * len(marks)
            self.watermark_down_blocks = nn.ModuleList(down_blocks(config, marks, bare, widths[0]))
            self.watermark_up_blocks = nn.ModuleList(up_blocks(config, marks, bare, widths[0]))
            self.watermark_zero_out = Conv1x1(marks[0], widths[0])
        self.conv_norm_out = FrameGroupNorm(config.norm_num_groups, widths[0], config.norm_eps)
        self.conv_out = Conv3x3(widths[0], config.out_channels)
        if config.zero_init:
            zero_residual_branches(self)

    def forward(
        self,
        sample_BCTHW: Tensor,
        timestep_B: Tensor,
        text_BLD: Tensor | TextStates,
        *,
        image_prompt: ImagePromptInput | ImagePromptStates | None = None,
        frame_index_BT: LongTensor | None = None,
        local_prompt: LocalPrompt | None = None,
        inner: InnerFeatures | None = None,
    ) -> Tensor:
        """One evaluation of the network.

        Args:
            sample_BCTHW: noised video latent.
            timestep_B: its timestep, whole or not.
            text_BLD: text states, or what `text_states` made of them.
            image_prompt: noised to the same timestep, or states from `image_prompt_states` for the
                first so many videos, or None.
            frame_index_BT: index of every frame for the frame and temporal codes; None: 0 to T - 1.
            local_prompt: what the text attention reads of image prompts' patches, for the first so
                many videos, or None.
            inner: an approximation: features of the inner levels, kept from one evaluation to the
                next.
        Returns:
            (B, C, T, H, W).
        Raises:
            ValueError: shapes that do not fit each other or the codes.
            RuntimeError: an image prompt, and no injection projections; a local prompt, and no
                local attention.
        """
        if isinstance(image_prompt, ImagePromptInput):
            image_prompt = self.image_prompt_states(image_prompt, default_text_BLD=text_BLD)
        cond = self._conditioning(sample_BCTHW, timestep_B, text_BLD, frame_index_BT)
        if image_prompt is not None:
            cond.image = iter(image_prompt.keys_values)
        cond.local, cond.inner = local_prompt, inner
        x = self._features(sample_BCTHW, cond)
        if self.config.watermark_widths is not None:
            x = x + self.watermark_zero_out(self._watermark_features(x, cond))
        x = self.conv_out(F.silu(self.conv_norm_out(x, cond.frames)))
        x = x.unflatten(0, (-1, cond.frames)).transpose(1, 2)
        if self.config.skip_sd:
            return preconditioned(x, sample_BCTHW, timestep_B, self.config.skip_sd)
        return x

    def image_prompt_states(
        self, image: ImagePromptInput, *, default_text_BLD: Tensor | TextStates | None = None
    ) -> ImagePromptStates:
        """Keys and values that videos read from an image prompt; they depend on no video, so they
        can be kept.

        Args:
            image: the noised image prompt.
            default_text_BLD: text states to use where the image prompt brings none.
        Returns:
            One pair a cross-frame attention layer.
        Raises:
            ValueError: neither text.
            RuntimeError: the network has no injection projections.
        """
        text = image.text_BLD if image.text_BLD is not None else default_text_BLD
        if text is None:
            raise ValueError("the image prompt has no text states, and no others were given")
        batch, _, frames = image.latent_BCTHW.shape[:3]
        first = torch.zeros(batch, frames, dtype=torch.long, device=image.latent_BCTHW.device)
        cond = self._conditioning(image.latent_BCTHW, image.timestep_B, text, first)
        cond.recorder = Recorder(expected=sum(1 for _ in self.cross_frame_attentions()))
        self._features(image.latent_BCTHW, cond)
        return ImagePromptStates(tuple(cond.recorder.keys_values))

    def text_states(self, text_BLD: Tensor) -> TextStates:
        """Text states with the keys and values that the layers read of them; they depend on no
        video, so they can be kept."""
        return TextStates(
            text_BLD, tuple(layer.keys_values(text_BLD) for layer in self.text_attentions())
        )

    def _conditioning(
        self,
        sample_BCTHW: Tensor,
        timestep_B: Tensor,
        text: Tensor | TextStates,
        frame_index_BT: Tensor | None,
    ) -> Conditioning:
        batch, _, frames = sample_BCTHW.shape[:3]
        if not len(timestep_B) == len(text) == batch:
            raise ValueError(
                f"a batch of {batch} samples, {len(timestep_B)} timesteps and {len(text)} texts"
            )
        if frame_index_BT is None:
            frame_index_BT = torch.arange(frames, device=sample_BCTHW.device).expand(1, frames)
        states_BSD, read = (
            (text.states_BSD, iter(text.keys_values))
            if isinstance(text, TextStates)
            else (text, repeat(text))
        )
        emb_BD = self.time_embedding(timestep_B)
        emb_BTD = (
            emb_BD.unsqueeze(1)
            if self.frame_text is None
            else self.frame_text(emb_BD, states_BSD, frame_index_BT)
        )
        return Conditioning(frames, F.silu(emb_BTD), read, frame_index_BT)

    def _features(self, sample_BCTHW: Tensor, cond: Conditioning) -> Tensor:
        """The UNet without its output layers, (B * T, C, H, W)."""
        x = sample_BCTHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self._add_spatial_code(self.conv_in(x), 0)
        skips = [x]
        if cond.inner is None or cond.inner.due():
            x = self._inner_levels(x, cond, skips)
            if cond.inner is not None:
                cond.inner.kept = x
        else:
            cast(DownBlock, self.down_blocks[0]).layers(x, cond, skips)
            cond.skip_layers(self._inner_transformers())
            assert cond.inner.kept is not None  # or it would be due
            x = cond.inner.kept
        return self.up_blocks[-1](x, cond, skips)

    def _inner_levels(self, x: Tensor, cond: Conditioning, skips: list[Tensor]) -> Tensor:
        """All but the last up block."""
        for level, block in enumerate(self.down_blocks):
            x = block(x, cond, skips)
            if level + 1 < len(self.down_blocks):
                x = self._add_spatial_code(x, level + 1)
        x = self.mid_block(x, cond)
        for block in self.up_blocks[:-1]:
            x = block(x, cond, skips)
        return x

    def _inner_transformers(self) -> int:
        """How many transformers lie between the first level's on the way down and those of the last
        up block."""
        first, last = cast(DownBlock, self.down_blocks[0]), cast(UpBlock, self.up_blocks[-1])
        outer = 0
        if first.has_attention:
            outer += len(first.resnets)
        if last.has_attention:
            outer += len(last.resnets)
        return sum(1 for _ in self.text_attentions()) - outer

    def _watermark_features(self, x: Tensor, cond: Conditioning) -> Tensor:
        skips = [x]
        for block in self.watermark_down_blocks:
            x = block(x, cond, skips)
        for block in self.watermark_up_blocks:
            x = block(x, cond, skips)
        return x

    def _add_spatial_code(self, x: Tensor, level: int) -> Tensor:
        if self.spatial_codes is None:
            return x
        code = self.spatial_codes[level]
        if x.shape[-2:] != code.shape[:2]:
            raise ValueError(
                f"latents of {tuple(x.shape[-2:])} at level {level}, "
                f"spatial codes of {tuple(code.shape[:2])}"
            )
        return x + code.permute(2, 0, 1).to(x.dtype)

    def recompute_blocks(self, wanted: bool = True) -> None:
        """Gradient checkpointing of every residual and transformer block, on or off."""
        for module in self.modules():
            if isinstance(module, Recomputed):
                module.recompute = wanted

    def cross_frame_attentions(self) -> Iterator[CrossFrameAttention]:
        """The layers into which an image prompt is injected."""
        return (module for module in self.modules() if isinstance(module, CrossFrameAttention))

    def enable_injection(self) -> None:
        """Add the image prompt's key and value projections as copies of the frames' own: the fine
        stage's start."""
        for module in self.cross_frame_attentions():
            module.enable_injection()
        self.config = replace(self.config, injection=True)

    def injection_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the fine stage trains besides the coarse stage's: keys and values of frames and of
        the image prompt."""
        wanted = (".attn1.to_k.", ".attn1.to_v.", ".attn1.to_k_image.", ".attn1.to_v_image.")
        return (
            (name, p) for name, p in self.named_parameters() if any(part in name for part in wanted)
        )

    def text_attentions(self) -> Iterator[TextAttention]:
        """The layers that read the text."""
        return (module for module in self.modules() if isinstance(module, TextAttention))

    def enable_local_attention(self) -> None:
        """Add local keys and values to every text attention: the start of ELITE's local mapping."""
        for module in self.text_attentions():
            module.enable_local()

    def reset_local_attention(self) -> None:
        """Set local keys to copies of the text's, which may have been loaded since, and local
        values to zero."""
        for module in self.text_attentions():
            module.reset_local()

    def local_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the local mapping trains of the UNet: the local attention's keys and values."""
        return (
            (name, p)
            for name, p in self.named_parameters()
            if ".attn2.to_k_local." in name or ".attn2.to_v_local." in name
        )

    def text_kv_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the coarse stage trains of the UNet: keys and values of the text attention."""
        return (
            (name, p)
            for name, p in self.named_parameters()
            if ".attn2.to_k." in name or ".attn2.to_v." in name
        )
