"""The ways to compute a denoising step that `vbbench profile step` compares. A further switch is
one more entry of `WAYS`.

Shape suffixes: B batch, C channels, T frames, H/W latent pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vbbench.networks.sampling.guidance import GuidedUNet, guided
from vbbench.networks.sampling.speed import Speed, apply_speed, speed_of
from vbbench.networks.unet.unet import ImagePromptStates, VideoUNet
from vbbench.profiling.released import (
    LADDER,
    KeptText,
    Removals,
    StepInputs,
    Way,
    guided_step,
    keep_text,
    ladder,
)
from vbbench.profiling.step_cases import with_image_frames

Step = Callable[[StepInputs], Tensor]
"""One guided denoising step; (B, C, T, H, W)."""

RUNG, SAMPLED, CONDITIONED, APPROXIMATE = "ladder", "production", "precondition", "approximate"
RELEASED, PRODUCTION = "released", "production"
LAST_RUNG = f"without {list(LADDER)[-1].replace('_', ' ')}"


@dataclass(frozen=True)
class StepWay:
    """A way to compute a step.

    Attributes:
        name: of the variant.
        words: what it is, or what it removes.
        make: from a network and the first step's inputs, what a clip's steps run; whatever it does
            itself is done once a clip.
        section: ``ladder`` (each rung removes one thing more), ``production`` (as the models
            sample), ``precondition`` (the same numbers where something holds that does not hold for
            every step of every clip) or ``approximate`` (other numbers).
        needs: what must hold.
        inputs: changes the inputs; the released formulation it is held against gets the same.
        asked: only measured where named, as it takes long to set up.
        device: only measured there; empty: anywhere.
        removals: of a rung.
        compiled: by torch.compile.
    """

    name: str
    words: str
    make: Callable[[VideoUNet, StepInputs], Step]
    section: str
    needs: str = ""
    inputs: Callable[[StepInputs], StepInputs] = lambda inputs: inputs
    asked: bool = False
    device: str = ""
    removals: Removals | None = None
    compiled: bool = False

    @property
    def exact(self) -> bool:
        """The same numbers, up to rounding."""
        return self.section != APPROXIMATE


def twin(unet: VideoUNet, speed: Speed) -> VideoUNet:
    """A network on the same weights with switches of its own; only weights that lie otherwise in
    memory are there twice."""
    with torch.device("meta"):
        other = VideoUNet(unet.config)
    other.load_state_dict(unet.state_dict(), assign=True)
    return apply_speed(other.eval().requires_grad_(False), speed)


class RungStep:
    """The released formulation, or what is left of it.

    Args:
        unet: the network whose weights are used.
        first: the clip's first step.
        removals: what is left out.

    Attributes:
        network: the network; with channels last in memory, its kernels lie so too.
    """

    def __init__(self, unet: VideoUNet, first: StepInputs, removals: Removals) -> None:
        self.network = twin(unet, Speed(channels_last=True)) if removals.planar_layout else unet
        self._removals = removals
        self._kept: KeptText | None = (
            keep_text(self.network, first) if removals.text_every_step else None
        )

    def __call__(self, inputs: StepInputs) -> Tensor:
        """The guided prediction."""
        return guided_step(self.network, inputs, Way(self._removals), kept=self._kept)


def _rung(removals: Removals) -> Callable[[VideoUNet, StepInputs], Step]:
    return lambda unet, first: RungStep(unet, first, removals)


class SampledStep:
    """A step as the models sample.

    Args:
        unet: the network whose weights are used.
        first: the clip's first step.
        speed: switches; the image prompt is kept only by the next argument.
        keep_image: the first step's image prompt serves all calls, as it does for a second prompt
            of an image.
        one_frame: the image prompt's first frame alone goes through the network.

    Attributes:
        network: the network with its switches set.
    """

    @torch.no_grad()
    def __init__(
        self,
        unet: VideoUNet,
        first: StepInputs,
        speed: Speed,
        *,
        keep_image: bool = False,
        one_frame: bool = False,
    ) -> None:
        self.network = twin(unet, speed)
        self._now, self._one_frame = first, one_frame
        self._null_text = self.network.text_states(first.null_text_BSD)
        self._kept = self._read_image() if keep_image else None
        image = None if first.image is None else lambda timestep_B: self._kept or self._read_image()
        self._guided = GuidedUNet(
            self.network, first.text_BSD, first.null_text_BSD, image=image, speed=speed
        )

    @torch.no_grad()
    def __call__(self, inputs: StepInputs) -> Tensor:
        """The guided prediction."""
        self._now = inputs
        cond, uncond = self._guided(inputs.sample_BCTHW, inputs.timestep_B, True)
        return (
            cond
            if uncond is None
            else guided(cond, uncond, inputs.guidance_scale, inputs.guidance_channels)
        )

    def _read_image(self) -> ImagePromptStates | None:
        image = (
            with_image_frames(self._now, first_only=True) if self._one_frame else self._now
        ).image
        return (
            None
            if image is None
            else self.network.image_prompt_states(image, default_text_BLD=self._null_text)
        )


def sampled(speed: Speed | None = None, **options: bool) -> Callable[[VideoUNet, StepInputs], Step]:
    """Makes a `SampledStep`; without switches, by those that the models have by default on the
    network's device."""
    return lambda unet, first: SampledStep(
        unet, first, speed or speed_of({}, unet.conv_in.weight.device.type), **options
    )


PLAIN = Speed(batched_guidance=False, fused_qkv=False)
_SECOND: dict[str, Any] = {"section": CONDITIONED, "needs": "second prompt of an image"}
_SHARED: dict[str, Any] = {
    "section": CONDITIONED,
    "needs": "image prompt's noise equal in all frames",
    "inputs": lambda inputs: with_image_frames(inputs, first_only=False),
}
WAYS: tuple[StepWay, ...] = (
    StepWay(RELEASED, "the released formulation", _rung(Removals()), RUNG, removals=Removals()),
    *(StepWay(f"without {name.replace('_', ' ')}", LADDER[name], _rung(rung), RUNG, removals=rung) for name, rung in ladder()),
    StepWay(PRODUCTION, "as the models sample by default", sampled(), SAMPLED),
    StepWay("guidance batched", "both branches of guidance are one batch", sampled(replace(PLAIN, batched_guidance=True)), SAMPLED),
    StepWay("fused projections", "queries, keys and values are one product", sampled(replace(PLAIN, fused_qkv=True)), SAMPLED),
    StepWay("planar weights", "convolution weights are not channels last", sampled(replace(PLAIN, channels_last=False)), SAMPLED),
    StepWay("compiled", "blocks by torch.compile", sampled(replace(PLAIN, compiled=True)), SAMPLED, asked=True, compiled=True),
    StepWay("CUDA graph", "an evaluation is replayed", sampled(replace(PLAIN, cuda_graph=True)), SAMPLED, device="cuda"),
    StepWay(
        "compiled CUDA graph", "both", sampled(replace(PLAIN, compiled=True, cuda_graph=True)), SAMPLED,
        asked=True, device="cuda", compiled=True,
    ),
    StepWay("image prompt kept", "its keys and values of this step are there already", sampled(keep_image=True), **_SECOND),
    StepWay(
        "compiled CUDA graph and image prompt kept", "all of these",
        sampled(replace(PLAIN, compiled=True, cuda_graph=True), keep_image=True), asked=True, device="cuda", compiled=True, **_SECOND,
    ),
    StepWay("one-frame image prompt", "one frame of it goes through the network", sampled(one_frame=True), **_SHARED),
    StepWay(
        "one-frame image prompt with own noise", "its other frames, with noise of their own, are left out",
        sampled(one_frame=True), APPROXIMATE,
    ),
)  # fmt: skip
"""In the order of the table."""
