"""The text-to-video base: denoise stills and clips of the miniature world from their captions.

B batch, T frames, C latent channels, h/w latent cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.data.world import MOTIONS, SCENES, VOCABULARY, rich_caption
from vbbench.data.world.captions import article
from vbbench.data.world.pictures import Pictures, Split, TrainingData
from vbbench.networks.codec import PatchCodec
from vbbench.networks.loading import load_codec
from vbbench.networks.network import TextToVideoNetwork, mini_config
from vbbench.networks.sampling.diffusion import add_noise, video_noise
from vbbench.training.latents import Latents
from vbbench.training.settings import TrainSettings

STILLS, PROMPTS, CLIPS = 28, 4, 4  # a step has 28 stills + 4 image prompts, or 4 clips
# first steps, without clips: a still costs an eighth of a clip and tells as much of what words mean
STILLS_ONLY = 4000
CLIP_SHARE = 0.5  # of the steps after that
TEXT_DROP = 0.1
STILL_NOISE, CLIP_NOISE = 0.8, 1.2  # means of `sample_timesteps` in the stages on top of the base
# mean and spread in the base: a third of the draws lie above step 900, a fifth above 950
BASE_NOISE, BASE_NOISE_SPREAD = 1.6, 1.6
RICH_SHARE = 0.7  # this share of captions tells all colours and the marking
# of the others say the subject word three times: that is where three embeddings will be injected
REPEAT_SUBJECT = 0.5
# a latent cell covered by the subject weighs 1 + this in the stages on top of the base, and in the
# base
SUBJECT_WEIGHT, BASE_SUBJECT_WEIGHT = 1.5, 4.0
# of the error's weight is by what a channel costs in pixels, the rest is the same for all channels
PIXEL_SHARE = 0.5
READING_WEIGHT = 0.3  # of `reading_error` beside the denoising loss
SIGMA_FLOOR = 0.3  # of the loss weight 1 / max(sigma, floor) ** 2


def repeated(text: str, word: str, times: int = 3) -> str:
    """The text with ``word`` said ``times`` times where it first stands."""
    return text.replace(word, " ".join([word] * times), 1)


def sample_timesteps(
    count: int, mean: float, rng: np.random.Generator, spread: float = 1.3, steps: int = 1000
) -> Tensor:
    """(count,) whole timesteps, logit-normal.

    A cell's mean colour is the largest of its latent components by far, so which colours a subject
    has is settled while the noise is still very strong: a tenth of the draws must lie in the last
    twentieth of the steps, or cells and frames choose apart. Only there, too, do colour words tell
    what the noised latent does not show.
    """
    u = 1.0 / (1.0 + np.exp(-rng.normal(mean, spread, count)))
    return torch.from_numpy(np.minimum(u * steps, steps - 1).astype(np.int64))


def cell_weights(
    masks_BTHW: np.ndarray, cell: int, subject_weight: float = SUBJECT_WEIGHT
) -> Tensor:
    """(B, 1, T, h, w): 1 + ``subject_weight`` times the share of the cell that the subject
    covers."""
    b, t, height, width = masks_BTHW.shape
    cover = (
        (masks_BTHW > 0)
        .reshape(b, t, height // cell, cell, width // cell, cell)
        .mean((3, 5), dtype=np.float32)
    )
    return 1.0 + subject_weight * torch.from_numpy(cover)[:, None]


def weighted_error(prediction: Tensor, target: Tensor, weights: Tensor, sigma_B: Tensor) -> Tensor:
    """Mean over the batch of the weighted squared error of x-prediction, counted as v-prediction's:
    divided by max(sigma, 0.3) ** 2.

    ``weights`` are (B, 1 or C, T, h, w) and relative: each video's are divided by their mean.
    """
    error = ((prediction.float() - target).square() * weights).mean((1, 2, 3, 4)) / weights.mean(
        (1, 2, 3, 4)
    )
    return (error / sigma_B.clamp_min(SIGMA_FLOOR).square()).mean()


def reading_error(text_BLD: Tensor, colours_B33: Tensor, told_B3: Tensor) -> Tensor:
    """Mean squared error of the first twelve numbers of the mean text state, which are to be the
    colours that the text tells.

    What a colour word means to a subject's part is learned here in minutes, and the network, which
    reads the mean state in every resnet, finds the colours ready; from the denoising loss alone it
    takes hours.

    Args:
        text_BLD: text states.
        colours_B33: base, secondary and marking colour (red, green, blue) in [-1, 1].
        told_B3: 1 where the text tells a colour, else 0; the numbers of a colour that is not told
            are to be 0.
    """
    mean_BD = text_BLD.float().mean(1)
    wanted_BD = torch.cat([(colours_B33 * told_B3[:, :, None]).flatten(1), told_B3], dim=1)
    return (mean_BD[:, : wanted_BD.shape[1]] - wanted_BD).square().mean()


@dataclass(frozen=True)
class Batch:
    """Latents, how much each cell weighs, captions and what they tell, and every frame's index in
    its clip.

    Attributes:
        colours_B33, told_B3: as `reading_error` takes them.
    """

    latents_BCTHW: Tensor
    weights_B1THW: Tensor
    texts: list[str]
    frame_index_BT: Tensor
    colours_B33: Tensor
    told_B3: Tensor

    def without_texts(self, dropped_B: np.ndarray) -> Batch:
        """The batch with the empty caption in the rows that are dropped."""
        texts = [
            "" if dropped else text for text, dropped in zip(self.texts, dropped_B, strict=True)
        ]
        kept = torch.from_numpy(~dropped_B).to(self.told_B3)
        return replace(self, texts=texts, told_B3=self.told_B3 * kept[:, None])


class Base:
    """Text-to-video from nothing."""

    name = "base"
    settings = TrainSettings(
        lr=1.2e-3,
        steps=125_000,
        decay_from=0.8,
        ema_decay=0.999,
        validate_every=5000,
        checkpoint_every_seconds=240.0,
    )

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.device = data, device
        self.codec = cast(PatchCodec, load_codec("codec")).to(device)
        self.config = mini_config(VOCABULARY, self.codec.latent_channels)
        self.module = TextToVideoNetwork(self.config).to(device)
        self.alphas = self.config.diffusion.alphas_cumprod().to(device)
        self.latents = {
            split.name: Latents(split, self.codec, device) for split in (data.train, data.val)
        }
        self.channels_C = (1.0 - PIXEL_SHARE) + PIXEL_SHARE * self.codec.pixel_weights()

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Denoising loss of one batch of stills or of clips."""
        rng = np.random.default_rng(seed)
        use_clips = step >= STILLS_ONLY and rng.random() < CLIP_SHARE
        batch = (
            self._clips(rng, self.data.train) if use_clips else self._stills(rng, self.data.train)
        )
        batch = batch.without_texts(rng.random(len(batch.texts)) < TEXT_DROP)
        timesteps = sample_timesteps(len(batch.texts), BASE_NOISE, rng, BASE_NOISE_SPREAD).to(
            self.device
        )
        text = self.module.encode_text(batch.texts)
        loss = self._denoise(
            self.module, batch, text, timesteps, torch.Generator().manual_seed(seed)
        )
        reading = reading_error(text, batch.colours_B33, batch.told_B3)
        parts = {"clips" if use_clips else "stills": loss.detach(), "reading": reading.detach()}
        return loss + READING_WEIGHT * reading, parts

    def _denoise(
        self,
        module: TextToVideoNetwork,
        batch: Batch,
        text_BLD: Tensor,
        timesteps: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        latents = batch.latents_BCTHW
        noise = video_noise(tuple(latents.shape), self.config.diffusion.shared_noise, generator).to(
            self.device
        )
        alpha_bar = self.alphas[timesteps]
        noisy = add_noise(latents, noise, alpha_bar)
        prediction = module.unet(noisy, timesteps, text_BLD, frame_index_BT=batch.frame_index_BT)
        weights = batch.weights_B1THW * self.channels_C.view(1, -1, 1, 1, 1)
        return weighted_error(prediction, latents, weights, (1.0 - alpha_bar).sqrt())

    def _stills(self, rng: np.random.Generator, split: Split) -> Batch:
        """Single frames with their place in the clip, and a few image prompts ("a photo of a red
        dog") at frame 0."""
        rows = rng.integers(len(split.stills), size=STILLS)
        prompts = rng.integers(len(split.prompts), size=PROMPTS)
        texts = self._texts(split, split.stills, rows, rng)
        texts += [self._photo_text(split, int(row), rng) for row in prompts]
        latents = self.latents[split.name]
        latents_BCHW = np.concatenate([latents("stills")[rows], latents("prompts")[prompts]])
        masks = np.concatenate([split.stills.masks[rows], split.prompts.masks[prompts]])
        index = np.concatenate([split.stills.frame[rows], np.zeros(PROMPTS, dtype=np.int64)])
        subjects = np.concatenate([split.stills.subject[rows], split.prompts.subject[prompts]])
        return self._batch(
            split,
            subjects,
            latents_BCHW[:, None],
            masks[:, None],
            texts,
            torch.from_numpy(index)[:, None],
        )

    def _clips(self, rng: np.random.Generator, split: Split, count: int | None = None) -> Batch:
        rows = rng.integers(len(split.clips), size=count or CLIPS)
        texts = self._texts(split, split.clips, rows, rng)
        masks = split.clips.masks[rows]
        index = torch.arange(masks.shape[1]).expand(len(rows), -1)
        return self._batch(
            split,
            split.clips.subject[rows],
            self.latents[split.name]("clips")[rows],
            masks,
            texts,
            index,
        )

    def _batch(
        self,
        split: Split,
        subjects: np.ndarray,
        latents_BTCHW: np.ndarray,
        masks_BTHW: np.ndarray,
        texts: list[str],
        index_BT: Tensor,
    ) -> Batch:
        latents = torch.from_numpy(latents_BTCHW).to(self.device).float().transpose(1, 2)
        weights = cell_weights(masks_BTHW, self.codec.factor, BASE_SUBJECT_WEIGHT)
        colours = torch.from_numpy(split.people.colours[subjects]).float() / 127.5 - 1.0
        told = torch.tensor(
            [
                self._told(split, int(subject), text)
                for subject, text in zip(subjects, texts, strict=True)
            ]
        )
        return Batch(
            latents,
            weights.to(self.device),
            texts,
            index_BT.to(self.device),
            colours.to(self.device),
            told.to(self.device),
        )

    def _told(self, split: Split, subject: int, text: str) -> tuple[float, float, float]:
        """Whether the text tells the subject's base, secondary and marking colour: a caption tells
        all, the first, or none."""
        words = text.split()
        rest = float("with" in words)
        return float(split.individual(subject).base_name in words), rest, rest

    def _texts(
        self, split: Split, pictures: Pictures, rows: np.ndarray, rng: np.random.Generator
    ) -> list[str]:
        texts = []
        for row, plain in zip(rows, split.captions(pictures, rows, rng), strict=True):
            subject = split.individual(int(pictures.subject[row]))
            if rng.random() < RICH_SHARE:
                texts.append(
                    rich_caption(
                        subject, SCENES[pictures.scene[row]], MOTIONS[pictures.motion[row]]
                    )
                )
            elif rng.random() < REPEAT_SUBJECT:
                texts.append(repeated(plain, subject.class_name))
            else:
                texts.append(plain)
        return texts

    def _photo_text(self, split: Split, row: int, rng: np.random.Generator) -> str:
        """ "a photo of a red dog", without the colour, or with all colours and the marking."""
        subject = split.individual(int(split.prompts.subject[row]))
        if rng.random() < RICH_SHARE:
            return f"a photo of {rich_caption(subject, None, None)}"
        words = (
            [subject.base_name, subject.class_name] if rng.random() < 0.5 else [subject.class_name]
        )
        return f"a photo of {article(words[0])} {' '.join(words)}"

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """x0 error on validation individuals at three fixed noise levels."""
        network, rng, figures = cast(TextToVideoNetwork, module), np.random.default_rng(0), {}
        stills, clips = self._stills(rng, self.data.val), self._clips(rng, self.data.val, 12)
        for name, batch in (("stills", stills), ("clips", clips)):
            text = network.encode_text(batch.texts)
            for level in (300, 600, 900):
                timesteps = torch.full((len(batch.texts),), level, device=self.device)
                loss = self._denoise(
                    network, batch, text, timesteps, torch.Generator().manual_seed(level)
                )
                figures[f"val_{name}_{level}"] = float(loss)
        return figures

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Text encoder and UNet, and the configuration that rebuilds them."""
        return module.state_dict(), self.config.as_dict()
