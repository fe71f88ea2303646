"""The released code's sampling loop, quirks included, on float64 tables.

Shape suffixes: B batch, C channels, T frames, H/W latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vbbench.networks.sampling.guidance import Denoiser, guided


@dataclass(frozen=True)
class DiffusionTables:
    """Constants of a diffusion process restricted to some of its timesteps, float64, one entry a
    kept step.

    Attributes:
        timesteps: the kept steps' numbers in the full process, ascending.
        betas: noise variance added by each kept step.
        alphas_cumprod: share of the signal's variance left.
        posterior_variance: variance of a step back when the clean sample is known (Ho et al. 2020,
            equation 7).
        posterior_mean_coef1: weight of the clean sample in its mean.
        posterior_mean_coef2: weight of the noisy sample in its mean.
        variance: of a sampled step back; ``betas``, with the first entry replaced ("fixed large").
    """

    timesteps: Tensor
    betas: Tensor
    alphas_cumprod: Tensor
    posterior_variance: Tensor
    posterior_mean_coef1: Tensor
    posterior_mean_coef2: Tensor
    variance: Tensor


def diffusion_tables(
    steps: int | None = None, *, train_steps: int = 1000, start: float = 1e-4, end: float = 0.02
) -> DiffusionTables:
    """Tables of the released process: linear betas, evenly spread kept steps, the first and the
    last among them.

    Args:
        steps: steps to keep; None: all.
        train_steps: steps of the full process.
        start: its first beta.
        end: its last beta.
    Raises:
        ValueError: fewer than 2 steps or more than ``train_steps``.
    """
    steps = train_steps if steps is None else steps
    if not 2 <= steps <= train_steps:
        raise ValueError(f"sampling steps must be between 2 and {train_steps}, not {steps}")
    full = torch.cumprod(1 - torch.linspace(start, end, train_steps, dtype=torch.float64), 0)
    kept = torch.tensor([round(i * (train_steps - 1) / (steps - 1)) for i in range(steps)])
    signal = full[kept]
    before = torch.cat([signal.new_ones(1), signal[:-1]])
    betas = 1 - signal / before
    posterior = betas * (1 - before) / (1 - signal)
    return DiffusionTables(
        timesteps=kept,
        betas=betas,
        alphas_cumprod=signal,
        posterior_variance=posterior,
        posterior_mean_coef1=betas * before.sqrt() / (1 - signal),
        posterior_mean_coef2=(1 - before) * (1 - betas).sqrt() / (1 - signal),
        variance=torch.cat([posterior[1:2], betas[1:]]),
    )


def add_noise(
    tables: DiffusionTables, sample: Tensor, noise: Tensor, index: int | Tensor
) -> Tensor:
    """The sample at step ``index`` of the tables (not a timestep), or one index a row of the
    batch."""
    signal = tables.alphas_cumprod.to(sample.device)[index]
    signal = signal.reshape(-1, *[1] * (sample.ndim - 1))
    return signal.sqrt().to(sample.dtype) * sample + (1 - signal).sqrt().to(sample.dtype) * noise


def ancestral_step(
    tables: DiffusionTables, eps: Tensor, sample: Tensor, index: int, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """One step back from step ``index`` (Ho et al. 2020, algorithm 2; no clipping).

    Args:
        tables: of the process.
        eps: predicted noise.
        sample: noisy sample.
        index: step in the tables.
        noise: standard normal; ignored at step 0.
    Returns:
        The sample one step earlier, and the predicted clean sample.
    """
    signal = tables.alphas_cumprod[index]
    clean = (1 / signal).sqrt().item() * sample - (1 / signal - 1).sqrt().item() * eps
    mean = (
        tables.posterior_mean_coef1[index].item() * clean
        + tables.posterior_mean_coef2[index].item() * sample
    )
    if index == 0:
        return mean, clean
    return mean + tables.variance[index].sqrt().item() * noise, clean


NoiseSource = Callable[[int, Tensor], Tensor]
"""(step index, a tensor) -> standard normal noise of that tensor's shape, type and device."""

StepCallback = Callable[[int, Tensor, Tensor], None]
"""Observes (step index, sample after the step, predicted clean sample)."""

RELEASED_CHANNELS = 3
"""Latent channels that the released code guides, of four."""


def faithful(
    model: Denoiser,
    sample: Tensor,
    *,
    sample_noise: NoiseSource,
    steps: int = 250,
    guidance_scale: float = 4.0,
    guidance_channels: int | None = RELEASED_CHANNELS,
    callback: StepCallback | None = None,
) -> Tensor:
    """Samples as the released code does, quirks included: 250 ancestral steps, guidance on 3 of 4
    latent channels.

    Its third quirk, an image prompt noised anew in every step and frame, is up to the model, which
    is called once a step, before the step's own noise is drawn; `vbbench.models.videobooth.model`
    draws for it.

    Args:
        model: predicts the noise; its unconditional branch is run only if guidance needs it.
        sample: standard normal noise, (B, C, T, H, W).
        sample_noise: noise of the step; drawn, and not used, at step 0 too.
        steps: sampling steps.
        guidance_scale: 4.0 as released; 1: none.
        guidance_channels: guided latent channels; None: all.
        callback: called after each step.
    Returns:
        The sampled latent, (B, C, T, H, W).
    Raises:
        ValueError: see `diffusion_tables`.
    """
    tables = diffusion_tables(steps)
    for index in reversed(range(steps)):
        timestep_B = tables.timesteps[index].to(sample.device).expand(len(sample))
        eps, uncond = model(sample, timestep_B, guidance_scale != 1.0)
        if uncond is not None:
            eps = guided(eps, uncond, guidance_scale, guidance_channels)
        sample, clean = ancestral_step(tables, eps, sample, index, sample_noise(index, sample))
        if callback is not None:
            callback(index, sample, clean)
    return sample
