"""Textual Inversion: one word embedding per subject, tuned on its clips (Gal et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vbbench.errors import InputError
from vbbench.models.codec import to_unit
from vbbench.models.diffusion import add_noise
from vbbench.models.text_to_video import LatentVideoModel
from vbbench.types import Adapter, PromptItem, SamplingParams, Subject, Video
from vbbench.video import read_video

EMBEDDING = "word_embedding"


class TextualInversion(LatentVideoModel):
    """The base model with one learned word; every other weight stays as it is."""

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        super().__init__(settings, device=device, folder=folder)
        self.alphas = self._diffusion.alphas_cumprod().to(device)

    def fit(self, subject: Subject, *, seed: int) -> Adapter:
        """Tune the embedding (D,) of the subject's class word on single frames of its clips, each at its place in time.

        Raises:
            InputError: the subject has no clips.
        """
        if not subject.clips:
            raise InputError(f"the subject {subject.id} has no clips to be fitted on")
        latents, captions, index = self._frames(subject)
        word_id = self.network.tokenizer([subject.class_name])[0, 1]
        start = self.network.text_encoder.embeddings.token_embedding.weight[word_id].detach()
        embedding = start.clone().requires_grad_(True)
        optimizer = torch.optim.AdamW([embedding], lr=self.settings["lr"], weight_decay=0.0)
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        losses = []
        for _ in range(self.settings["steps"]):
            rows = rng.integers(len(latents), size=self.settings["batch"])
            texts = [captions[row] for row in rows]
            loss = self._loss(embedding, latents[rows], texts, subject.class_name, index[rows], generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        facts = {"steps": len(losses), "loss": float(np.mean(losses[-10:])), "moved": float((embedding.detach() - start).norm())}
        return Adapter(subject.id, {EMBEDDING: embedding.detach().cpu()}, facts)

    def _frames(self, subject: Subject) -> tuple[Tensor, list[str], Tensor]:
        """Latents (N, C, 1, h, w) of all frames, the caption of each, and its index in its clip (N, 1)."""
        latents, captions, index = [], [], []
        for path, caption in zip(subject.clips, subject.captions, strict=True):
            frames = torch.from_numpy(read_video(path).frames).to(self.device)
            latents.append(self.codec.encode(to_unit(frames)[:, None]))
            captions += [caption] * len(frames)
            index += list(range(len(frames)))
        return torch.cat(latents), captions, torch.tensor(index, device=self.device)[:, None]

    def _loss(
        self, embedding: Tensor, latents: Tensor, texts: Sequence[str], word: str, index: Tensor, generator: torch.Generator
    ) -> Tensor:
        count = len(latents)
        timesteps = torch.randint(300, 999, (count,), generator=generator).to(self.device)
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        states = self._states(texts, [word] * count, embedding)
        prediction = self.network.unet(add_noise(latents, noise, self.alphas[timesteps]), timesteps, states, frame_index_BT=index)
        return F.mse_loss(prediction, latents)

    def _states(self, texts: Sequence[str], words: Sequence[str], embedding: Tensor) -> Tensor:
        """Text states whose subject word is the learned embedding."""
        return self.network.encode_text_with(texts, words, embedding.expand(len(texts), 1, -1))

    @torch.inference_mode()
    def generate(self, items: Sequence[PromptItem], params: SamplingParams, adapter: Adapter) -> list[Video]:  # type: ignore[override]
        """One video an item, with the adapter's word in the place of the subject word."""
        embedding = adapter.tensors[EMBEDDING].to(self.device)
        states = self._states([item.text for item in items], [item.subject_word for item in items], embedding)
        return self._sample(items, params, self._text_denoiser(states))
