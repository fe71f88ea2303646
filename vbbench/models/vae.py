"""Stable Diffusion's autoencoder as a frame codec. B batch, T frames, H/W pixels, h/w latent cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class VaeCodec(nn.Module):
    """diffusers' ``AutoencoderKL``, frame by frame; latents are scaled to about unit variance.

    Deterministic: the mean of what the encoder believes, not a draw from it (the released code draws).

    Args:
        config: of ``AutoencoderKL``, as diffusers writes it.

    Attributes:
        slicing: one frame at a time is decoded, which bounds memory; else all at once.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        self.slicing = True
        self.vae = AutoencoderKL.from_config(dict(config))
        self.latent_channels: int = self.vae.config.latent_channels
        self.factor: int = 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Pixels in [-1, 1] (sides divisible by the factor) to latents (B, C, T, h, w)."""
        with torch.no_grad():
            latents = self.vae.encode(pixels_BTCHW.flatten(0, 1)).latent_dist.mode() * self.vae.config.scaling_factor
        return latents.unflatten(0, pixels_BTCHW.shape[:2]).transpose(1, 2)

    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Latents to pixels (B, T, 3, H, W), clamped to [-1, 1]."""
        frames = latents_BCThw.transpose(1, 2).flatten(0, 1) / self.vae.config.scaling_factor
        slices = frames.split(1 if self.slicing else len(frames))
        pixels = torch.cat([self.vae.decode(frame).sample for frame in slices])
        return pixels.unflatten(0, (latents_BCThw.shape[0], -1)).clamp(-1.0, 1.0)
