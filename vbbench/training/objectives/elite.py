"""ELITE's two stages on the frozen base: the global mapping (mapper, text K, V), then the local one (local mapper, local K, V).

Batches, noise levels and loss are VideoBooth's. B batch, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.models.codec import to_unit
from vbbench.models.diffusion import add_noise, video_noise
from vbbench.models.elite.loading import load_elite
from vbbench.models.elite.network import GLOBAL, LOCAL, EliteNetwork
from vbbench.models.image_encoder import mirrored
from vbbench.models.loading import differences, load_codec
from vbbench.models.videobooth.unet import LocalPrompt
from vbbench.training.data import Split, TrainingData
from vbbench.training.objectives.base import cell_weights, weighted_error
from vbbench.training.objectives.videobooth import EMBEDDING_PENALTY, _Stage
from vbbench.training.settings import TrainSettings
from vbbench.world import CLASSES

VALUE_PENALTY = 1e-4  # times the mean absolute local value (the paper's lambda_local)


class _EliteStage(_Stage):
    """What both stages share."""

    def __init__(self, data: TrainingData, *, seed: int, device: str, start_from: str | None = None) -> None:
        self.data, self.device = data, device
        self.codec = load_codec("codec").to(device)
        self.module: EliteNetwork = load_elite(self.stage, "base", "image-encoder", start_from).to(device)
        for _, parameter in self.module.trained():
            parameter.requires_grad_(True)
        self.diffusion = self.module.base.config.diffusion
        self.alphas = self.diffusion.alphas_cumprod().to(device)

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
        """The loss on ``rows`` of stills or clips, conditioned on image prompts of ``prompt_subjects``, and what is kept small."""
        pictures = self._pictures(split, use_clips)
        frames, masks = pictures.frames[rows], pictures.masks[rows]
        if not use_clips:
            frames, masks = frames[:, None], masks[:, None]
        prompts, foreground = self._image_prompts(split, split.rows_of("prompts", prompt_subjects, rng), generator)
        latents = self._encode(to_unit(torch.from_numpy(frames).to(self.device)))
        timesteps = timesteps.to(self.device)
        alpha_bar = self.alphas[timesteps]
        noise = video_noise(tuple(latents.shape), self.diffusion.shared_noise, generator).to(self.device)
        text, local, small = self._null_text(module, len(rows)), None, None
        if conditional or self.stage == LOCAL:  # the local stage trains nothing that is used without an image prompt
            words = [CLASSES[split.class_index[pictures.subject[row]]] for row in rows]
            text, local, small = self._conditions(module, prompts, foreground, split.captions(pictures, rows, rng), words)
        index = self._frame_index(pictures, rows, use_clips)
        noisy = add_noise(latents, noise, alpha_bar)
        prediction = module.base.unet(noisy, timesteps, text, frame_index_BT=index, local_prompt=local)
        weights = cell_weights(masks, self.codec.factor).to(self.device)
        return weighted_error(prediction, latents, weights, (1.0 - alpha_bar).sqrt()), small

    def _image_prompts(self, split: Split, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Image prompts in [-1, 1] and where they show their subjects, some of them mirrored."""
        pixels = to_unit(torch.from_numpy(split.prompts.frames[rows]).to(self.device))
        foreground = torch.from_numpy(split.prompts.masks[rows] > 0).to(pixels)
        both = mirrored(torch.cat([pixels, foreground[:, None]], dim=1), generator)
        return both[:, :3], both[:, 3]

    def _conditions(
        self, module: nn.Module, prompts: Tensor, foreground: Tensor, texts: Sequence[str], words: Sequence[str]
    ) -> tuple[Tensor, LocalPrompt | None, Tensor]:
        """Text states, what the local attention reads, and what the penalty of `loss` is for."""
        raise NotImplementedError

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that this stage and the one before trained: of the base's parameters the differences."""
        untrained = load_elite(self.stage, "base", "image-encoder", None)
        return differences(module, untrained, {name for name, _ in module.shipped()}), {"stage": self.stage, "differences": True}


class Global(_EliteStage):
    """Stage 1: image prompts as words. All of them are used in training, the primary one alone in validation, as in sampling."""

    stage, name, clip_share = GLOBAL, "elite-global", 0.3
    settings = TrainSettings(lr=1e-3, steps=900, validate_every=450)
    all_words = True

    def _conditions(
        self, module: nn.Module, prompts: Tensor, foreground: Tensor, texts: Sequence[str], words: Sequence[str]
    ) -> tuple[Tensor, LocalPrompt | None, Tensor]:
        embeddings = module.words(module.encode_image(prompts))
        used = embeddings if self.all_words else embeddings[:, :1]
        return module.encode_text(texts, words, used), None, embeddings

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """As VideoBooth's, on the words that videos are sampled with."""
        self.all_words = False
        try:
            return super().validate(module)
        finally:
            self.all_words = True


class Local(_EliteStage):
    """Stage 2: the subject's patches as keys and values of the text attention, beside the primary word of stage 1."""

    stage, name, clip_share = LOCAL, "elite", 0.5
    settings = TrainSettings(lr=1e-3, steps=900, validate_every=450)

    def _conditions(
        self, module: nn.Module, prompts: Tensor, foreground: Tensor, texts: Sequence[str], words: Sequence[str]
    ) -> tuple[Tensor, LocalPrompt | None, Tensor]:
        states = module.encode_image(prompts)
        local = module.local_prompt(states, foreground, texts, words)
        values = [layer.to_v_local(local.features_BMD).abs().mean() for layer in module.base.unet.text_attentions()]
        # `loss` weighs what it is given as it does embeddings.
        return (
            module.encode_text(texts, words, module.primary_word(states)),
            local,
            torch.stack(values) * (VALUE_PENALTY / EMBEDDING_PENALTY),
        )
