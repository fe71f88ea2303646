"""Puts the video UNet's levels together: which block has how many channels, heads and skips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from vbbench.models.videobooth.blocks import DownBlock, Downsample, ResnetBlock, UpBlock, Upsample
from vbbench.models.videobooth.config import UNetConfig
from vbbench.models.videobooth.transformer import Transformer, TransformerBlock


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


def down_blocks(config: UNetConfig, widths: Sequence[int], attention: Sequence[bool], in_channels: int) -> list[DownBlock]:
    """The way down, from ``in_channels`` at full resolution to ``widths[-1]``."""
    blocks = []
    for level, width in enumerate(widths):
        resnets = [resnet(config, in_channels if i == 0 else width, width) for i in range(config.layers_per_block)]
        attentions = [transformer(config, level) for _ in resnets] if attention[level] else []
        last = level + 1 == len(widths)
        blocks.append(DownBlock(resnets, attentions, None if last else Downsample(width)))
        in_channels = width
    return blocks


def up_blocks(config: UNetConfig, widths: Sequence[int], attention: Sequence[bool], in_channels: int) -> list[UpBlock]:
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
        below = config.block_out_channels[max(level - 1, 0)]  # a downsampler keeps the channels of the level above
        codes.append(nn.Parameter(0.1 * torch.randn(height, width, below if level else channels)))
        height, width = -(-height // 2), -(-width // 2)
    return nn.ParameterList(codes)


def zero_residual_branches(model: nn.Module) -> None:
    """Set the last layer of each residual branch and of the network to zero, so that training starts from the identity."""
    lasts: list[nn.Module] = [model.conv_out]
    for module in model.modules():
        if isinstance(module, ResnetBlock):
            lasts.append(module.conv2)
        elif isinstance(module, Transformer):
            lasts.append(module.proj_out)
        elif isinstance(module, TransformerBlock):
            lasts += [module.attn1.to_out[0], module.attn2.to_out[0], module.attn_temp.to_out[0], module.ff.net[2]]
    for layer in lasts:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
