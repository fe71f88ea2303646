"""What every latent video model shares: its noise, its sampling loop, its decoding.

B batch, C latent channels, T frames, h/w latent cells, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from vbbench.errors import RecipeError, UsageError
from vbbench.networks.codec import FrameCodec, to_uint8
from vbbench.networks.loading import META, load_codec, load_network
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.placement import Offload, apply_memory, memory_of, parts_of
from vbbench.networks.precision import dtype_of
from vbbench.networks.sampling.cuda_graph import GraphedUNet
from vbbench.networks.sampling.denoising import check_pixels, check_sampling, denoised
from vbbench.networks.sampling.diffusion import DiffusionConfig, video_noise
from vbbench.networks.sampling.guidance import Denoiser, GuidedUNet, ImagePromptAt
from vbbench.networks.sampling.speed import apply_speed, approximate_of, speed_of
from vbbench.networks.unet.unet import LocalPrompt, VideoUNet
from vbbench.types import PromptItem, SamplingParams, Video

PARTS = CONDITIONS, DENOISING, DECODING = "conditions", "denoising", "decoding"
"""Of a clip: texts and image prompts are encoded, noise becomes latents, latents become frames."""

OVERFLOW = "float16 ends at 65504: try bfloat16 (--dtype bfloat16, or dtype in the recipe)"


def _nobody(part: str) -> None:
    """Nobody wants to know."""


class LatentVideoModel:
    """Samples a latent video network; children say under which conditions.

    Args:
        settings: one scale's table of recipe.toml; ``weights`` maps ``codec`` and ``base`` to names
            of weights, ``null_text`` is the text of guidance's other branch (default: the empty
            one), ``speed`` and ``approximate`` say how the UNet is evaluated
            (`vbbench.networks.sampling.speed`), ``dtype`` in which numbers
            (`vbbench.networks.precision`), ``memory`` what is spared on small devices
            (`vbbench.networks.placement`).
        device: ``cpu``, ``cuda``, or ``meta``: built without weights, to be looked at.

    Attributes:
        network: what the class samples with.
        codec: between frames and latents.
        on_part: is called with each of `PARTS` as it begins.
    """

    network: nn.Module
    codec: FrameCodec
    _offload: Offload | None

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        self._take_settings(settings, device)
        self.codec = load_codec(settings["weights"]["codec"], self.scale, self._home, torch.float32)
        self.network = self._load_network()
        apply_speed(self.base.unet, self.speed)
        apply_memory(self.codec, self.memory)
        if self.memory.offload:
            self.base.works_on = torch.device(device)
            parts = parts_of(self.network, self.base, self.codec)
            self._offload = Offload(parts, lambda tensor: tensor.to(device))

    def _take_settings(self, settings: Mapping[str, Any], device: str) -> None:
        """What a model knows before it has a network."""
        self.on_part: Callable[[str], None] = _nobody
        self.settings, self.device, self.scale = settings, device, str(settings["scale"])
        self._offload = None
        self.speed, self.approximate = speed_of(settings, device), approximate_of(settings)
        self.dtype, self.memory = dtype_of(settings), memory_of(settings, self.speed)
        if hasattr(self, "fit") and (self.dtype != torch.float32 or self.memory.offload):
            raise RecipeError(
                "a model that is fitted can be neither offloaded nor of another dtype than "
                f"float32: [scales.{self.scale}]."
            )

    @property
    def base(self) -> TextToVideoNetwork:
        """The text-to-video network; a model around more than that overrides it."""
        return cast(TextToVideoNetwork, self.network)

    @property
    def diffusion(self) -> DiffusionConfig:
        """The diffusion process that the network was trained with."""
        return self.base.config.diffusion

    @property
    def _home(self) -> str:
        """Where weights are when they do not work."""
        return "cpu" if self.memory.offload and self.device != META else self.device

    @classmethod
    def around(
        cls, network: nn.Module, codec: FrameCodec, settings: Mapping[str, Any], *, device: str
    ) -> Self:
        """A model around a network that is in memory, for samples in the middle of training; reads
        no weights.

        The network is evaluated as it is, in whatever mode it is, and stays so: of the ``speed``
        table only what is up to the sampling around it counts. What would change modules
        (``fused_qkv``, ``attention``, ``channels_last``, ``compiled``, the table ``memory``) is
        left alone, and nothing is kept that other weights made (``image_cache_mb``,
        ``cuda_graph``), so that one model may go on sampling while its network learns. The
        network's own dtype counts, not ``settings["dtype"]``.

        Args:
            network: what this class samples with; on ``device``.
            codec: on ``device``.
            settings: one scale's table of recipe.toml, with ``scale``; needs no ``weights``.
            device: ``cpu`` or ``cuda``.
        """
        model = cls.__new__(cls)
        model._take_settings(settings, device)
        model.speed = replace(model.speed, image_cache_mb=0.0, cuda_graph=False)
        model.codec, model.network = codec, network
        return model

    def _load_network(self) -> nn.Module:
        return load_network(self.settings["weights"]["base"], self.scale, self._home, self.dtype)

    @torch.inference_mode()
    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One video an item; see ``vbbench.models.base.VideoModel``."""
        self.check_params(params)
        self.on_part(CONDITIONS)
        with self._offload.session() if self._offload is not None else nullcontext():
            return self.sample_with(items, params, self.denoiser(items, params))

    def check_params(self, params: SamplingParams) -> None:
        """Checks that the network can be sampled with these parameters.

        Raises:
            UsageError: steps or a scheduler that its process does not have, or more frames than it
                knows places in time.
        """
        check_sampling(params, self.diffusion)
        config = self.base.unet.config
        most = min(
            (codes for codes in (config.frame_codes, config.temporal_codes) if codes),
            default=params.num_frames,
        )
        if params.num_frames > most:
            raise UsageError(f"this network knows {most} frames at most, not {params.num_frames}.")

    def denoiser(self, items: Sequence[PromptItem], params: SamplingParams) -> Denoiser:
        """The network bound to what items ask for; children override it.

        Args:
            items: B prompt items.
            params: how they are sampled.
        Raises:
            InputError: words that the text encoder does not know, or an image prompt that cannot
                be read.
        """
        return self.text_denoiser(self.base.encode_text([item.text for item in items]))

    def text_denoiser(self, conditional_BLD: Tensor) -> Denoiser:
        """The network bound to text states alone, and to the null text's for guidance.

        Args:
            conditional_BLD: one row a video, as `TextToVideoNetwork.encode_text` makes them.
        """
        return self.bind(conditional_BLD)

    def bind(
        self,
        conditional_BLD: Tensor,
        *,
        unet: VideoUNet | None = None,
        image: ImagePromptAt | None = None,
        local: LocalPrompt | None = None,
    ) -> GuidedUNet:
        """The UNet bound to its conditions; guidance's other branch reads the null text alone.

        Args:
            conditional_BLD: text states, one row a video.
            unet: evaluated in the place of the base's own (a fitted copy); None: the base's.
            image: image prompts of the B videos at each timestep; None: there are none.
            local: ELITE's local prompt of the B videos; None: there is none.
        """
        return GuidedUNet(
            unet or self.base.unet,
            conditional_BLD,
            self.null_text(),
            image=image,
            local=local,
            speed=self.speed,
            approximate=self.approximate,
            graphed=self._graphed if unet is None else None,
        )

    def null_text(self) -> Tensor:
        """Text states (1, L, D) of guidance's other branch."""
        return self.base.encode_text([self.settings.get("null_text", "")])

    @cached_property
    def _graphed(self) -> GraphedUNet:
        """CUDA graphs of the base's UNet, kept from clip to clip."""
        return GraphedUNet(self.base.unet)

    def sample_with(
        self, items: Sequence[PromptItem], params: SamplingParams, denoise: Denoiser
    ) -> list[Video]:
        """One video an item: its own noise is denoised and decoded.

        Args:
            items: B prompt items, each with its seed.
            params: frames, size in pixels, steps, guidance scale, scheduler, frames a second.
            denoise: the network with the conditions of these B items bound.
        Returns:
            Videos with uint8 frames (T, H, W, 3).
        Raises:
            UsageError: see `check_params`.
            InputError: latents or frames that are not finite; the message names the item.
        """
        self.check_params(params)
        self.on_part(DENOISING)
        generators = [torch.Generator().manual_seed(item.seed) for item in items]
        noise = torch.cat([self.noise(generator, params) for generator in generators]).to(
            self.device
        )
        latents = denoised(
            denoise,
            noise,
            items,
            params,
            self.diffusion,
            generators,
            hint=OVERFLOW if self.dtype == torch.float16 else "",
        )
        self.on_part(DECODING)
        pixels = self.codec.decode(latents)
        check_pixels(pixels, items)
        return [Video(clip, params.fps) for clip in to_uint8(pixels).cpu().numpy()]

    def noise(self, generator: torch.Generator, params: SamplingParams) -> Tensor:
        """(1, C, T, h, w), drawn on the CPU from the item's own generator."""
        side = params.size // self.codec.factor
        shape = (1, self.codec.latent_channels, params.num_frames, side, side)
        return video_noise(shape, self.diffusion.shared_noise, generator)
