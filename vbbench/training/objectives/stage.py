"""What trainings on a frozen base share: batches of stills or clips beside image prompts of the
same individuals in other poses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.data.world import CLASSES
from vbbench.data.world.pictures import Pictures, Split, TrainingData
from vbbench.networks.codec import to_unit
from vbbench.networks.elite import EliteNetwork
from vbbench.networks.image_encoder import mirrored
from vbbench.networks.loading import differences, load_codec
from vbbench.networks.sampling.diffusion import add_noise, video_noise
from vbbench.networks.videobooth import VideoBoothNetwork
from vbbench.training.objectives.base import (
    CLIP_NOISE,
    STILL_NOISE,
    cell_weights,
    sample_timesteps,
    weighted_error,
)
from vbbench.training.settings import TrainSettings

STILLS, CLIPS = 24, 3
DROP = 0.1  # steps without text and image prompt
EMBEDDING_PENALTY = 0.01  # times the mean absolute value of the mapped embeddings (released code)


@dataclass(frozen=True)
class Asked:
    """What a batch of videos is to show. B videos.

    Attributes:
        prompts_B3HW: image prompts in [-1, 1].
        foreground_BHW: 1 where they show their subjects, else 0.
        texts, words: text prompts, and the subject word in each.
        timesteps_B, alpha_bar_B: how far the videos are noised.
        null_text_BLD: states of the empty text.
    """

    prompts_B3HW: Tensor
    foreground_BHW: Tensor
    texts: Sequence[str]
    words: Sequence[str]
    timesteps_B: Tensor
    alpha_bar_B: Tensor
    null_text_BLD: Tensor


class Stage(ABC):
    """One stage of a method that reads image prompts; children say what they load and what the base
    is conditioned on.

    Args:
        start_from: name of the weights of an earlier stage that this one goes on from; None: from
            the base.
    """

    stage: str
    name: str
    settings: TrainSettings
    clip_share: float
    may_drop = True
    """Whether some steps are without text and image prompt."""

    def __init__(
        self, data: TrainingData, *, seed: int, device: str, start_from: str | None = None
    ) -> None:
        self.data, self.device = data, device
        self.codec = load_codec("codec").to(device)
        self.module = self.load(start_from).to(device)
        for _, parameter in self.module.trained():
            parameter.requires_grad_(True)
        self.diffusion = self.module.base.config.diffusion
        self.alphas = self.diffusion.alphas_cumprod().to(device)

    @abstractmethod
    def load(self, weights: str | None) -> VideoBoothNetwork | EliteNetwork:
        """The network, with weights of an earlier stage in it."""

    @abstractmethod
    def conditions(
        self, module: Any, asked: Asked, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Any], Tensor | None]:
        """Text states, further arguments of the UNet, and what the penalty of `loss` is for."""

    @abstractmethod
    def shipped(self, module: Any) -> set[str]:
        """Names of the parameters that this stage and those before it trained."""

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds the network."""
        return {"stage": self.stage, "differences": True}

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Denoising loss of one batch, and a penalty that keeps embeddings small."""
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        use_clips = rng.random() < self.clip_share
        rows = rng.integers(
            len(self._pictures(self.data.train, use_clips)), size=CLIPS if use_clips else STILLS
        )
        subjects = self._pictures(self.data.train, use_clips).subject[rows]
        timesteps = sample_timesteps(len(rows), CLIP_NOISE if use_clips else STILL_NOISE, rng)
        conditional = rng.random() >= DROP or not self.may_drop
        error, small = self._denoise(
            self.module,
            self.data.train,
            use_clips,
            rows,
            subjects,
            timesteps,
            rng,
            generator,
            conditional,
        )
        penalty = small.abs().mean() if small is not None else error.new_zeros(())
        return error + EMBEDDING_PENALTY * penalty, {
            "clips" if use_clips else "stills": error.detach(),
            "embedding": penalty.detach(),
        }

    def _denoise(
        self,
        module: Any,
        split: Split,
        use_clips: bool,
        rows: np.ndarray,
        prompt_subjects: np.ndarray,
        timesteps: Tensor,
        rng: np.random.Generator,
        generator: torch.Generator,
        conditional: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """The loss on ``rows`` of stills or clips, conditioned on image prompts of
        ``prompt_subjects``, and what is kept small."""
        pictures = self._pictures(split, use_clips)
        frames, masks = pictures.frames[rows], pictures.masks[rows]
        if not use_clips:
            frames, masks = frames[:, None], masks[:, None]
        prompts, foreground = self._image_prompts(
            split, split.rows_of("prompts", prompt_subjects, rng), generator
        )
        latents = self.encode(to_unit(torch.from_numpy(frames).to(self.device)))
        timesteps = timesteps.to(self.device)
        alpha_bar = self.alphas[timesteps]
        noise = video_noise(tuple(latents.shape), self.diffusion.shared_noise, generator).to(
            self.device
        )
        text = module.base.encode_text([""]).expand(len(rows), -1, -1)
        more: dict[str, Any] = {}
        small: Tensor | None = None
        if conditional:
            words = [CLASSES[split.class_index[pictures.subject[row]]] for row in rows]
            asked = Asked(
                prompts,
                foreground,
                split.captions(pictures, rows, rng),
                words,
                timesteps,
                alpha_bar,
                text,
            )
            text, more, small = self.conditions(module, asked, generator)
        index = self._frame_index(pictures, rows, use_clips)
        prediction = module.base.unet(
            add_noise(latents, noise, alpha_bar), timesteps, text, frame_index_BT=index, **more
        )
        weights = cell_weights(masks, self.codec.factor).to(self.device)
        return weighted_error(prediction, latents, weights, (1.0 - alpha_bar).sqrt()), small

    def _image_prompts(
        self, split: Split, rows: np.ndarray, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Image prompts in [-1, 1] and where they show their subjects, some of them mirrored."""
        pixels = to_unit(torch.from_numpy(split.prompts.frames[rows]).to(self.device))
        foreground = torch.from_numpy(split.prompts.masks[rows] > 0).to(pixels)
        both = mirrored(torch.cat([pixels, foreground[:, None]], dim=1), generator)
        return both[:, :3], both[:, 3]

    def _pictures(self, split: Split, use_clips: bool) -> Pictures:
        return split.clips if use_clips else split.stills

    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Latents, in float32 whatever the loss is computed in."""
        with torch.autocast(self.device.split(":")[0], enabled=False):
            return self.codec.encode(pixels_BTCHW)

    def _frame_index(self, pictures: Pictures, rows: np.ndarray, use_clips: bool) -> Tensor:
        if use_clips:
            return torch.arange(pictures.frames.shape[1], device=self.device).expand(len(rows), -1)
        return torch.from_numpy(pictures.frame[rows])[:, None].to(self.device)

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """Loss on validation individuals with the right image prompt, and how much worse it is with
        another individual's of the class."""
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
                            module,
                            split,
                            use_clips,
                            rows,
                            s,
                            timesteps,
                            np.random.default_rng(1),
                            torch.Generator().manual_seed(1),
                        )[0]
                    )
                    for s in (subjects, others)
                )
                key = f"{'clips' if use_clips else 'stills'}_{level}"
                figures[f"val_{key}"], figures[f"val_{key}_wrong_minus_right"] = (
                    right,
                    wrong - right,
                )
        return figures

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that this stage and those before it trained: of the base's parameters the
        differences."""
        return differences(module, self.load(None), self.shipped(module)), self.config
