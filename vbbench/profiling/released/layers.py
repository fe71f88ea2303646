"""Layers of the video UNet on five-dimensional videos, as released: planar in memory, normalised
over frames by moving them.

A video here is (B, C, T, H, W) whatever its memory looks like; with ``planar_layout`` removed,
frames are channels last in memory and the moves between videos, frames and tokens are views.
Convolutions, norms and linear layers are called as functions on the network's weights, so that
nothing the network's own layers do faster gets in.

Shape suffixes: B batch, T frames, C channels, H/W latent pixels, L tokens of a frame, D time
embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.networks.unet.blocks import Downsample, FrameGroupNorm, ResnetBlock, Upsample
from vbbench.networks.unet.transformer import Transformer
from vbbench.profiling.released.removals import Removals

__all__ = [
    "conv",
    "downsample",
    "frame_norm",
    "from_tokens",
    "join",
    "pointwise",
    "resnet",
    "to_tokens",
    "upsample",
]


def frames_of(x_BCTHW: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B * T, C, H, W); a view wherever memory allows."""
    return x_BCTHW.transpose(1, 2).flatten(0, 1)


def video_of(x: Tensor, batch: int) -> Tensor:
    """(B * T, C, H, W) -> (B, C, T, H, W), a view."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def conv(layer: nn.Conv2d, x_BCTHW: Tensor, stride: int = 1) -> Tensor:
    """A 3 x 3 convolution frame by frame."""
    return video_of(
        F.conv2d(frames_of(x_BCTHW), layer.weight, layer.bias, stride, padding=1), len(x_BCTHW)
    )


def pointwise(layer: nn.Conv2d, x_BCTHW: Tensor, removals: Removals) -> Tensor:
    """A 1 x 1 convolution frame by frame."""
    x = frames_of(x_BCTHW)
    if removals.pixel_convolutions:
        x = F.linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)
        x = x if removals.planar_layout else x.contiguous()
    else:
        x = F.conv2d(x, layer.weight, layer.bias)
    return video_of(x, len(x_BCTHW))


def frame_norm(layer: FrameGroupNorm, x_BCTHW: Tensor, removals: Removals) -> Tensor:
    """Group normalisation over frames and space."""
    batch, channels, frames, height, width = x_BCTHW.shape
    if not removals.planar_layout:
        return F.group_norm(x_BCTHW, layer.num_groups, layer.weight, layer.bias, layer.eps)
    # Frames stacked below each other are one tall picture: a view where channels are last in
    # memory.
    tall = (
        x_BCTHW.permute(0, 2, 3, 4, 1)
        .reshape(batch, frames * height, width, channels)
        .permute(0, 3, 1, 2)
    )
    return F.group_norm(tall, layer.num_groups, layer.weight, layer.bias, layer.eps).unflatten(
        2, (frames, height)
    )


def join(x_BCTHW: Tensor, skip_BCTHW: Tensor, removals: Removals) -> Tensor:
    """Two videos' channels after one another."""
    if not removals.planar_layout:
        return torch.cat([x_BCTHW, skip_BCTHW], dim=1)
    return video_of(torch.cat([frames_of(x_BCTHW), frames_of(skip_BCTHW)], dim=1), len(x_BCTHW))


def resnet(layer: ResnetBlock, x_BCTHW: Tensor, emb_BD: Tensor, removals: Removals) -> Tensor:
    """Two convolutions, the time embedding between them, a residual around them."""
    h = conv(layer.conv1, F.silu(frame_norm(layer.norm1, x_BCTHW, removals)))
    h = h + layer.time_emb_proj(F.silu(emb_BD))[:, :, None, None, None]
    h = conv(layer.conv2, F.silu(frame_norm(layer.norm2, h, removals)))
    return h + (
        x_BCTHW
        if layer.conv_shortcut is None
        else pointwise(layer.conv_shortcut, x_BCTHW, removals)
    )


def downsample(layer: Downsample, x_BCTHW: Tensor) -> Tensor:
    """Half the resolution."""
    return conv(layer.conv, x_BCTHW, stride=2)


def upsample(layer: Upsample, x_BCTHW: Tensor, size: tuple[int, int], removals: Removals) -> Tensor:
    """Nearest neighbour to ``size``, then a convolution."""
    if removals.planar_layout:
        big = video_of(F.interpolate(frames_of(x_BCTHW), size=size, mode="nearest"), len(x_BCTHW))
    else:
        big = F.interpolate(x_BCTHW, size=(x_BCTHW.shape[2], *size), mode="nearest")
    return conv(layer.conv, big)


def to_tokens(layer: Transformer, x_BCTHW: Tensor, removals: Removals) -> Tensor:
    """A transformer's way in: normalisation frame by frame and the input projection, (B, T, L,
    C)."""
    batch, channels = x_BCTHW.shape[:2]
    norm, project = layer.norm, layer.proj_in
    x = F.group_norm(frames_of(x_BCTHW), norm.num_groups, norm.weight, norm.bias, norm.eps)
    if removals.pixel_convolutions:
        x_pixels = F.linear(x.permute(0, 2, 3, 1), project.weight.flatten(1), project.bias)
    else:
        x_pixels = F.conv2d(x, project.weight, project.bias).permute(0, 2, 3, 1)
    return x_pixels.reshape(batch, -1, x.shape[2] * x.shape[3], channels)


def from_tokens(
    layer: Transformer, x_BTLC: Tensor, residual_BCTHW: Tensor, removals: Removals
) -> Tensor:
    """A transformer's way out: the output projection, added to what came in, (B, C, T, H, W)."""
    pixels = x_BTLC.flatten(0, 1).unflatten(1, residual_BCTHW.shape[-2:])
    project = layer.proj_out
    if removals.pixel_convolutions:
        x = F.linear(pixels, project.weight.flatten(1), project.bias).permute(0, 3, 1, 2)
    else:
        x = pixels.permute(0, 3, 1, 2)
        x = F.conv2d(x if removals.planar_layout else x.contiguous(), project.weight, project.bias)
    return video_of(x + frames_of(residual_BCTHW), len(residual_BCTHW))
