"""What `vbbench profile step` computes: networks of random weights and a step's inputs.

Shape suffixes: B batch, C channels, T frames, H/W latent pixels, S text tokens, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vbbench.errors import UsageError
from vbbench.networks.unet.unet import ImagePromptInput, UNetConfig, VideoUNet
from vbbench.profiling.released import StepInputs

TEXT_TOKENS, TIMESTEP = 77, 500


@dataclass(frozen=True)
class Case:
    """A network's size and a clip's.

    Attributes:
        scale: ``small`` or ``sd14``.
        config: of the network.
        latent: height and width of the latents.
        frames: of the clip.
    """

    scale: str
    config: UNetConfig
    latent: int
    frames: int = 16

    @property
    def words(self) -> str:
        """Its name in tables."""
        return f"{self.scale}, {self.latent} x {self.latent} latents, {self.frames} frame{'' if self.frames == 1 else 's'}"


SMALL = UNetConfig(
    block_out_channels=(32, 64, 128, 128),
    cross_attention_dim=64,
    norm_num_groups=8,
    watermark_widths=(32, 64, 64),
    injection=True,
)
SD14 = UNetConfig(injection=True)
SMALL_LATENT = 16
SIZE, FRAMES = 256, (16,)
LATENT, HALVINGS = 8, 3
"""Pixels a latent stands for, and how often the network halves the latents."""


def cases(
    scale: str, sizes: tuple[int, ...] | None = None, frames: tuple[int, ...] | None = None
) -> tuple[Case, ...]:
    """The cases of a scale: ``small`` (for a CPU) or ``sd14`` (the released network's size).

    Args:
        scale: which.
        sizes: pixels of the clips; None: 256, and 128 for ``small``.
        frames: of the clips; None: 16.
    Raises:
        UsageError: an unknown scale, or sizes that the network cannot halve.
    """
    if scale not in ("small", "sd14"):
        raise UsageError(f"there is no scale {scale!r} of a step: there are small, sd14.")
    smallest = LATENT * 2**HALVINGS
    for size in sizes or ():
        if size % smallest:
            raise UsageError(
                f"--sizes takes multiples of {smallest} pixels, not {size}: the network halves {HALVINGS} times."
            )
    latents = (
        tuple(size // LATENT for size in sizes)
        if sizes
        else (SMALL_LATENT,)
        if scale == "small"
        else (SIZE // LATENT,)
    )
    return tuple(
        Case(scale, SMALL if scale == "small" else SD14, latent, count)
        for latent in latents
        for count in frames or FRAMES
    )


def build_network(case: Case, device: str, dtype: torch.dtype, seed: int = 0) -> VideoUNet:
    """A network of random weights, written once where it will stay.

    The weights keep the size of what passes through them (matrices and kernels: variance 1 /
    inputs; queries' and keys' 1.6 times that deviation, so that attention is neither flat nor a
    choice of one), as the project's golden files do.
    """
    with torch.device("meta"):
        unet = VideoUNet(case.config)
    unet = unet.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(seed)
    for name, module in unet.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            if parameter.ndim == 1:
                parameter.normal_(0.0, 0.2 if key == "weight" else 0.1, generator=generator)
                parameter.add_(1.0 if key == "weight" else 0.0)
            else:
                sharper = 1.6 if name.rpartition(".")[2] in ("to_q", "to_k") else 1.0
                parameter.normal_(0.0, sharper * parameter[0].numel() ** -0.5, generator=generator)
    return unet


def build_inputs(case: Case, device: str, dtype: torch.dtype, seed: int = 1) -> StepInputs:
    """A step in the middle of a clip, the image prompt with noise of its own in every frame, as
    released."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    latent = (1, case.config.in_channels, case.frames, case.latent, case.latent)
    timestep = torch.full((1,), TIMESTEP, device=device)
    text, null_text = (normal(1, TEXT_TOKENS, case.config.cross_attention_dim) for _ in range(2))
    return StepInputs(
        normal(*latent), timestep, text, null_text, ImagePromptInput(normal(*latent), timestep)
    )


def with_image_frames(inputs: StepInputs, first_only: bool) -> StepInputs:
    """The same step with the image prompt's first frame alone, or with that frame in all of
    them."""
    if inputs.image is None:
        return inputs
    latent = inputs.image.latent_BCTHW
    first = latent[:, :, :1] if first_only else latent[:, :, :1].expand_as(latent).contiguous()
    return replace(inputs, image=replace(inputs.image, latent_BCTHW=first))
