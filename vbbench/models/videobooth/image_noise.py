"""How an image prompt is noised beside a video: the corrected way, and the released code's.

Shape suffixes: C channels, T frames, h/w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vbbench.models.videobooth.faithful import add_noise, diffusion_tables
from vbbench.models.videobooth.sampling import noise_to_timestep

Noising = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(clean latent, noise, timestep) -> the latent as the network expects it at that timestep."""


class ImageNoise:
    """Noise of one image prompt, from its image and its suite alone, so that all prompts of one image share it.

    Args:
        seed: of the image (`PromptItem.image_seed`).
        shape_1CThw: of the noise.
        redrawn: each step has a noise of its own, as in the released code; else one draw is kept over the steps.
    """

    def __init__(self, seed: int, shape_1CThw: tuple[int, ...], *, redrawn: bool) -> None:
        self._seed, self._shape, self._redrawn = seed, shape_1CThw, redrawn
        self._generator = self._fresh()

    def _fresh(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed)

    def begin_step(self) -> None:
        """A step of the sampling begins; each must be told, in order, whether or not its noise is wanted."""
        if self._redrawn:
            self._drawn = torch.randn(self._shape, generator=self._generator)

    def noise(self) -> Tensor:
        """This step's noise, (1, C, T, h, w) float32 on the CPU."""
        return self._drawn if self._redrawn else torch.randn(self._shape, generator=self._fresh())


def corrected_noising(scheduler: Any) -> Noising:
    """To the noise level of a scheduler of diffusers."""
    return lambda latent, noise, timestep: noise_to_timestep(scheduler, latent, noise, timestep)


def released_noising(steps: int) -> Noising:
    """To the noise level of the released loop of so many steps, by the same float64 tables as the video."""
    tables = diffusion_tables(steps)
    index = {int(timestep): number for number, timestep in enumerate(tables.timesteps)}
    return lambda latent, noise, timestep: add_noise(tables, latent, noise, index[int(timestep)])
