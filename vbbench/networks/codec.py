"""Frames to latents and back: a fixed linear patch codec for the miniature, Stable Diffusion's VAE
for the real scale.

B batch, T frames, C latent channels, H/W pixels, h/w latent cells, P patch size, K components.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class FrameCodec(Protocol):
    """What models need of an autoencoder."""

    latent_channels: int
    factor: int

    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Pixels in [-1, 1] to latents (B, C, T, h, w) of about unit variance."""
        ...

    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Latents to pixels (B, T, 3, H, W), clamped to [-1, 1]."""
        ...


class PatchCodec(nn.Module):
    """Principal components of P x P pixel patches, fitted once on pictures of the miniature world.

    Component i is scaled by sd_i ** -0.5, halfway between leaving it as it is and whitening it,
    then all by one number so that latents have unit mean square. Linear, so it needs no training
    and keeps markings.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, patch: int = 8, components: int = 32) -> None:
        super().__init__()
        self.factor, self.latent_channels = patch, components
        self.register_buffer("mean", torch.zeros(3 * patch * patch))
        self.register_buffer("basis", torch.zeros(components, 3 * patch * patch))
        self.register_buffer("scale", torch.ones(components))

    @torch.no_grad()
    def fit(self, pixels_BTCHW: Tensor) -> None:
        """Set the components from pictures in [-1, 1], at least as many patches as pixels of a
        patch."""
        rows = self._patches(pixels_BTCHW).reshape(-1, self.mean.numel()).double()
        mean = rows.mean(0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = (
            values.flip(0)[: self.latent_channels],
            vectors.flip(1)[:, : self.latent_channels].T,
        )
        vectors = vectors * torch.where(
            vectors.abs().max(1, keepdim=True).values == vectors.max(1, keepdim=True).values,
            1.0,
            -1.0,
        )
        scale = values.clamp_min(1e-12) ** -0.25  # sd ** -0.5
        rms = (values * scale**2).mean().sqrt()
        self.mean.copy_(mean)
        self.basis.copy_(vectors)
        self.scale.copy_(scale / rms)

    def _patches(self, pixels_BTCHW: Tensor) -> Tensor:
        b, t, c, height, width = pixels_BTCHW.shape
        p = self.factor
        cells = pixels_BTCHW.reshape(b, t, c, height // p, p, width // p, p)
        return cells.permute(0, 1, 3, 5, 2, 4, 6).reshape(b, t, height // p, width // p, c * p * p)

    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Pixels in [-1, 1] (sides divisible by P) to latents (B, K, T, H/P, W/P) float32."""
        coefficients = (self._patches(pixels_BTCHW.float()) - self.mean) @ self.basis.T * self.scale
        return coefficients.permute(0, 4, 1, 2, 3)

    def decode(self, latents_BCThw: Tensor) -> Tensor:
        """Latents (B, K, T, h, w) to pixels (B, T, 3, h*P, w*P) float32, clamped to [-1, 1]."""
        b, _, t, h, w = latents_BCThw.shape
        p = self.factor
        rows = (latents_BCThw.float().permute(0, 2, 3, 4, 1) / self.scale) @ self.basis + self.mean
        pixels = (
            rows.reshape(b, t, h, w, 3, p, p)
            .permute(0, 1, 4, 2, 5, 3, 6)
            .reshape(b, t, 3, h * p, w * p)
        )
        return pixels.clamp(-1.0, 1.0)

    def pixel_weights(self) -> Tensor:
        """(K,) float32, mean 1: the basis is orthonormal, so a channel's error counts by one over
        its scale squared."""
        weights = self.scale.clamp_min(1e-12).square().reciprocal()
        return weights / weights.mean()


def to_unit(frames_THWC: Tensor) -> Tensor:
    """uint8 frames (..., H, W, 3) to float32 (..., 3, H, W) in [-1, 1]."""
    return frames_THWC.movedim(-1, -3).float() / 127.5 - 1.0


def to_uint8(pixels_CHW: Tensor) -> Tensor:
    """Pixels (..., 3, H, W) in [-1, 1] to uint8 (..., H, W, 3)."""
    return ((pixels_CHW.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8).movedim(-3, -1)
