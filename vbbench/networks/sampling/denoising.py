"""From noise to latents: which loop a sampling parameter names, whose noise it draws, and whether
its numbers stay finite.

B batch, C latent channels, T frames, h/w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vbbench.errors import InputError, UsageError
from vbbench.networks.sampling.diffusion import DiffusionConfig
from vbbench.networks.sampling.faithful import diffusion_tables, faithful
from vbbench.networks.sampling.guidance import Denoiser
from vbbench.networks.sampling.sampling import SCHEDULERS, make_scheduler, sample
from vbbench.types import PromptItem, SamplingParams

FAITHFUL = "faithful"
"""The released code's loop; every other name is a scheduler of diffusers, and the corrected way."""


def check_scheduler(name: str) -> None:
    """Whether there is a scheduler of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in (FAITHFUL, *SCHEDULERS):
        raise UsageError(
            f"there is no scheduler {name!r}; there are {', '.join(SCHEDULERS)} and {FAITHFUL}."
        )


def check_sampling(params: SamplingParams, diffusion: DiffusionConfig) -> None:
    """Whether a network with this diffusion process can be sampled so.

    Raises:
        UsageError: no such scheduler, too many or too few steps, or the released loop for another
            process than the released one.
    """
    check_scheduler(params.scheduler)
    if params.scheduler == FAITHFUL and diffusion != DiffusionConfig():
        raise UsageError(
            f"the scheduler '{FAITHFUL}' repeats the released code's loop, for networks that predict noise on its linear schedule; "
            f"this one predicts {diffusion.prediction_type!r} on the schedule {diffusion.beta_schedule!r}; "
            f"choose one of {', '.join(SCHEDULERS)}."
        )
    least, most = 2 if params.scheduler == FAITHFUL else 1, diffusion.num_train_timesteps
    if not least <= params.num_inference_steps <= most:
        raise UsageError(
            f"the scheduler {params.scheduler!r} takes {least} to {most} steps, not {params.num_inference_steps}."
        )


def scheduler_of(params: SamplingParams, diffusion: DiffusionConfig) -> Any:
    """The scheduler of diffusers that sampling parameters name, for a network's process."""
    return make_scheduler(
        params.scheduler,
        prediction_type=diffusion.prediction_type,
        beta_schedule=diffusion.beta_schedule,
        beta_start=diffusion.beta_start,
        beta_end=diffusion.beta_end,
        num_train_timesteps=diffusion.num_train_timesteps,
        timestep_spacing="trailing",
    )


def denoised(
    denoise: Denoiser,
    noise_BCThw: Tensor,
    items: Sequence[PromptItem],
    params: SamplingParams,
    diffusion: DiffusionConfig,
    generators: Sequence[torch.Generator],
    *,
    hint: str = "",
) -> Tensor:
    """Latents of items, (B, C, T, h, w).

    Args:
        noise_BCThw: each item's first noise, on the device.
        generators: on the CPU, one an item, from which its first noise was drawn; drawn on from
            there, for an ancestral step must not repeat it.
        hint: what may help where numbers run out of range.
    Raises:
        UsageError: see `check_sampling`.
        InputError: an item's latents are not finite; the message names it and the step.
    """
    check_sampling(params, diffusion)
    steps, scale = params.num_inference_steps, params.guidance_scale
    watch = FiniteWatch(noise_BCThw)
    if params.scheduler == FAITHFUL:

        def step_noise(_: int, like: Tensor) -> Tensor:
            rows = [
                torch.randn((1, *like.shape[1:]), generator=generator) for generator in generators
            ]
            return torch.cat(rows).to(like.device)

        timesteps = diffusion_tables(steps).timesteps.flip(0).tolist()
        latents = faithful(
            denoise,
            noise_BCThw,
            sample_noise=step_noise,
            steps=steps,
            guidance_scale=scale,
            callback=lambda index, after, _: watch(steps - index, after),
        )
    else:
        scheduler = scheduler_of(params, diffusion)
        latents = sample(
            denoise,
            scheduler,
            noise_BCThw,
            steps,
            guidance_scale=scale,
            generators=generators,
            callback=watch,
        )
        timesteps = scheduler.timesteps.tolist()
    watch.check(items, timesteps, hint)
    return latents


class FiniteWatch:
    """Remembers each row's first step after which its latents were not finite; reads them back
    once, at the end.

    Args:
        latents_BCThw: as many rows, on the same device.
    """

    def __init__(self, latents_BCThw: Tensor) -> None:
        self._first_bad_B = torch.zeros(
            len(latents_BCThw), dtype=torch.long, device=latents_BCThw.device
        )

    def __call__(self, done: int, latents_BCThw: Tensor) -> None:
        """So many steps are done; waits for nothing."""
        bad_B = ~latents_BCThw.isfinite().flatten(1).all(1)
        self._first_bad_B = torch.where(bad_B & (self._first_bad_B == 0), done, self._first_bad_B)

    def check(
        self, items: Sequence[PromptItem], timesteps: Sequence[float], hint: str = ""
    ) -> None:
        """Tell of the rows that went bad.

        Raises:
            InputError: there is one.
        """
        first_bad = self._first_bad_B.tolist()
        bad = [(item.id, done) for item, done in zip(items, first_bad, strict=True) if done]
        if not bad:
            return
        words = [
            f"sampling of item {name}: the latents are no longer finite after step {done} of {len(timesteps)} "
            f"(timestep {timesteps[done - 1]:g})"
            for name, done in bad
        ]
        raise InputError(f"{'; '.join(words)}{f'; {hint}' if hint else ''}.")


def check_pixels(pixels_BTCHW: Tensor, items: Sequence[PromptItem]) -> None:
    """Decoded frames of good latents.

    Raises:
        InputError: some are not finite.
    """
    finite = pixels_BTCHW.isfinite().flatten(1).all(1).tolist()
    bad = [item.id for item, good in zip(items, finite, strict=True) if not good]
    if bad:
        raise InputError(
            f"decoding of item {', '.join(bad)}: the frames are not finite, though the latents are."
        )
