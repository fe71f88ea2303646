"""DreamBooth on video: the UNet is tuned on a subject's clips, whose captions have a rare
identifier before the class word.

Ruiz et al. 2023; on several clips of the subject, as in VideoBooth's comparison (Jiang et al.
2024). B batch, C latent channels, T frames, h/w latent cells, L tokens, D width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from vbbench.data.suite import derive_seed
from vbbench.data.world.captions import article
from vbbench.errors import InputError, RecipeError
from vbbench.models.fitting import (
    clip_latents,
    denoising_loss,
    draw_timesteps,
    fast_arithmetic,
    frames_of,
)
from vbbench.models.latent_video import LatentVideoModel
from vbbench.networks.codec import to_unit
from vbbench.networks.sampling.diffusion import add_noise, video_noise
from vbbench.networks.unet.unet import VideoUNet
from vbbench.types import Adapter, PromptItem, SamplingParams, Subject, Video

from .weights import FullTuning, LowRank, Tuning, Weights, choose, restore

IDENTIFIER_SEED = 20220825
# of a class's clip where the subject's own are still photographs: the prior is then what keeps the
# base's motion
PRIOR_FRAMES = 8


class DreamBoothVideo(LatentVideoModel):
    """The base model with another UNet for each subject; the base's own is never written to.

    Settings:
        steps, lr: constant, then falling to zero over the second half of the steps.
        tuned: a part of the UNet (see weights.py); ``lora_rank`` 0 tunes all of it, more a low-rank
            product.
        clips, frames: what a step sees: whole clips with probability ``clip_share``, else single
            frames at their place in time. Clips of one frame (still photographs, which stand at the
            first) are only ever single frames.
        logit_mean: of the timesteps (see `draw_timesteps`); without it they are uniform.
        prior_preservation: weight of the loss on ``class_clips`` clips that the base makes of the
            class; 0: none.
        identifier: a rare word that the tokenizer knows; "": an embedding that no word has.
    """

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        super().__init__(settings, device=device, folder=folder)
        self.alphas = self.diffusion.alphas_cumprod().to(device)
        self._class_clips: dict[
            tuple[str, int, int], Tensor
        ] = {}  # class word, frames, size -> latents, made once

    def fit(self, subject: Subject, *, seed: int) -> Adapter:
        """Tune a copy of the UNet's chosen weights.

        Raises:
            InputError: the subject has no clips, they do not go together, or a caption lacks its
                class word.
            RecipeError: settings that name no part of the network, or whole clips alone for a
                subject that has none.
        """
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        base, rank = (
            choose(self.network.unet.named_parameters(), self.settings["tuned"]),
            self.settings["lora_rank"],
        )
        tuning: Tuning = LowRank(base, rank, generator) if rank else FullTuning(base)
        batches = _Batches(
            clip_latents(subject, self.codec, self.device), subject.captions, self.settings, rng
        )
        states = self._caption_states(subject)
        prior = (
            self._prior(subject, batches.prior_shape)
            if self.settings["prior_preservation"]
            else None
        )
        optimizer = torch.optim.AdamW(tuning.parameters(), lr=self.settings["lr"], weight_decay=0.0)
        steps = self.settings["steps"]
        decay = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, 2.0 * (1.0 - step / steps))
        )
        losses = []
        for _ in range(steps):
            latents, captions, index = batches.draw()
            loss = self._loss(
                tuning.weights(),
                latents,
                torch.cat([states[caption] for caption in captions]),
                index,
                generator,
            )
            losses.append(float(loss.detach()))
            if prior is not None:
                loss = loss + self.settings["prior_preservation"] * self._prior_loss(
                    tuning.weights(), *prior, rng, generator
                )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(tuning.parameters(), 1.0)
            optimizer.step()
            decay.step()
        count = sum(parameter.numel() for parameter in tuning.parameters())
        return Adapter(
            subject.id,
            tuning.stored(),
            {"steps": len(losses), "loss": float(np.mean(losses[-10:])), "parameters": count},
        )

    def _loss(
        self,
        weights: Weights,
        latents: Tensor,
        states: Tensor,
        index: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """The base's own denoising loss, under other weights."""
        timesteps = draw_timesteps(
            len(latents), self.settings.get("logit_mean"), len(self.alphas), generator
        ).to(self.device)
        noise = video_noise(tuple(latents.shape), self.diffusion.shared_noise, generator).to(
            self.device
        )
        alpha_bar = self.alphas[timesteps]
        with fast_arithmetic(self.device):
            arguments = (add_noise(latents, noise, alpha_bar), timesteps, states)
            prediction = functional_call(
                self.network.unet, weights, arguments, {"frame_index_BT": index}
            )
        return denoising_loss(prediction, latents, noise, alpha_bar, self.diffusion.prediction_type)

    # --- prior preservation
    # ---------------------------------------------------------------------------------------

    def _prior_loss(
        self,
        weights: Weights,
        clips: Tensor,
        state: Tensor,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> Tensor:
        """Loss on the base's own clips of the class, under the class word alone (Ruiz et al.,
        equation 2)."""
        rows = rng.integers(len(clips), size=self.settings["clips"])
        index = torch.arange(clips.shape[2], device=self.device).expand(len(rows), -1)
        return self._loss(weights, clips[rows], state.expand(len(rows), -1, -1), index, generator)

    @torch.no_grad()
    def _prior(self, subject: Subject, shape_Thw: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Latents (N, C, T, h, w) that the untouched base makes of the class, and the text states
        (1, L, D) they were made from."""
        word, frames, size = subject.class_name, shape_Thw[0], shape_Thw[1] * self.codec.factor
        state = self.network.encode_text([f"{article(word)} {word}"])
        if (word, frames, size) not in self._class_clips:
            params = SamplingParams(
                num_frames=frames,
                size=size,
                fps=1,
                **{"batch_size": 1, **self.settings["sampling"]},
            )
            seeds = [
                derive_seed(IDENTIFIER_SEED, f"{word}:{number}")
                for number in range(self.settings["class_clips"])
            ]
            items = [
                PromptItem(str(seed), subject, word, word, seed=seed, image_seed=seed)
                for seed in seeds
            ]
            videos = [
                self.sample_with([item], params, self.text_denoiser(state))[0] for item in items
            ]
            pixels = torch.stack([to_unit(torch.from_numpy(video.frames)) for video in videos])
            self._class_clips[word, frames, size] = self.codec.encode(pixels.to(self.device))
        return self._class_clips[word, frames, size], state

    # --- texts
    # ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _caption_states(self, subject: Subject) -> dict[str, Tensor]:
        return {
            caption: self._states(caption, subject.class_name) for caption in set(subject.captions)
        }

    def _states(self, text: str, word: str) -> Tensor:
        """Text states (1, L, D) of a text with the identifier before the class word."""
        if identifier := self.settings["identifier"]:
            self.network.tokenizer.locate(text, word)  # tells if the word is not there
            named = re.sub(
                rf"(?<!\w){re.escape(word)}(?!\w)",
                rf"{identifier} \g<0>",
                text,
                count=1,
                flags=re.IGNORECASE,
            )
            return self.network.encode_text([named])
        at, count = self.network.tokenizer.locate(text, word)
        table = self.network.text_encoder.embeddings.token_embedding.weight
        own = table[self.network.tokenizer([text])[0, at : at + count].to(table.device)]
        return self.network.encode_text_with(
            [text], [word], torch.cat([self._rare_embedding(table), own])[None]
        )

    @staticmethod
    def _rare_embedding(table: Tensor) -> Tensor:
        """(1, D): a word that no text has: drawn once for all subjects, as wide as the words of the
        table (vocabulary, D) are."""
        drawn = torch.randn(
            1, table.shape[1], generator=torch.Generator().manual_seed(IDENTIFIER_SEED)
        ).to(table)
        return table.mean(0) + drawn * table.std(0)

    # --- sampling
    # -------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(
        self, items: Sequence[PromptItem], params: SamplingParams, adapter: Adapter
    ) -> list[Video]:  # type: ignore[override]
        """One video an item, by the subject's own UNet."""
        states = torch.cat([self._states(item.text, item.subject_word) for item in items])
        return self.sample_with(items, params, self.bind(states, unet=self._tuned_unet(adapter)))

    def _tuned_unet(self, adapter: Adapter) -> VideoUNet:
        """A copy of the base's UNet with the subject's weights."""
        unet = deepcopy(self.network.unet)
        parameters = dict(unet.named_parameters())
        for name, weight in restore(parameters, adapter.tensors).items():
            parameters[name].copy_(weight)
        return unet


class _Batches:
    """Draws what a step sees: whole clips, or single frames."""

    def __init__(
        self,
        clips: list[Tensor],
        captions: tuple[str, ...],
        settings: Mapping[str, Any],
        rng: np.random.Generator,
    ) -> None:
        self._clips, self._captions, self._settings, self._rng = clips, captions, settings, rng
        self._frames = frames_of(clips, captions)
        self._moving = [place for place, clip in enumerate(clips) if clip.shape[1] > 1]
        if settings["clip_share"] > 0.0:
            self._check_whole_clips(settings["clip_share"])

    def _check_whole_clips(self, share: float) -> None:
        """There are some where nothing else is drawn, and all are of one length, so that they go
        into one batch."""
        if share >= 1.0 and not self._moving:
            raise RecipeError(
                f"clip_share = {share} asks for whole clips alone, and all that there is of the subject are still photographs; with less, "
                "they are drawn as single frames."
            )
        lengths = sorted({self._clips[place].shape[1] for place in self._moving})
        if len(lengths) > 1:
            raise InputError(
                f"the subject's clips have {lengths[0]} to {lengths[-1]} frames: to be drawn whole they must be equally long; "
                "clip_share = 0 draws single frames"
            )

    @property
    def prior_shape(self) -> tuple[int, ...]:
        """(T, h, w) of the class's clips."""
        if self._moving:
            return tuple(self._clips[self._moving[0]].shape[1:])
        return (PRIOR_FRAMES, *self._clips[0].shape[2:])

    def draw(self) -> tuple[Tensor, list[str], Tensor]:
        """Latents (B, C, T, h, w), the caption of each, and the index of their frames (B, T)."""
        if self._moving and self._rng.random() < self._settings["clip_share"]:
            rows = [
                self._moving[place]
                for place in self._rng.integers(len(self._moving), size=self._settings["clips"])
            ]
            latents = torch.stack([self._clips[row] for row in rows])
            index = torch.arange(latents.shape[2], device=latents.device).expand(len(rows), -1)
            return latents, [self._captions[row] for row in rows], index
        latents, captions, index = self._frames
        rows = self._rng.integers(len(latents), size=self._settings["frames"])
        return latents[rows], [captions[row] for row in rows], index[rows]
