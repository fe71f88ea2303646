"""Sampling with diffusers' schedulers: the corrected default beside the released code's loop
(`faithful`).

Shape suffixes: B batch, C channels, T frames, H/W latent pixels.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vbbench.networks.sampling.faithful import (
    DiffusionTables,
    NoiseSource,
    add_noise,
    ancestral_step,
    diffusion_tables,
    faithful,
)
from vbbench.networks.sampling.guidance import Denoiser, guided

__all__ = [
    "SCHEDULERS",
    "Denoiser",
    "DiffusionTables",
    "NoiseSource",
    "add_noise",
    "ancestral_step",
    "diffusion_tables",
    "faithful",
    "guided",
    "make_scheduler",
    "noise_to_timestep",
    "sample",
]

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
}
"""Name -> diffusers class and the options that every use of it here needs (latents are not confined
to [-1, 1])."""


def make_scheduler(
    name: str,
    *,
    prediction_type: str = "epsilon",
    beta_schedule: str = "linear",
    num_train_timesteps: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    timestep_spacing: str = "linspace",
    **options: Any,
) -> Any:
    """A diffusers scheduler; the defaults are the process VideoBooth was trained with.

    Args:
        name: a key of `SCHEDULERS`.
        prediction_type: what the network predicts: epsilon, v_prediction or sample.
        beta_schedule: linear, scaled_linear or squaredcos_cap_v2 (cosine).
        num_train_timesteps: steps of the full process.
        beta_start: first beta of the linear schedules.
        beta_end: last beta of the linear schedules.
        timestep_spacing: linspace, leading or trailing.
        **options: handed to the class, over its defaults here.
    Raises:
        ValueError: unknown name.
    """
    if name not in SCHEDULERS:
        raise ValueError(f"unknown scheduler {name!r}; there are {', '.join(sorted(SCHEDULERS))}")
    class_name, always = SCHEDULERS[name]
    scheduler_class = getattr(importlib.import_module("diffusers"), class_name)
    return scheduler_class(
        num_train_timesteps=num_train_timesteps,
        beta_start=beta_start,
        beta_end=beta_end,
        beta_schedule=beta_schedule,
        prediction_type=prediction_type,
        timestep_spacing=timestep_spacing,
        **{**always, **options},
    )


def noise_to_timestep(
    scheduler: Any, latent: Tensor, noise: Tensor, timestep: float | Tensor
) -> Tensor:
    """A clean latent with the noise that the network expects at a timestep; for image prompts
    beside a video.

    Unlike the schedulers' own ``add_noise`` it keeps the signal's variance for every scheduler
    (Euler's does not) and takes timesteps between two whole ones, at which it interpolates the
    noise-to-signal ratio, as Euler does.

    Args:
        scheduler: of `make_scheduler`.
        latent: (B, C, ...).
        noise: standard normal, of that shape.
        timestep: one for the batch, in [0, train timesteps - 1].
    Returns:
        (B, C, ...).
    """
    time = float(timestep)
    below = int(time)
    # In float64: the last betas of the cosine schedule leave almost no signal.
    signal = scheduler.alphas_cumprod[
        [below, min(below + 1, len(scheduler.alphas_cumprod) - 1)]
    ].double()
    ratios = ((1 - signal) / signal).sqrt()
    ratio = torch.lerp(ratios[0], ratios[1], time - below).item()
    scale = (1 + ratio**2) ** -0.5
    return scale * latent + ratio * scale * noise


def sample(
    model: Denoiser,
    scheduler: Any,
    latents: Tensor,
    num_inference_steps: int,
    *,
    guidance_scale: float = 1.0,
    guidance_channels: int | None = None,
    generators: Sequence[torch.Generator] | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Denoises latents.

    Args:
        model: the network with its conditions bound; its unconditional branch is run only if
            guidance needs it.
        scheduler: of `make_scheduler`; its state is reset.
        latents: standard normal noise, (B, C, T, H, W).
        num_inference_steps: steps.
        guidance_scale: 1: none.
        guidance_channels: guided latent channels; None: all.
        generators: one CPU generator a row, for schedulers that draw noise, so that a row does not
            depend on its batch.
        callback: called with (steps done, latents) after each step.
    Returns:
        Clean latents, (B, C, T, H, W).
    """
    scheduler.set_timesteps(num_inference_steps, device=latents.device)
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    extra = {"generator": list(generators)} if generators is not None and takes_generator else {}
    latents = latents * scheduler.init_noise_sigma
    for done, timestep in enumerate(scheduler.timesteps, start=1):
        scaled = scheduler.scale_model_input(latents, timestep)
        timestep_B = timestep.expand(len(latents))
        prediction, unconditional = model(scaled, timestep_B, guidance_scale != 1.0)
        if unconditional is not None:
            prediction = guided(prediction, unconditional, guidance_scale, guidance_channels)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False, **extra)[0]
        if callback is not None:
            callback(done, latents)
    return latents
