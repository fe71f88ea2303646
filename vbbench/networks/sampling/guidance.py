"""A UNet with its conditions bound: what the sampling loop evaluates.

Shape suffixes: B videos, S text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from vbbench.networks.sampling.cuda_graph import GraphedUNet
from vbbench.networks.sampling.speed import Approximate, Speed
from vbbench.networks.unet.conditioning import InnerFeatures
from vbbench.networks.unet.unet import (
    ImagePromptInput,
    ImagePromptStates,
    LocalPrompt,
    TextStates,
    VideoUNet,
)

ImagePromptAt = Callable[[Tensor], ImagePromptStates | ImagePromptInput | None]
"""Timesteps (B,), all the same -> the image prompts of the B videos as they are read at that
timestep."""


class GuidedUNet:
    """A `Denoiser`: the conditional branch alone, or both branches of guidance.

    Args:
        unet: set up by `apply_speed`.
        conditional_BSD: text states of the videos.
        unconditional_1SD: those of the null text; read by the unconditional branch.
        image: image prompts, for the conditional branch; None: there are none.
        local: ELITE's local prompt, for the conditional branch.
        speed: how it is evaluated.
        approximate: what is not evaluated.
        graphed: graphs that were captured before, of this very UNet; None: they are captured anew
            if ``speed`` wants them.
    """

    def __init__(
        self,
        unet: VideoUNet,
        conditional_BSD: Tensor,
        unconditional_1SD: Tensor,
        *,
        image: ImagePromptAt | None = None,
        local: LocalPrompt | None = None,
        speed: Speed | None = None,
        approximate: Approximate | None = None,
        graphed: GraphedUNet | None = None,
    ) -> None:
        self._unet, self._speed, self._image, self._local = unet, speed or Speed(), image, local
        self._dtype = unet.conv_in.weight.dtype
        self._evaluate = (graphed or GraphedUNet(unet)) if self._speed.cuda_graph else unet
        texts = conditional_BSD.to(self._dtype), unconditional_1SD.to(self._dtype)
        self._conditional, self._unconditional = self._texts(unet, *texts)
        every = (approximate or Approximate()).reuse_features
        self._inner = {
            name: InnerFeatures(every) if every > 1 else None
            for name in ("both", "conditional", "unconditional")
        }

    def _texts(
        self, unet: VideoUNet, conditional: Tensor, unconditional: Tensor
    ) -> tuple[Tensor | TextStates, Tensor | TextStates]:
        videos = len(conditional)
        if not self._speed.text_once:
            return conditional, unconditional.expand(videos, -1, -1)
        return unet.text_states(conditional), unet.text_states(unconditional).for_videos(videos)

    def __call__(
        self, latents: Tensor, timestep_B: Tensor, both: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Predictions of the conditional branch and, for guidance, of the unconditional one.

        Of the latents' dtype, whatever the UNet's is.
        """
        conditional, unconditional = self._predictions(latents.to(self._dtype), timestep_B, both)
        return conditional.to(latents.dtype), None if unconditional is None else unconditional.to(
            latents.dtype
        )

    def _predictions(
        self, latents: Tensor, timestep_B: Tensor, both: bool
    ) -> tuple[Tensor, Tensor | None]:
        conditions = {"image_prompt": self._image_states(timestep_B), "local_prompt": self._local}
        if both and self._speed.batched_guidance:
            twice = torch.cat([latents, latents]), torch.cat([timestep_B, timestep_B])
            conditional, unconditional = self._evaluate(
                *twice, self._both_texts, inner=self._inner["both"], **conditions
            ).chunk(2)
            return conditional, unconditional
        conditional = self._evaluate(
            latents, timestep_B, self._conditional, inner=self._inner["conditional"], **conditions
        )
        if not both:
            return conditional, None
        return conditional, self._evaluate(
            latents, timestep_B, self._unconditional, inner=self._inner["unconditional"]
        )

    @cached_property
    def _both_texts(self) -> Tensor | TextStates:
        """Both branches' texts as one batch: once a clip, as they stay."""
        return _together(self._conditional, self._unconditional)

    def _image_states(self, timestep_B: Tensor) -> ImagePromptStates | None:
        found = None if self._image is None else self._image(timestep_B)
        if isinstance(found, ImagePromptInput):
            return self._unet.image_prompt_states(found, default_text_BLD=self._conditional)
        return found


def _together(
    conditional: Tensor | TextStates, unconditional: Tensor | TextStates
) -> Tensor | TextStates:
    if isinstance(conditional, TextStates) and isinstance(unconditional, TextStates):
        return TextStates.of_several([conditional, unconditional])
    assert isinstance(conditional, Tensor)  # both are of one kind: see `GuidedUNet._texts`
    assert isinstance(unconditional, Tensor)
    return torch.cat([conditional, unconditional])


# Classifier-free guidance, and what it needs of a network.


class Denoiser(Protocol):
    """A network in a sampling loop, its conditions bound."""

    def __call__(
        self, latents: Tensor, timestep_B: Tensor, both: bool
    ) -> tuple[Tensor, Tensor | None]:
        """(B, C, ...) latents -> predictions of that shape: with text and image prompt and, if
        ``both``, without."""
        ...


def guided(cond: Tensor, uncond: Tensor, scale: float, channels: int | None = None) -> Tensor:
    """Classifier-free guidance, ``uncond + scale * (cond - uncond)`` (Ho and Salimans 2022).

    Args:
        cond: prediction with text and image prompt, (B, C, ...).
        uncond: prediction without.
        scale: 1 is no guidance.
        channels: guide the first so many channels only and leave the others conditional (the
            released code guides 3 of 4); None: all.
    Returns:
        (B, C, ...).
    """
    if channels is None:
        return torch.lerp(uncond, cond, scale)
    return torch.cat(
        [torch.lerp(uncond[:, :channels], cond[:, :channels], scale), cond[:, channels:]], dim=1
    )
