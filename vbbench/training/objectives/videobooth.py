"""VideoBooth's two stages on the frozen base: coarse (mapper, text K, V), then fine (also the
cross-frame K, V and the image prompt's).

And the paper's ablations of them (Table 2 and section 3.3): the fine path alone, both paths from
the start, a clean image prompt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vbbench.networks.loading import load_videobooth
from vbbench.networks.sampling.diffusion import add_noise
from vbbench.networks.unet.unet import ImagePromptInput
from vbbench.networks.videobooth import COARSE, FINE, FINE_ONLY, VideoBoothNetwork
from vbbench.training.objectives.stage import Asked, Stage
from vbbench.training.settings import TrainSettings


class _VideoBooth(Stage):
    """What all its stages share."""

    noises_image_prompt = True

    def load(self, weights: str | None) -> VideoBoothNetwork:
        """On the base."""
        return load_videobooth(
            self.stage,
            "base",
            "image-encoder",
            weights,
            noises_image_prompt=self.noises_image_prompt,
        )

    def conditions(
        self, module: VideoBoothNetwork, asked: Asked, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Any], Tensor | None]:
        """The image prompt as words, and in the fine path as injected keys and values."""
        image = self.image_prompt(asked, generator)
        embeddings = module.embed_image(asked.prompts_B3HW)
        return (
            module.encode_text(asked.texts, asked.words, embeddings),
            {"image_prompt": image},
            embeddings,
        )

    def image_prompt(self, asked: Asked, generator: torch.Generator) -> ImagePromptInput | None:
        """The image prompt noised to the video's timestep, or clean; None without a fine path."""
        if self.stage == COARSE:
            return None
        latents = self.encode(asked.prompts_B3HW[:, None])
        if not self.noises_image_prompt:
            return ImagePromptInput(
                latents, torch.zeros_like(asked.timesteps_B), asked.null_text_BLD
            )
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        return ImagePromptInput(
            add_noise(latents, noise, asked.alpha_bar_B), asked.timesteps_B, asked.null_text_BLD
        )

    def shipped(self, module: VideoBoothNetwork) -> set[str]:
        """Each stage trains what the one before did, and more."""
        return {name for name, _ in module.trained()}

    @property
    def config(self) -> dict[str, Any]:
        """Also whether the image prompt is noised."""
        return {**super().config, "noises_image_prompt": self.noises_image_prompt}


COARSE_STEPS, SHORT_STEPS, ABLATION_STEPS = 1800, (720, 1080), 1800
"""The ablations and what they are held against have equal steps: coarse alone, fine alone, both at
once, and short coarse to fine."""


class Coarse(_VideoBooth):
    """Stage 1: image prompts as words."""

    stage, name, clip_share = COARSE, "videobooth-coarse", 0.3
    settings = TrainSettings(lr=1e-3, steps=COARSE_STEPS, validate_every=450)


class Fine(_VideoBooth):
    """Stage 2: image prompts as injected keys and values, from stage 1 on."""

    stage, name, clip_share = FINE, "videobooth", 0.5
    settings = TrainSettings(lr=1e-3, steps=4500, validate_every=900)


class ShortCoarse(Coarse):
    """Stage 1 of a coarse-to-fine training that has as many steps as each ablation."""

    name = "videobooth-short-coarse"
    settings = TrainSettings(lr=1e-3, steps=SHORT_STEPS[0], validate_every=450)


class ShortFine(Fine):
    """Stage 2 of it."""

    name = "videobooth-short"
    settings = TrainSettings(lr=1e-3, steps=SHORT_STEPS[1], validate_every=900)


class FineOnly(_VideoBooth):
    """Ablation: injection without image prompts as words."""

    stage, name, clip_share = FINE_ONLY, "videobooth-fine", 0.5
    settings = TrainSettings(lr=1e-3, steps=ABLATION_STEPS, validate_every=900)


class Joint(_VideoBooth):
    """Ablation: both paths from the first step on."""

    stage, name, clip_share = FINE, "videobooth-joint", 0.5
    settings = TrainSettings(lr=1e-3, steps=ABLATION_STEPS, validate_every=900)


class CleanPrompt(ShortFine):
    """Ablation: stage 2 with an image prompt that does not carry the video's noise."""

    name, noises_image_prompt = "videobooth-clean-prompt", False
