"""The plain text-to-video model, and what every latent video model shares: noise, sampling, decoding.

B batch, C latent channels, T frames, h/w latent cells, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbbench.errors import InputError, UsageError
from vbbench.models.codec import to_uint8
from vbbench.models.diffusion import DiffusionConfig, video_noise
from vbbench.models.loading import load_codec, load_network
from vbbench.models.network import TextToVideoNetwork
from vbbench.models.videobooth.cuda_graph import GraphedUNet
from vbbench.models.videobooth.guided_unet import GuidedUNet
from vbbench.models.videobooth.sampling import SCHEDULERS, Denoiser, make_scheduler, sample
from vbbench.models.videobooth.speed import apply_speed, approximate_of, speed_of
from vbbench.models.videobooth.unet import VideoUNet
from vbbench.types import PromptItem, SamplingParams, Video

FAITHFUL = "faithful"
PARTS = CONDITIONS, DENOISING, DECODING = "conditions", "denoising", "decoding"
"""Of a clip: texts and image prompts are encoded, noise becomes latents, latents become frames."""


def _nobody(part: str) -> None:
    """Nobody wants to know."""


class LatentVideoModel:
    """Samples a latent video network; children say under which conditions.

    Args:
        settings: one scale's table of recipe.toml; ``weights`` maps ``codec`` and ``base`` to names of weights, ``null_text`` is the
            text of guidance's other branch (default: the empty one), ``speed`` and ``approximate`` say how the UNet is evaluated
            (`vbbench.models.videobooth.speed`).
        device: ``cpu``, ``cuda``, or ``meta``: built without weights, to be looked at.

    Attributes:
        on_part: is called with each of `PARTS` as it begins.
    """

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        self.on_part: Callable[[str], None] = _nobody
        self.settings, self.device, self.scale = settings, device, str(settings["scale"])
        self.speed, self.approximate = speed_of(settings, device), approximate_of(settings)
        self.codec = load_codec(settings["weights"]["codec"], self.scale, device)
        self.network = self._load_network()
        apply_speed(self._base.unet, self.speed)

    def _load_network(self) -> TextToVideoNetwork:
        return load_network(self.settings["weights"]["base"], self.scale, self.device)

    @torch.inference_mode()
    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One video an item; see ``vbbench.models.base.VideoModel``."""
        self.on_part(CONDITIONS)
        return self._sample(items, params, self._denoiser(items, params))

    def _denoiser(self, items: Sequence[PromptItem], params: SamplingParams) -> Denoiser:
        return self._text_denoiser(self.network.encode_text([item.text for item in items]))

    def _text_denoiser(self, conditional_BLD: Tensor) -> Denoiser:
        """The network bound to text states, and to the null text's for guidance."""
        return self._bind(conditional_BLD)

    def _bind(self, conditional_BLD: Tensor, *, unet: VideoUNet | None = None, **conditions: Any) -> GuidedUNet:
        """The UNet (or another in its place) bound to text states, the null text's, and what else its conditional branch reads."""
        switches = {"speed": self.speed, "approximate": self.approximate, "graphed": self._graphed if unet is None else None}
        return GuidedUNet(unet or self._base.unet, conditional_BLD, self._null_text(), **switches, **conditions)

    def _null_text(self) -> Tensor:
        """Text states (1, L, D) of guidance's other branch."""
        return self._base.encode_text([self.settings.get("null_text", "")])

    @cached_property
    def _graphed(self) -> GraphedUNet:
        """CUDA graphs of the base's UNet, kept from clip to clip."""
        return GraphedUNet(self._base.unet)

    def _sample(self, items: Sequence[PromptItem], params: SamplingParams, denoise: Denoiser) -> list[Video]:
        """Denoise each item's own noise and decode it."""
        self.on_part(DENOISING)
        generators = [torch.Generator().manual_seed(item.seed) for item in items]
        noise = torch.cat([self._noise(generator, params) for generator in generators]).to(self.device)
        latents = sample(
            denoise,
            self._scheduler(params),
            noise,
            params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            generators=generators,  # drawn on from where the first noise ended: an ancestral step must not repeat it
        )
        self.on_part(DECODING)
        if not torch.isfinite(latents).all():
            raise InputError("sampling ended in numbers that are not finite")
        frames = to_uint8(self.codec.decode(latents)).cpu().numpy()
        return [Video(clip, params.fps) for clip in frames]

    def _scheduler(self, params: SamplingParams) -> Any:
        if params.scheduler == FAITHFUL:
            raise UsageError(
                "the scheduler 'faithful' repeats the released code's loop, for networks that predict noise on its linear schedule; "
                f"this one predicts {self._diffusion.prediction_type!r}; choose one of {', '.join(SCHEDULERS)}."
            )
        if params.scheduler not in SCHEDULERS:
            raise UsageError(f"there is no scheduler {params.scheduler!r}; there are {', '.join(SCHEDULERS)}.")
        diffusion = self._diffusion
        return make_scheduler(
            params.scheduler,
            prediction_type=diffusion.prediction_type,
            beta_schedule=diffusion.beta_schedule,
            beta_start=diffusion.beta_start,
            beta_end=diffusion.beta_end,
            num_train_timesteps=diffusion.num_train_timesteps,
            timestep_spacing="trailing",
        )

    @property
    def _base(self) -> TextToVideoNetwork:
        """The text-to-video network."""
        return self.network

    @property
    def _diffusion(self) -> DiffusionConfig:
        return self._base.config.diffusion

    def _noise(self, generator: torch.Generator, params: SamplingParams) -> Tensor:
        """(1, C, T, h, w), drawn on the CPU from the item's own generator."""
        side = params.size // self.codec.factor
        shape = (1, self.codec.latent_channels, params.num_frames, side, side)
        return video_noise(shape, self._diffusion.shared_noise, generator)


class TextToVideo(LatentVideoModel):
    """The base model: reads the text, never sees the image prompt."""
