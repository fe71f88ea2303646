"""Residual blocks and the stages of the video UNet. Names and keys are Stable Diffusion 1.4's
(diffusers).

Convolutions are two-dimensional, frame by frame; tensors are (B * T, C, H, W), channels last in
memory. Shape suffixes: B batch, T frames, C channels, H/W latent pixels, D time embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.networks.unet.conditioning import Conditioning
from vbbench.networks.unet.convolution import Conv1x1, Conv3x3
from vbbench.networks.unet.transformer import Recomputed, Transformer


class FrameGroupNorm(nn.GroupNorm):
    """Group normalisation whose statistics run over all frames of a video as well as over space."""

    def forward(self, x: Tensor, frames: int = 1) -> Tensor:
        """(B * T, C, H, W) -> the same, with T = ``frames``."""
        if frames == 1:
            return super().forward(x)
        channels, height, width = x.shape[1:]
        # Frames stacked below each other are one tall picture; channels last in memory, that is a
        # view.
        tall = (
            x.permute(0, 2, 3, 1).reshape(-1, frames * height, width, channels).permute(0, 3, 1, 2)
        )
        return (
            super()
            .forward(tall)
            .permute(0, 2, 3, 1)
            .reshape(-1, height, width, channels)
            .permute(0, 3, 1, 2)
        )


class ResnetBlock(Recomputed):
    """Two convolutions with the time embedding between them and a residual around them.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        emb_dim: D of the time embedding.
        groups: groups of the normalisations.
        eps: their epsilon.
        scale_shift: the time embedding scales and shifts after the second normalisation (Nichol and
            Dhariwal 2021, adaptive GroupNorm); otherwise it is added before it, as released.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_dim: int,
        *,
        groups: int,
        eps: float,
        scale_shift: bool = False,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.norm1 = FrameGroupNorm(groups, in_channels, eps)
        self.conv1 = Conv3x3(in_channels, out_channels)
        self.time_emb_proj = nn.Linear(emb_dim, out_channels * (2 if scale_shift else 1))
        self.norm2 = FrameGroupNorm(groups, out_channels, eps)
        self.conv2 = Conv3x3(out_channels, out_channels)
        self.conv_shortcut = (
            Conv1x1(in_channels, out_channels) if in_channels != out_channels else None
        )

    def compute(self, x: Tensor, emb_BTD: Tensor, frames: int) -> Tensor:
        """(B * T, C, H, W) -> (B * T, C', H, W); ``emb_BTD``: the time embedding, its T is 1 or
        ``frames``."""
        emb_BTC = self.time_emb_proj(emb_BTD)
        emb = emb_BTC.expand(-1, frames, -1).flatten(0, 1)[:, :, None, None]
        h = self.conv1(F.silu(self.norm1(x, frames)))
        if self.scale_shift:
            scale, shift = emb.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h, frames), scale + 1)
        else:
            h = self.norm2(h + emb, frames)
        h = self.conv2(F.silu(h))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsample(nn.Module):
    """Convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B * T, C, H, W) -> (B * T, C, ceil(H / 2), ceil(W / 2))."""
        return self.conv(x)


class Upsample(nn.Module):
    """Nearest neighbour to the size of the skip that comes next, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv3x3(channels, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B * T, C, H, W) -> (B * T, C, *size)."""
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class DownBlock(nn.Module):
    """One level on the way down: (resnet, transformer) pairs, then a downsampler unless it is the
    last level."""

    def __init__(
        self,
        resnets: list[ResnetBlock],
        attentions: list[Transformer],
        downsampler: Downsample | None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.has_attention = bool(attentions)
        self.downsamplers = nn.ModuleList([downsampler]) if downsampler is not None else None

    def forward(self, x: Tensor, cond: Conditioning, skips: list[Tensor]) -> Tensor:
        """Runs the level and appends every intermediate result to ``skips``."""
        x = self.layers(x, cond, skips)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x

    def layers(self, x: Tensor, cond: Conditioning, skips: list[Tensor]) -> Tensor:
        """The level without its downsampler."""
        for index, resnet in enumerate(self.resnets):
            x = resnet(x, cond.emb_BTD, cond.frames)
            if self.has_attention:
                x = self.attentions[index](x, cond)
            skips.append(x)
        return x


class MidBlock(nn.Module):
    """resnet, transformer, resnet at the lowest resolution."""

    def __init__(self, resnets: list[ResnetBlock], attention: Transformer) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention])
        self.resnets = nn.ModuleList(resnets)

    def forward(self, x: Tensor, cond: Conditioning) -> Tensor:
        """(B * T, C, H, W) -> the same."""
        x = self.attentions[0](self.resnets[0](x, cond.emb_BTD, cond.frames), cond)
        return self.resnets[1](x, cond.emb_BTD, cond.frames)


class UpBlock(nn.Module):
    """One level on the way up: (resnet on [x; skip], transformer) pairs, then an upsampler unless
    it is the last."""

    def __init__(
        self, resnets: list[ResnetBlock], attentions: list[Transformer], upsampler: Upsample | None
    ) -> None:
        super().__init__()
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.has_attention = bool(attentions)
        self.resnets = nn.ModuleList(resnets)
        self.upsamplers = nn.ModuleList([upsampler]) if upsampler is not None else None

    def forward(self, x: Tensor, cond: Conditioning, skips: list[Tensor]) -> Tensor:
        """Runs the level and takes its skips from the end of ``skips``."""
        for index, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), cond.emb_BTD, cond.frames)
            if self.has_attention:
                x = self.attentions[index](x, cond)
        if self.upsamplers is not None:
            height, width = skips[-1].shape[-2:]
            x = self.upsamplers[0](x, (height, width))
        return x
