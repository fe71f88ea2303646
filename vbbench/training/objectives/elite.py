"""ELITE's two stages on the frozen base: global mapping (words, text K, V), then local mapping
(patches, local K, V)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vbbench.networks.elite import GLOBAL, LOCAL, EliteNetwork, load_elite
from vbbench.training.objectives.stage import EMBEDDING_PENALTY, Asked, Stage
from vbbench.training.settings import TrainSettings

PRIMARY_SHARE = 0.5
"""Steps of stage 1 that use the primary word alone, as sampling does. The paper has none. After the
few steps of a miniature, words that were only ever trained together share what they say: alone, the
primary one told nothing of the individual (stills, timestep 850: another individual's image prompt
made the loss 0.004 smaller, not larger)."""
VALUE_PENALTY = 1e-4  # times the mean absolute local value (the paper's lambda_local)


class _Elite(Stage):
    """What both stages share."""

    def load(self, weights: str | None) -> EliteNetwork:
        """On the base."""
        return load_elite(self.stage, "base", "image-encoder", weights)

    def shipped(self, module: EliteNetwork) -> set[str]:
        """The local stage ships the global one's parameters too."""
        return {name for name, _ in module.shipped()}


class Global(_Elite):
    """Stage 1: image prompts as words. Training uses all of them or the primary one alone,
    validation the latter, as sampling does."""

    stage, name, clip_share = GLOBAL, "elite-global", 0.3
    settings = TrainSettings(lr=1e-3, steps=900, validate_every=450)
    all_words = True

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """As every stage's, with all words or the primary one alone."""
        self.all_words = bool(np.random.default_rng([seed, 1]).random() >= PRIMARY_SHARE)
        return super().loss(step, seed)

    def conditions(
        self, module: EliteNetwork, asked: Asked, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Any], Tensor | None]:
        """The image prompt as words; all of them are kept small."""
        embeddings = module.words(module.encode_image(asked.prompts_B3HW))
        used = embeddings if self.all_words else embeddings[:, :1]
        return module.encode_text(asked.texts, asked.words, used), {}, embeddings

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """As every stage's, on the word that videos are sampled with."""
        self.all_words = False
        return super().validate(module)


class Local(_Elite):
    """Stage 2: the subject's patches as keys and values of the text attention, beside the primary
    word of stage 1."""

    stage, name, clip_share = LOCAL, "elite", 0.5
    settings = TrainSettings(lr=1e-3, steps=900, validate_every=450)
    may_drop = False  # nothing that is trained here is used without an image prompt

    def conditions(
        self, module: EliteNetwork, asked: Asked, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Any], Tensor | None]:
        """The primary word and the patches; the local values are kept small."""
        states = module.encode_image(asked.prompts_B3HW)
        local = module.local_prompt(states, asked.foreground_BHW, asked.texts, asked.words)
        assert local is not None  # in this stage there is one
        values = []
        for layer in module.base.unet.text_attentions():
            assert layer.to_v_local is not None
            values.append(layer.to_v_local(local.features_BMD).abs().mean())
        text = module.encode_text(asked.texts, asked.words, module.primary_word(states))
        # `loss` weighs what it is given as it does embeddings
        return (
            text,
            {"local_prompt": local},
            torch.stack(values) * (VALUE_PENALTY / EMBEDDING_PENALTY),
        )
