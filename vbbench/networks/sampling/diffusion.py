"""The forward process: noise schedules, noise and targets. B batch, C channels, T frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiffusionConfig:
    """How latents are noised and what the network predicts; the defaults are the released
    network's.

    Attributes:
        prediction_type: ``epsilon``, ``sample`` or ``v_prediction``, as diffusers names them.
        beta_schedule, beta_start, beta_end, num_train_timesteps: diffusers' noise schedule.
        shared_noise: share of the noise variance that is equal in all frames, 0..1.
    """

    prediction_type: str = "epsilon"
    beta_schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    num_train_timesteps: int = 1000
    shared_noise: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for cards."""
        return asdict(self)

    def alphas_cumprod(self) -> Tensor:
        """(num_train_timesteps,) float32, from diffusers' own tables."""
        from diffusers import DDPMScheduler

        scheduler = cast(Any, DDPMScheduler)(
            num_train_timesteps=self.num_train_timesteps,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
            beta_schedule=self.beta_schedule,
        )
        return scheduler.alphas_cumprod


def video_noise(
    shape_BCTHW: tuple[int, ...], shared: float, generator: torch.Generator | None = None
) -> Tensor:
    """Standard normal noise on the CPU, of whose variance ``shared`` is equal in all frames."""
    b, c, t, h, w = shape_BCTHW
    own = torch.randn((b, c, t, h, w), generator=generator)
    if shared == 0.0:
        return own
    common = torch.randn((b, c, 1, h, w), generator=generator)
    return (1.0 - shared) ** 0.5 * own + shared**0.5 * common


def add_noise(x_BCTHW: Tensor, noise_BCTHW: Tensor, alpha_bar_B: Tensor) -> Tensor:
    """``sqrt(a) x + sqrt(1 - a) noise`` (Ho et al. 2020, equation 4)."""
    a = alpha_bar_B.view(-1, 1, 1, 1, 1)
    return a.sqrt() * x_BCTHW + (1.0 - a).sqrt() * noise_BCTHW
