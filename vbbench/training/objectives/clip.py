"""The miniature CLIP (Radford et al. 2021): pictures and captions of one another, told from those
of others.

Half of its captions tell all that words can tell of an individual ("a red dog with blue legs and
green spots ..."), more than the prompts of a suite do: only so does CLIP-Image see individuals.
Shape suffixes: B batch, D embedding, L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbbench.data.world import (
    CLASSES,
    MOTIONS,
    SCENES,
    VOCABULARY,
    Individual,
    caption,
    rich_caption,
)
from vbbench.data.world.pictures import Pictures, Split, TrainingData
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.encoders import build_clip
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.tokenizer import WordTokenizer
from vbbench.metrics.validation.real_videos import read_rate
from vbbench.training.objectives import augment
from vbbench.training.objectives.checks import prompts_against_clips
from vbbench.training.settings import TrainSettings

STILLS, CLIP_FRAMES, PROMPTS = 136, 56, 64
RICH, BARE = (
    0.5,
    0.2,
)  # captions that tell all colours and the marking; captions that only name the class
NO_SCENE, NO_MOTION = 0.15, 0.3
PHOTO = 0.15  # captions that begin "a photo of"
LARGEST_SCALE = 100.0
VALIDATION_FRAMES = 270


def contrastive_loss(image_BD: Tensor, text_BD: Tensor, same_BB: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy, where all pictures whose captions are equal count as pairs
    (Yang et al. 2022, UniCL).

    Args:
        same_BB: true where the captions of row and column are equal; true on the diagonal.
        scale: factor of the cosines.
    """
    logits_BB = (
        scale * F.normalize(image_BD.float(), dim=-1) @ F.normalize(text_BD.float(), dim=-1).T
    )
    target_BB = same_BB.float() / same_BB.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits_BB, target_BB) + F.cross_entropy(logits_BB.T, target_BB)) / 2


class Clip:
    """Contrastive learning of open_clip's CLIP on stills, frames of clips and image prompts with
    their captions."""

    name = "clip"
    settings = TrainSettings(
        lr=2e-3,
        steps=1000,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        warmup_steps=100,
        ema_decay=0.995,
        validate_every=300,
    )

    module: Any
    """open_clip's CLIP, which has no types."""

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.device = data, device
        self.config = encoder_config("clip", Setting())
        self.tokenizer = WordTokenizer(VOCABULARY, self.config.arch["text_cfg"]["context_length"])
        self.module = build_clip(self.config.arch, self.tokenizer.vocab_size).to(device)

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Contrastive loss of one batch."""
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        frames, texts = self._batch(self.data.train, rng)
        pictures, _ = augment.affine(
            augment.to_pictures(frames, self.device), generator, zoom=(0.9, 1.15), shift=0.05
        )
        pictures = augment.damage(pictures, generator, noise=10.0, blocks=8.0, share=0.3)
        image_BD = self.module.encode_image(
            augment.normalised(pictures, self.config.mean, self.config.std)
        )
        tokens_BL = self._tokens(texts)
        unique_UL, index_B = torch.unique(tokens_BL, dim=0, return_inverse=True)
        text_BD = self.module.encode_text(unique_UL)[index_B]
        scale = self.module.logit_scale.exp().clamp(max=LARGEST_SCALE)
        same_BB = index_B[:, None] == index_B[None, :]
        return contrastive_loss(image_BD, text_BD, same_BB, scale), {"scale": scale.detach()}

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor(
            [self.tokenizer(text) for text in texts], dtype=torch.long, device=self.device
        )

    def _batch(self, split: Split, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        """Frames (B, 64, 64, 3) uint8 and a caption each."""
        stills = rng.integers(len(split.stills), size=STILLS)
        clips = rng.integers(len(split.clips), size=CLIP_FRAMES)
        prompts = rng.integers(len(split.prompts), size=PROMPTS)
        at = rng.integers(split.clips.frames.shape[1], size=CLIP_FRAMES)
        clip_frames = np.stack(
            [split.clips.frames[row, frame] for row, frame in zip(clips, at, strict=True)]
        )
        frames = np.concatenate(
            [split.stills.frames[stills], clip_frames, split.prompts.frames[prompts]]
        )
        texts = self._texts(split, split.stills, stills, rng) + self._texts(
            split, split.clips, clips, rng
        )
        return frames, texts + self._texts(split, split.prompts, prompts, rng)

    def _texts(
        self, split: Split, pictures: Pictures, rows: np.ndarray, rng: np.random.Generator
    ) -> list[str]:
        return [
            draw_caption(
                split.individual(int(pictures.subject[row])),
                int(pictures.scene[row]),
                int(pictures.motion[row]),
                rng,
            )
            for row in rows
        ]

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """On validation individuals: class and scene read from frames by the text that names them;
        image prompt against clips."""
        split = self.data.val
        rows = np.linspace(
            0, len(split.stills) - 1, min(VALIDATION_FRAMES, len(split.stills))
        ).astype(int)
        frames_BD = self._embed(module, split.stills.frames[rows])
        classes, scenes, motions = (
            split.people.class_index[split.stills.subject[rows]],
            split.stills.scene[rows],
            split.stills.motion[rows],
        )
        class_texts = [
            [caption(c, SCENES[s], MOTIONS[m]) for c in CLASSES]
            for s, m in zip(scenes, motions, strict=True)
        ]
        scene_texts = [
            [caption(CLASSES[c], s, MOTIONS[m]) for s in SCENES]
            for c, m in zip(classes, motions, strict=True)
        ]
        figures = {
            "class": read_rate(frames_BD, self._embed_texts(module, class_texts), classes),
            "scene": read_rate(frames_BD, self._embed_texts(module, scene_texts), scenes),
        }
        return figures | prompts_against_clips(split, lambda frames: self._embed(module, frames))

    def _embed(self, module: Any, frames_BHWC: np.ndarray) -> Tensor:
        x = augment.normalised(
            augment.to_pictures(frames_BHWC, self.device), self.config.mean, self.config.std
        )
        return torch.cat([module.encode_image(part) for part in x.split(128)]).float().cpu()

    def _embed_texts(self, module: Any, texts: Sequence[Sequence[str]]) -> Tensor:
        """(B, choices, D), each distinct text embedded once."""
        distinct = sorted({text for row in texts for text in row})
        embedded = dict(
            zip(distinct, module.encode_text(self._tokens(distinct)).float().cpu(), strict=True)
        )
        return torch.stack([torch.stack([embedded[text] for text in row]) for row in texts])

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """CLIP, its sizes, and the words it knows in their order."""
        note = "half of the training captions tell every colour and the marking in words, which suite prompts do not"
        arch = {
            key: dict(value) if isinstance(value, Mapping) else value
            for key, value in self.config.arch.items()
        }
        return module.state_dict(), {
            "arch": arch,
            "words": list(self.tokenizer.words),
            "captions": note,
        }


def draw_caption(subject: Individual, scene: int, motion: int, rng: np.random.Generator) -> str:
    """A caption of a picture: rich, plain or only the class; at times without place or action.
    Scene and motion: -1 for image prompts."""
    place = SCENES[scene] if scene >= 0 and rng.random() >= NO_SCENE else None
    action = MOTIONS[motion] if motion >= 0 and rng.random() >= NO_MOTION else None
    kind = rng.random()
    if kind < BARE:
        return caption(subject.class_name, None, None)
    text = (
        rich_caption(subject, place, action)
        if kind < BARE + RICH
        else caption(subject, place, action, rng)
    )
    return f"a photo of {text}" if rng.random() < PHOTO else text
