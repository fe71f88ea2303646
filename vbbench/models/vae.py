"""Stable Diffusion's autoencoder as a frame codec. B batch, T frames, H/W pixels, h/w latent cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VaeCodec(nn.Module):
    """diffusers' ``AutoencoderKL``, frame by frame; latents are scaled to about unit variance.

    Deterministic: the mean of what the encoder believes, not a draw from it (the released code draws).

    Args:
        config: of ``AutoencoderKL``, as diffusers writes it.
        unshuffle: side of the squares of pixels that the autoencoder takes as one pixel with ``3 * unshuffle ** 2`` channels; 1 for
            Stable Diffusion's. The miniature's has 2, which makes its widest convolutions four times cheaper.

    Attributes:
        slicing: one frame at a time is decoded, which bounds memory; else all at once.
    """

    def __init__(self, config: Mapping[str, Any], unshuffle: int = 1) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        self.slicing = True
        self.vae = AutoencoderKL.from_config(dict(config))
        self.unshuffle = unshuffle
        self.latent_channels: int = self.vae.config.latent_channels
        self.factor: int = unshuffle * 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Pixels in [-1, 1] (sides divisible by the factor) to latents (B, C, T, h, w)."""
        with torch.no_grad():
            frames = F.pixel_unshuffle(pixels_BTCHW.flatten(0, 1), self.unshuffle)
            latents = self.vae.encode(frames).latent_dist.mode() * self.vae.config.scaling_factor
        return latents.unflatten(0, pixels_BTCHW.shape[:2]).transpose(1, 2)

    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Latents to pixels (B, T, 3, H, W), clamped to [-1, 1]."""
        frames = latents_BCThw.transpose(1, 2).flatten(0, 1) / self.vae.config.scaling_factor
        slices = frames.split(1 if self.slicing else len(frames))
        pixels = F.pixel_shuffle(torch.cat([self.vae.decode(frame).sample for frame in slices]), self.unshuffle)
        return pixels.unflatten(0, (latents_BCThw.shape[0], -1)).clamp(-1.0, 1.0)

    def pixel_weights(self) -> Tensor:
        """(C,) ones: a decoder that is not linear costs the same in every channel, as far as can be said."""
        return torch.ones(self.latent_channels, device=self.vae.device)
