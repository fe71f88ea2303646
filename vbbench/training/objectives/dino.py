"""The miniature DINO (Caron et al. 2021): a vision transformer that teaches itself, without being
told who is who.

A student must answer one view of a picture as a slowly following teacher answers another. Two views
are two frames of one clip or twice the same still, each moved, mirrored, dimmed, and set before its
own ground, before white, or before another picture's ground (which takes the subject's mask, but no
name). Colours are left alone: they are who a subject is. The loss is MoCo v3's (Chen, Xie and He
2021), which tells the pair from the rest of the batch; DINO's own, over prototypes, got half as far
in the minutes there are.

Shape suffixes: B pictures, V views, D embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbbench.data.world.pictures import Split, TrainingData
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.encoders import build_dino
from vbbench.metrics.encoders.setting import Setting
from vbbench.training.objectives import augment
from vbbench.training.objectives.checks import prompts_against_clips
from vbbench.training.settings import TrainSettings

CLIPS, STILLS, PROMPTS = 64, 24, 8
HIDDEN, PROJECTED = 256, 64
TEMPERATURE = 0.15
MOMENTUM = 0.99  # of the teacher
WHITE, BORROWED = 0.35, 0.25  # shares of views before white and before another picture's ground


class Head(nn.Module):
    """Projects class tokens onto a sphere; the student's prediction of the teacher's projection
    takes one step more."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(embed_dim, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, PROJECTED)
        )
        self.predict = nn.Sequential(
            nn.Linear(PROJECTED, HIDDEN // 2), nn.GELU(), nn.Linear(HIDDEN // 2, PROJECTED)
        )

    def forward(self, token_VD: Tensor, predict: bool) -> Tensor:
        """Unit vectors (V, PROJECTED) float32."""
        projected = self.project(token_VD)
        return F.normalize((self.predict(projected) if predict else projected).float(), dim=-1)


def tell_apart(student_BD: Tensor, teacher_BD: Tensor, temperature: float) -> Tensor:
    """InfoNCE: each row of the student's must be nearest to the same row of the teacher's; times
    the temperature, as MoCo v3 scales it."""
    logits_BB = student_BD @ teacher_BD.T / temperature
    return (
        F.cross_entropy(logits_BB, torch.arange(len(logits_BB), device=logits_BB.device))
        * temperature
    )


def borrowed_ground(pictures_B3HW: Tensor, masks_BHW: Tensor) -> Tensor:
    """Each picture's ground without its subject: every row of pixels in the mean colour of its
    uncovered pixels."""
    free = (masks_BHW == 0)[:, None].float()
    rows = (pictures_B3HW * free).sum(-1, keepdim=True) / free.sum(-1, keepdim=True).clamp_min(1)
    return rows.expand_as(pictures_B3HW)


def _network(both: nn.Module, name: str) -> nn.ModuleDict:
    """The student or the teacher of `Dino.module`: ``vit`` and ``head``."""
    return cast(nn.ModuleDict, cast(nn.ModuleDict, both)[name])


class Dino:
    """Self-distillation of timm's VisionTransformer."""

    name = "dino"
    settings = TrainSettings(
        lr=1.5e-3,
        steps=1200,
        weight_decay=0.04,
        warmup_steps=100,
        ema_decay=0.995,
        validate_every=300,
    )

    def __init__(self, data: TrainingData, *, seed: int, device: str) -> None:
        self.data, self.device = data, device
        self.config = encoder_config("dino", Setting())
        student = nn.ModuleDict(
            {"vit": build_dino(self.config.arch), "head": Head(self.config.arch["embed_dim"])}
        )
        teacher = copy.deepcopy(student).requires_grad_(False)
        self.module = nn.ModuleDict({"student": student, "teacher": teacher}).to(device)

    def loss(self, step: int, seed: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The student's answer to each view, told apart by the teacher's to the other."""
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        frames, masks = self._pairs(self.data.train, rng)
        views = self._views(
            augment.to_pictures(frames, self.device),
            torch.from_numpy(masks).to(self.device),
            generator,
        )
        student, teacher = _network(self.module, "student"), _network(self.module, "teacher")
        first, second = student["head"](student["vit"](views), predict=True).chunk(2)
        with torch.no_grad():
            first_taught, second_taught = teacher["head"](
                teacher["vit"](views), predict=False
            ).chunk(2)
        loss = tell_apart(first, second_taught, TEMPERATURE) + tell_apart(
            second, first_taught, TEMPERATURE
        )
        return loss, {"agreement": (first * second_taught).sum(-1).mean().detach()}

    def after_step(self, step: int) -> None:
        """Let the teacher follow the student."""
        with torch.no_grad():
            teacher, student = (
                dict(self.module[name].named_parameters()) for name in ("teacher", "student")
            )
            torch._foreach_lerp_(
                [teacher[name] for name in student],
                [p.detach() for p in student.values()],
                1 - MOMENTUM,
            )

    def _pairs(self, split: Split, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Frames (2 B, 64, 64, 3) and masks (2 B, 64, 64); rows b and B + b show one subject
        because they are one clip or picture."""
        clips = rng.integers(len(split.clips), size=CLIPS)
        first = rng.integers(split.clips.frames.shape[1], size=CLIPS)
        second = (
            first + rng.integers(1, split.clips.frames.shape[1], size=CLIPS)
        ) % split.clips.frames.shape[1]
        stills, prompts = (
            rng.integers(len(split.stills), size=STILLS),
            rng.integers(len(split.prompts), size=PROMPTS),
        )
        halves = []
        for at in (first, second):
            frames = np.stack([split.clips.frames[r, t] for r, t in zip(clips, at, strict=True)])
            masks = np.stack([split.clips.masks[r, t] for r, t in zip(clips, at, strict=True)])
            halves.append(
                (
                    np.concatenate(
                        [frames, split.stills.frames[stills], split.prompts.frames[prompts]]
                    ),
                    np.concatenate(
                        [masks, split.stills.masks[stills], split.prompts.masks[prompts]]
                    ),
                )
            )
        return np.concatenate([half[0] for half in halves]), np.concatenate(
            [half[1] for half in halves]
        )

    def _views(self, pictures: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        count = len(pictures)
        choice = torch.rand(count, generator=generator)
        other = torch.randperm(count, generator=generator)
        borrowed = borrowed_ground(pictures, masks)[other]
        ground = torch.where(
            (choice < WHITE).view(-1, 1, 1, 1).to(pictures.device),
            torch.full_like(pictures, 255.0),
            borrowed,
        )
        keep = (choice >= WHITE + BORROWED).view(-1, 1, 1, 1).to(pictures.device)
        x = torch.where((masks == 0)[:, None] & ~keep, ground, pictures)
        x, _ = augment.affine(x, generator, zoom=(0.8, 1.4), shift=0.1, turn=0.25, flip=True)
        x = augment.relight(x, generator, brightness=0.08)
        x = augment.damage(
            augment.blur(x, generator, 0.6), generator, noise=10.0, blocks=8.0, share=0.3
        )
        return augment.normalised(x, self.config.mean, self.config.std)

    def validate(self, module: nn.Module) -> Mapping[str, float]:
        """Image prompts of validation individuals against their own clips and those of others of
        the class."""
        return prompts_against_clips(self.data.val, lambda frames: self._embed(module, frames))

    def _embed(self, module: nn.Module, frames_BHWC: np.ndarray) -> Tensor:
        x = augment.normalised(
            augment.to_pictures(frames_BHWC, self.device), self.config.mean, self.config.std
        )
        vit = _network(module, "student")["vit"]
        return torch.cat([vit(part) for part in x.split(128)]).float().cpu()

    def export(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The student's transformer without its head, and its sizes."""
        return _network(module, "student")["vit"].state_dict(), {
            "arch": dict(self.config.arch),
            "labels": "none: two views of one clip or picture are pairs",
        }
