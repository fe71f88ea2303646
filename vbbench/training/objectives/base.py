"""The text-to-video base: denoise stills and clips of the miniature world from their captions.

B batch, T frames, C latent channels, h/w latent cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.data.world import MOTIONS, SCENES, VOCABULARY, rich_caption
from vbbench.data.world.captions import article
from vbbench.data.world.pictures import Pictures, Split, TrainingData
from vbbench.networks.codec import to_unit
from vbbench.networks.loading import load_codec
from vbbench.networks.network import TextToVideoNetwork, mini_config
from vbbench.networks.sampling.diffusion import add_noise, video_noise
from vbbench.training.settings import TrainSettings

STILLS, PROMPTS, CLIPS = 28, 4, 4  # a step has 28 stills + 4 image prompts, or 4 clips
STILLS_ONLY = 0.25  # first share of the training, without clips
CLIP_SHARE = 0.75  # of the steps after that
TEXT_DROP = 0.1
STILL_NOISE, CLIP_NOISE = 0.8, 1.2  # means of `sample_timesteps`
RICH_FROM, RICH_SHARE = (
    0.5,
    0.5,
)  # from this share of the training on, this share of captions tells all colours and the marking
# of the others say the subject word three times: that is where three embeddings will be injected
REPEAT_SUBJECT = 0.5
SUBJECT_WEIGHT = 1.5  # a latent cell covered by the subject weighs 1 + this
SIGMA_FLOOR = 0.3  # of the loss weight 1 / max(sigma, floor) ** 2


def repeated(text: str, word: str, times: int = 3) -> str:
    """The text with ``word`` said ``times`` times where it first stands."""
    return text.replace(word, " ".join([word] * times), 1)


def sample_timesteps(
    count: int, mean: float, rng: np.random.Generator, steps: int = 1000
) -> Tensor:
    """(count,) whole timesteps, logit-normal.

    A cell's mean colour is the largest of its latent components by far, so which colours a subject
    has is settled while the noise is still very strong: a tenth of the draws must lie in the last
    twentieth of the steps, or cells and frames choose apart.
    """
    u = 1.0 / (1.0 + np.exp(-rng.normal(mean, 1.3, count)))
    return torch.from_numpy(np.minimum(u * steps, steps - 1).astype(np.int64))


def cell_weights(masks_BTHW: np.ndarray, cell: int) -> Tensor:
    """(B, 1, T, h, w): 1 + SUBJECT_WEIGHT times the share of the cell that the subject covers."""
    b, t, height, width = masks_BTHW.shape
    cover = (
        (masks_BTHW > 0)
        .reshape(b, t, height // cell, cell, width // cell, cell)
        .mean((3, 5), dtype=np.float32)
    )
    return 1.0 + SUBJECT_WEIGHT * torch.from_numpy(cover)[:, None]


def weighted_error(prediction: Tensor, target: Tensor, weights: Tensor, sigma_B: Tensor) -> Tensor:
    """Mean over the batch of the weighted squared error of x-prediction, counted as v-prediction's:
    divided by max(sigma, 0.3) ** 2."""
    error = ((prediction.float() - target).square() * weights).mean((1, 2, 3, 4)) / weights.mean(
        (1, 2, 3, 4)
    )
    return (error / sigma_B.clamp_min(SIGMA_FLOOR).square()).mean()


class Base:
    """Text-to-video from nothing."""

    name = "base"
    settings = TrainSettings(lr=1.6e-3, steps=8200, decay_from=0.6, validate_every=1000)

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.device = data, device
        self.codec = load_codec("codec").to(device)
        self.config = mini_config(VOCABULARY, self.codec.latent_channels)
        self.module = TextToVideoNetwork(self.config).to(device)
        self.alphas = self.config.diffusion.alphas_cumprod().to(device)

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Denoising loss of one batch of stills or of clips."""
        rng = np.random.default_rng(seed)
        use_clips = step >= STILLS_ONLY * self.settings.steps and rng.random() < CLIP_SHARE
        rich = RICH_SHARE if step >= RICH_FROM * self.settings.steps else 0.0
        latents, weights, texts, frames = (
            self._clips(rng, rich=rich) if use_clips else self._stills(rng, rich=rich)
        )
        texts = ["" if rng.random() < TEXT_DROP else text for text in texts]
        timesteps = sample_timesteps(
            len(latents), CLIP_NOISE if use_clips else STILL_NOISE, rng
        ).to(self.device)
        loss = self._denoise(
            self.module,
            latents,
            weights,
            texts,
            frames,
            timesteps,
            torch.Generator().manual_seed(seed),
        )
        return loss, {"clips" if use_clips else "stills": loss.detach()}

    def _denoise(
        self,
        module: TextToVideoNetwork,
        latents: Tensor,
        weights: Tensor,
        texts: Sequence[str],
        frames: Tensor,
        timesteps: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        noise = video_noise(tuple(latents.shape), self.config.diffusion.shared_noise, generator).to(
            self.device
        )
        alpha_bar = self.alphas[timesteps]
        noisy = add_noise(latents, noise, alpha_bar)
        prediction = module.unet(noisy, timesteps, module.encode_text(texts), frame_index_BT=frames)
        return weighted_error(prediction, latents, weights, (1.0 - alpha_bar).sqrt())

    def _stills(
        self, rng: np.random.Generator, split: Split | None = None, *, rich: float = 0.0
    ) -> tuple[Tensor, Tensor, list[str], Tensor]:
        """Single frames with their place in the clip, and a few image prompts ("a photo of a red
        dog") at frame 0."""
        split = split or self.data.train
        rows = rng.integers(len(split.stills), size=STILLS)
        prompts = rng.integers(len(split.prompts), size=PROMPTS)
        texts = self._texts(split, split.stills, rows, rng, rich) + [
            self._photo_text(split, int(r), rng) for r in prompts
        ]
        frames = np.concatenate([split.stills.frames[rows], split.prompts.frames[prompts]])[:, None]
        masks = np.concatenate([split.stills.masks[rows], split.prompts.masks[prompts]])[:, None]
        index = np.concatenate([split.stills.frame[rows], np.zeros(PROMPTS, dtype=np.int64)])[
            :, None
        ]
        return *self._latents(frames, masks), texts, torch.from_numpy(index).to(self.device)

    def _clips(
        self,
        rng: np.random.Generator,
        split: Split | None = None,
        count: int = CLIPS,
        *,
        rich: float = 0.0,
    ) -> tuple[Tensor, Tensor, list[str], Tensor]:
        split = split or self.data.train
        rows = rng.integers(len(split.clips), size=count)
        frames, masks = split.clips.frames[rows], split.clips.masks[rows]
        index = torch.arange(frames.shape[1], device=self.device).expand(count, -1)
        return (
            *self._latents(frames, masks),
            self._texts(split, split.clips, rows, rng, rich),
            index,
        )

    def _latents(self, frames_BTHWC: np.ndarray, masks_BTHW: np.ndarray) -> tuple[Tensor, Tensor]:
        weights = cell_weights(masks_BTHW, self.codec.factor).to(self.device)
        with torch.autocast(self.device.split(":")[0], enabled=False):
            return self.codec.encode(
                to_unit(torch.from_numpy(frames_BTHWC).to(self.device))
            ), weights

    def _texts(
        self,
        split: Split,
        pictures: Pictures,
        rows: np.ndarray,
        rng: np.random.Generator,
        rich: float,
    ) -> list[str]:
        texts = []
        for row, plain in zip(rows, split.captions(pictures, rows, rng), strict=True):
            subject = split.individual(int(pictures.subject[row]))
            if rng.random() < rich:
                texts.append(
                    rich_caption(
                        subject, SCENES[pictures.scene[row]], MOTIONS[pictures.motion[row]]
                    )
                )
            else:
                texts.append(
                    repeated(plain, subject.class_name) if rng.random() < REPEAT_SUBJECT else plain
                )
        return texts

    def _photo_text(self, split: Split, row: int, rng: np.random.Generator) -> str:
        subject = split.individual(int(split.prompts.subject[row]))
        words = (
            [subject.base_name, subject.class_name] if rng.random() < 0.5 else [subject.class_name]
        )
        return f"a photo of {article(words[0])} {' '.join(words)}"

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """x0 error on validation individuals at three fixed noise levels."""
        rng, figures = np.random.default_rng(0), {}
        stills, clips = self._stills(rng, self.data.val), self._clips(rng, self.data.val, 12)
        for name, (latents, weights, texts, frames) in (("stills", stills), ("clips", clips)):
            for level in (300, 600, 900):
                timesteps = torch.full((len(latents),), level, device=self.device)
                loss = self._denoise(
                    cast(TextToVideoNetwork, module),
                    latents,
                    weights,
                    texts,
                    frames,
                    timesteps,
                    torch.Generator().manual_seed(level),
                )
                figures[f"val_{name}_{level}"] = float(loss)
        return figures

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Text encoder and UNet, and the configuration that rebuilds them."""
        return module.state_dict(), self.config.as_dict()
