"""What there is to say of a step beside its time: how far its numbers are off, what it needs at
least, what it holds in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from vbbench.networks.sampling.faithful import add_noise, diffusion_tables
from vbbench.networks.sampling.sampling import make_scheduler
from vbbench.networks.unet.unet import ImagePromptInput, VideoUNet
from vbbench.profiling.ceilings import floor_seconds
from vbbench.profiling.record import Ceiling
from vbbench.profiling.released import Removals, StepInputs, Way, all_removals, guided_step
from vbbench.profiling.step_cases import Case, build_inputs, build_network, cases
from vbbench.profiling.step_parts import count_flops
from vbbench.profiling.step_ways import WAYS, Step

DDIM_STEPS = 4
COUNTED_BACKEND = "plain"
"""Backend whose products PyTorch's counter sees; all backends need the same."""


def stored_bytes(case: Case, dtype: str) -> int:
    """What the released formulation holds at once in its largest layer: the scores before and after
    the softmax."""
    tokens = case.latent**2
    return (
        2
        * case.frames
        * case.config.heads(0)
        * tokens
        * 2
        * tokens
        * getattr(torch, dtype).itemsize
    )


def checking_bytes(case: Case) -> int:
    """What `in_float64` takes at most: scores, and weights that are converted while a copy of them
    is there."""
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in VideoUNet(case.config).parameters())
    return stored_bytes(case, "float64") + 2 * weights * torch.float64.itemsize


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """Over the largest value."""
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())


def in_float64(unet: VideoUNet, inputs: StepInputs) -> Tensor:
    """The released formulation in float64, on the very weights and inputs."""
    image = inputs.image
    wide = {
        name: getattr(inputs, name).double()
        for name in ("sample_BCTHW", "text_BSD", "null_text_BSD")
    }
    if image is not None:
        image = replace(image, latent_BCTHW=image.latent_BCTHW.double())
    return guided_step(
        deepcopy(unet).double(), replace(inputs, **wide, image=image), Way(Removals())
    )


@torch.no_grad()
def several_steps(step: Step, first: StepInputs, steps: int = DDIM_STEPS) -> list[Tensor]:
    """The latent after each of some DDIM steps; the image prompt is noised anew at each, frame by
    frame, as released.

    ``first.image`` holds the image prompt's clean latent here, and ``first.sample_BCTHW`` the
    noise.
    """
    scheduler = make_scheduler("ddim")
    scheduler.set_timesteps(steps)
    tables, latent, found = diffusion_tables(), first.sample_BCTHW, []
    for number, timestep in enumerate(scheduler.timesteps.tolist()):
        timestep_B = torch.full_like(first.timestep_B, timestep)
        image = first.image
        if image is not None:
            noise = torch.randn(
                image.latent_BCTHW.shape, generator=torch.Generator().manual_seed(number)
            ).to(latent)
            image = ImagePromptInput(
                add_noise(tables, image.latent_BCTHW, noise, timestep), timestep_B, image.text_BLD
            )
        prediction = step(replace(first, sample_BCTHW=latent, timestep_B=timestep_B, image=image))
        latent = scheduler.step(prediction, timestep, latent, return_dict=False)[0]
        found.append(latent)
    return found


@dataclass(frozen=True)
class Least:
    """What a step needs at least.

    Attributes:
        flops: operations of the last rung.
        bytes: every weight read once.
        seconds: at the device's ceilings; None where they were not measured.
    """

    flops: float
    bytes: float
    seconds: float | None


def least(case: Case, dtype: str, ceilings: Sequence[Ceiling]) -> Least:
    """Of a step of this case."""
    flops, _ = flops_of(case, all_removals(COUNTED_BACKEND))
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in VideoUNet(case.config).parameters())
    moved = float(weights * getattr(torch, dtype).itemsize)
    return Least(flops, moved, floor_seconds(ceilings, dtype, flops, moved))


@cache
def flops_of(case: Case, removals: Removals) -> tuple[float, dict[str, float]]:
    """Operations of the released formulation, or of what is left of it, all and by kind of layer;
    nothing is computed."""
    with torch.device("meta"):
        unet = VideoUNet(case.config).eval()
    return count_flops(
        unet, build_inputs(case, "meta", torch.float32), replace(removals, backend=COUNTED_BACKEND)
    )


def prepared(way: str, scale: str, latent: int, frames: int, dtype: str) -> Callable[[], object]:
    """What a fresh process calls to weigh a step: everything made, and the code loaded by a step on
    a tiny clip."""
    case = replace(cases(scale)[0], latent=latent, frames=frames)
    unet = build_network(case, "cpu", getattr(torch, dtype))
    inputs, tiny = (
        build_inputs(each, "cpu", getattr(torch, dtype))
        for each in (case, replace(case, latent=8, frames=3))
    )
    one = next(each for each in WAYS if each.name == way)
    one.make(unet, tiny)(tiny)
    step = one.make(unet, inputs)
    return lambda: step(inputs)


def preparation(way: str, case: Case, dtype: str) -> dict[str, Any]:
    """`prepared`'s arguments, as JSON can hold them."""
    return {
        "way": way,
        "scale": case.scale,
        "latent": case.latent,
        "frames": case.frames,
        "dtype": dtype,
    }
