"""VideoBooth's two stages on the frozen base: coarse (mapper, text K, V), then fine (also the cross-frame K, V and the image prompt's).

And the paper's ablations of them (Table 2 and section 3.3): the fine path alone, both paths from the start, a clean image prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.models.codec import to_unit
from vbbench.models.diffusion import add_noise, video_noise
from vbbench.models.image_encoder import mirrored
from vbbench.models.loading import differences, load_codec, load_videobooth
from vbbench.models.videobooth.network import COARSE, FINE, FINE_ONLY
from vbbench.models.videobooth.unet import ImagePromptInput
from vbbench.training.data import Pictures, Split, TrainingData
from vbbench.training.objectives.base import CLIP_NOISE, STILL_NOISE, cell_weights, sample_timesteps, weighted_error
from vbbench.training.settings import TrainSettings
from vbbench.world import CLASSES

STILLS, CLIPS = 24, 3
DROP = 0.1  # steps without text and image prompt
EMBEDDING_PENALTY = 0.01  # times the mean absolute value of the mapped embeddings (released code)


class _Stage:
    """What all stages share; B batch, T frames.

    Args:
        start_from: name of the weights of an earlier stage that this one goes on from; None: from the base.
    """

    stage: str
    name: str
    settings: TrainSettings
    clip_share: float
    noises_image_prompt = True

    def __init__(self, data: TrainingData, *, seed: int, device: str, start_from: str | None = None) -> None:
        self.data, self.device = data, device
        self.codec = load_codec("codec").to(device)
        self.module = load_videobooth(self.stage, "base", "image-encoder", start_from, noises_image_prompt=self.noises_image_prompt).to(
            device
        )
        for _, parameter in self.module.trained():
            parameter.requires_grad_(True)
        self.diffusion = self.module.base.config.diffusion
        self.alphas = self.diffusion.alphas_cumprod().to(device)

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Denoising loss of one batch of stills or clips beside image prompts of the same individuals in other poses."""
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        use_clips = rng.random() < self.clip_share
        rows = self._rows(self.data.train, use_clips, CLIPS if use_clips else STILLS, rng)
        subjects = self._pictures(self.data.train, use_clips).subject[rows]
        timesteps = sample_timesteps(len(rows), CLIP_NOISE if use_clips else STILL_NOISE, rng)
        conditional = rng.random() >= DROP
        error, embeddings = self._denoise(self.module, self.data.train, use_clips, rows, subjects, timesteps, rng, generator, conditional)
        penalty = embeddings.abs().mean() if embeddings is not None else error.new_zeros(())
        return error + EMBEDDING_PENALTY * penalty, {"clips" if use_clips else "stills": error.detach(), "embedding": penalty.detach()}

    def _pictures(self, split: Split, use_clips: bool) -> Pictures:
        return split.clips if use_clips else split.stills

    def _rows(self, split: Split, use_clips: bool, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(len(self._pictures(split, use_clips)), size=count)

    def _denoise(
        self,
        module: nn.Module,
        split: Split,
        use_clips: bool,
        rows: np.ndarray,
        prompt_subjects: np.ndarray,
        timesteps: Tensor,
        rng: np.random.Generator,
        generator: torch.Generator,
        conditional: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """The loss on ``rows`` of stills or clips, conditioned on image prompts of ``prompt_subjects``, and the mapped embeddings."""
        pictures = self._pictures(split, use_clips)
        frames, masks = pictures.frames[rows], pictures.masks[rows]
        if not use_clips:
            frames, masks = frames[:, None], masks[:, None]
        prompts = to_unit(torch.from_numpy(split.prompts.frames[split.rows_of("prompts", prompt_subjects, rng)]).to(self.device))
        prompts = mirrored(prompts, generator)
        latents, image_latents = self._encode(to_unit(torch.from_numpy(frames).to(self.device))), self._encode(prompts[:, None])
        timesteps = timesteps.to(self.device)
        alpha_bar = self.alphas[timesteps]
        noise = video_noise(tuple(latents.shape), self.diffusion.shared_noise, generator).to(self.device)
        embeddings, image, text = None, None, self._null_text(module, len(rows))
        if conditional:
            image = self._image_prompt(image_latents, timesteps, alpha_bar, text, generator)
            embeddings = module.embed_image(prompts)
            words = [CLASSES[split.class_index[pictures.subject[row]]] for row in rows]
            text = module.encode_text(split.captions(pictures, rows, rng), words, embeddings)
        index = self._frame_index(pictures, rows, use_clips)
        prediction = module.base.unet(add_noise(latents, noise, alpha_bar), timesteps, text, image_prompt=image, frame_index_BT=index)
        weights = cell_weights(masks, self.codec.factor).to(self.device)
        return weighted_error(prediction, latents, weights, (1.0 - alpha_bar).sqrt()), embeddings

    def _encode(self, pixels_BTCHW: Tensor) -> Tensor:
        with torch.autocast(self.device.split(":")[0], enabled=False):
            return self.codec.encode(pixels_BTCHW)

    def _null_text(self, module: nn.Module, count: int) -> Tensor:
        return module.base.encode_text([""]).expand(count, -1, -1)

    def _frame_index(self, pictures: Pictures, rows: np.ndarray, use_clips: bool) -> Tensor:
        if use_clips:
            return torch.arange(pictures.frames.shape[1], device=self.device).expand(len(rows), -1)
        return torch.from_numpy(pictures.frame[rows])[:, None].to(self.device)

    def _image_prompt(
        self, latents: Tensor, timesteps: Tensor, alpha_bar: Tensor, null_text: Tensor, generator: torch.Generator
    ) -> ImagePromptInput | None:
        """The image prompt noised to the video's timestep, or clean; None without a fine path."""
        if self.stage == COARSE:
            return None
        if not self.noises_image_prompt:
            return ImagePromptInput(latents, torch.zeros_like(timesteps), null_text)
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        return ImagePromptInput(add_noise(latents, noise, alpha_bar), timesteps, null_text)

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """Loss on validation individuals with the right image prompt, and how much worse it is with another individual's of the class."""
        split, figures = self.data.val, {}
        for use_clips, count in ((False, 48), (True, 9)):
            rows = np.linspace(0, len(self._pictures(split, use_clips)) - 1, count).astype(np.int64)
            subjects = self._pictures(split, use_clips).subject[rows]
            per_class = split.counts.individuals
            others = subjects // per_class * per_class + (subjects + 1) % per_class
            for level in (500, 850):
                timesteps = torch.full((count,), level)
                right, wrong = (
                    float(
                        self._denoise(
                            module, split, use_clips, rows, s, timesteps, np.random.default_rng(1), torch.Generator().manual_seed(1)
                        )[0]
                    )
                    for s in (subjects, others)
                )
                key = f"{'clips' if use_clips else 'stills'}_{level}"
                figures[f"val_{key}"], figures[f"val_{key}_wrong_minus_right"] = right, wrong - right
        return figures

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Only what was trained: of the base's parameters the differences."""
        untrained = load_videobooth(self.stage, "base", "image-encoder", None)
        config = {"stage": self.stage, "noises_image_prompt": self.noises_image_prompt, "differences": True}
        return differences(module, untrained, {name for name, _ in module.trained()}), config


COARSE_STEPS, SHORT_STEPS, ABLATION_STEPS = 1800, (720, 1080), 1800
"""The ablations and what they are held against have equal steps: coarse alone, fine alone, both at once, and short coarse to fine."""


class Coarse(_Stage):
    """Stage 1: image prompts as words."""

    stage, name, clip_share = COARSE, "videobooth-coarse", 0.3
    settings = TrainSettings(lr=1e-3, steps=COARSE_STEPS, validate_every=450)


class Fine(_Stage):
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


class FineOnly(_Stage):
    """Ablation: injection without image prompts as words."""

    stage, name, clip_share = FINE_ONLY, "videobooth-fine", 0.5
    settings = TrainSettings(lr=1e-3, steps=ABLATION_STEPS, validate_every=900)


class Joint(_Stage):
    """Ablation: both paths from the first step on."""

    stage, name, clip_share = FINE, "videobooth-joint", 0.5
    settings = TrainSettings(lr=1e-3, steps=ABLATION_STEPS, validate_every=900)


class CleanPrompt(ShortFine):
    """Ablation: stage 2 with an image prompt that does not carry the video's noise."""

    name, noises_image_prompt = "videobooth-clean-prompt", False
