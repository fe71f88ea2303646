"""Textual Inversion: one word embedding per subject, tuned on its clips (Gal et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vbbench.models.fitting import (
    clip_latents,
    denoising_loss,
    draw_timesteps,
    fast_arithmetic,
    frames_of,
)
from vbbench.models.latent_video import LatentVideoModel
from vbbench.networks.sampling.diffusion import add_noise
from vbbench.types import Adapter, PromptItem, SamplingParams, Subject, Video

EMBEDDING = "word_embedding"


class TextualInversion(LatentVideoModel):
    """The base model with one learned word; every other weight stays as it is."""

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        super().__init__(settings, device=device, folder=folder)
        self.alphas = self.diffusion.alphas_cumprod().to(device)

    def fit(self, subject: Subject, *, seed: int) -> Adapter:
        """Tune the embedding (D,) of the subject's class word on single frames of its clips, each
        at its place in time.

        Raises:
            InputError: the subject has no clips, or its class word is none that the text encoder
                knows.
        """
        latents, captions, index = self._frames(subject)
        at, count = self.network.tokenizer.locate(subject.class_name, subject.class_name)
        word_ids = self.network.tokenizer([subject.class_name])[0, at : at + count]
        # a class of several tokens starts at their mean
        start = (
            self.network.text_encoder.embeddings.token_embedding.weight[word_ids.to(self.device)]
            .detach()
            .mean(0)
        )
        embedding = start.clone().requires_grad_(True)
        optimizer = torch.optim.AdamW([embedding], lr=self.settings["lr"], weight_decay=0.0)
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        losses = []
        for _ in range(self.settings["steps"]):
            rows = rng.integers(len(latents), size=self.settings["batch"])
            texts = [captions[row] for row in rows]
            loss = self._loss(
                embedding, latents[rows], texts, subject.class_name, index[rows], generator
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        facts = {
            "steps": len(losses),
            "loss": float(np.mean(losses[-10:])),
            "moved": float((embedding.detach() - start).norm()),
        }
        return Adapter(subject.id, {EMBEDDING: embedding.detach().cpu()}, facts)

    def _frames(self, subject: Subject) -> tuple[Tensor, list[str], Tensor]:
        """Latents (N, C, 1, h, w) of all frames, the caption of each, and its index in its clip (N,
        1)."""
        return frames_of(clip_latents(subject, self.codec, self.device), subject.captions)

    def _loss(
        self,
        embedding: Tensor,
        latents: Tensor,
        texts: Sequence[str],
        word: str,
        index: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        timesteps = draw_timesteps(
            len(latents), self.settings.get("logit_mean"), len(self.alphas), generator
        ).to(self.device)
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        alpha_bar = self.alphas[timesteps]
        with fast_arithmetic(self.device):
            states = self._states(texts, [word] * len(latents), embedding)
            prediction = self.network.unet(
                add_noise(latents, noise, alpha_bar), timesteps, states, frame_index_BT=index
            )
        return denoising_loss(prediction, latents, noise, alpha_bar, self.diffusion.prediction_type)

    def _states(self, texts: Sequence[str], words: Sequence[str], embedding: Tensor) -> Tensor:
        """Text states whose subject word is the learned embedding."""
        return self.network.encode_text_with(texts, words, embedding.expand(len(texts), 1, -1))

    @torch.inference_mode()
    def generate(
        self, items: Sequence[PromptItem], params: SamplingParams, adapter: Adapter
    ) -> list[Video]:  # type: ignore[override]
        """One video an item, with the adapter's word in the place of the subject word."""
        embedding = adapter.tensors[EMBEDDING].to(self.device)
        states = self._states(
            [item.text for item in items], [item.subject_word for item in items], embedding
        )
        return self.sample_with(items, params, self.text_denoiser(states))
