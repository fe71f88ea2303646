"""Do the metrics order what is known to be better above what is known to be worse? Held against
real, held-out clips.

Shape suffixes: N individuals, T frames, D embedding, B frames read, C choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vbbench.data import world
from vbbench.metrics import functional
from vbbench.metrics.analysis import Encoders, Regions
from vbbench.metrics.encoders.encoders import SegmentEncoder, get_encoder
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.true_identity import frame_identities, truth_of
from vbbench.types import Video


def same_against_other(prompts_ND: Tensor, clips_NTD: Tensor, class_N: Tensor) -> dict[str, float]:
    """Each individual's image prompt held against its own clip and against the clips of all others
    of its class.

    Args:
        prompts_ND: embeddings of the image prompts.
        clips_NTD: embeddings of one clip of each individual.
        class_N: class of each individual; a class of one takes no part.
    Returns:
        ``same``, ``other``: mean cosine with the own and with other clips; ``margin``: their
        difference; ``pairs``: share of (own, other) pairs where the own is nearer; ``top1``: share
        of individuals whose own clip is the nearest of its class.
    """
    cosine_NNT = torch.einsum(
        "nd,mtd->nmt",
        F.normalize(prompts_ND.float(), dim=-1),
        F.normalize(clips_NTD.float(), dim=-1),
    )
    cosine_NN = cosine_NNT.mean(dim=-1)
    rivals_NN = (class_N[:, None] == class_N[None, :]) & ~torch.eye(len(class_N), dtype=torch.bool)
    own_N = cosine_NN.diagonal()
    right_NN = (own_N[:, None] > cosine_NN) & rivals_NN
    counted_N = rivals_NN.any(dim=1)
    same, other = float(own_N[counted_N].mean()), float(cosine_NN[rivals_NN].mean())
    return {
        "same": same,
        "other": other,
        "margin": same - other,
        "pairs": float(right_NN.sum() / rivals_NN.sum()),
        "top1": float((right_NN.sum(dim=1) == rivals_NN.sum(dim=1))[counted_N].float().mean()),
    }


def read_rate(frames_BD: Tensor, choices_BCD: Tensor, right_B: np.ndarray) -> float:
    """How often the nearest of the texts offered for a frame is the right one, 0..1."""
    cosine_BC = torch.einsum(
        "bd,bcd->bc",
        F.normalize(frames_BD.float(), dim=-1),
        F.normalize(choices_BCD.float(), dim=-1),
    )
    return float((cosine_BC.argmax(dim=1).numpy() == right_B).mean())


@dataclass(frozen=True)
class RealClips:
    """Held-out clips with what is true of them: frames (N, T, 64, 64, 3), their masks, image
    prompts (N, 64, 64, 3), indices (N,)."""

    frames: np.ndarray
    masks: np.ndarray
    prompts: np.ndarray
    class_index: np.ndarray
    scene: np.ndarray
    motion: np.ndarray
    people: world.IndividualBatch


def held_out_clips(split: str = "test", per_class: int = 5, seed: int = 0) -> RealClips:
    """One clip and one image prompt of each of the first ``per_class`` individuals of every class,
    rendered anew."""
    rng = np.random.default_rng(seed)
    class_index = np.repeat(np.arange(len(world.CLASSES)), per_class)
    people = world.individuals(
        split, class_index, np.tile(np.arange(per_class), len(world.CLASSES))
    )
    count = len(class_index)
    scene, motion = (
        rng.integers(len(world.SCENES), size=count),
        rng.integers(len(world.MOTIONS), size=count),
    )
    seeds = rng.integers(2**31, size=(2, count))
    frames, masks = world.render_clips(people, scene, motion, seeds[0])
    prompts, _ = world.render_image_prompts(people, seeds[1])
    return RealClips(frames, masks, prompts, class_index, scene, motion, people)


def real_video_check(
    split: str = "test", per_class: int = 5, *, device: str = "cpu"
) -> dict[str, float]:
    """What the scoring encoders make of real clips of held-out individuals.

    Returns:
        ``clip-image/...``, ``dino/...``: see `same_against_other`.
        ``class``, ``scene``: how often CLIP reads them from single frames.
        ``consistency``, ``consistency/shuffled``: temporal consistency of clips and of their frames
        in random order; ``consistency/pairs``: share of clips with the real order above.
        ``true-identity/same``, ``/other``: of a clip held against its individual's truth and the
        next individual's; ``/pairs`` likewise.
        ``iou``: of the segmenter's subjects with the true masks.
    Raises:
        WeightsError: an encoder's weights are missing.
    """
    clips = held_out_clips(split, per_class)
    figures: dict[str, float] = {}
    class_N = torch.from_numpy(clips.class_index)
    embedded = {}
    for metric, name in (("clip-image", "clip"), ("dino", "dino")):
        embed = get_encoder(name, Setting(), device).embed_frames
        embedded[name] = embed(clips.frames.reshape(-1, *clips.frames.shape[2:])).reshape(
            *clips.frames.shape[:2], -1
        )
        figures |= {
            f"{metric}/{k}": v
            for k, v in same_against_other(embed(clips.prompts), embedded[name], class_N).items()
        }
    figures |= _read(clips, embedded["clip"], device)
    figures |= _consistency(embedded["clip"])
    return figures | _identity(clips, device)


def _read(clips: RealClips, embedded_NTD: Tensor, device: str) -> dict[str, float]:
    encoder = get_encoder("clip", Setting(), device)
    rows = zip(clips.class_index, clips.scene, clips.motion, strict=True)
    names = [(world.CLASSES[c], world.SCENES[s], world.MOTIONS[m]) for c, s, m in rows]
    frames = embedded_NTD.shape[1]
    figures = {}
    for what, choices, right in (
        (
            "class",
            [
                [world.caption(c, scene, motion) for c in world.CLASSES]
                for _, scene, motion in names
            ],
            clips.class_index,
        ),
        (
            "scene",
            [[world.caption(name, s, motion) for s in world.SCENES] for name, _, motion in names],
            clips.scene,
        ),
    ):
        texts_NCD = torch.stack([encoder.embed_text(row) for row in choices])
        figures[what] = read_rate(
            embedded_NTD.flatten(0, 1),
            texts_NCD.repeat_interleave(frames, 0),
            np.repeat(right, frames),
        )
    return figures


def _consistency(embedded_NTD: Tensor) -> dict[str, float]:
    rng = np.random.default_rng(0)
    real = [float(functional.consecutive_cosines(clip).mean()) for clip in embedded_NTD]
    shuffled = [
        float(functional.consecutive_cosines(clip[rng.permutation(len(clip))]).mean())
        for clip in embedded_NTD
    ]
    return {
        "consistency": float(np.mean(real)),
        "consistency/shuffled": float(np.mean(shuffled)),
        "consistency/pairs": float(np.mean(np.array(real) > np.array(shuffled))),
    }


def _identity(clips: RealClips, device: str) -> dict[str, float]:
    encoders = Encoders(Setting(), device)
    regions = [Regions().prepare(Video(frames, 1), encoders) for frames in clips.frames]
    segmenter = encoders.get("segmenter")
    assert isinstance(segmenter, SegmentEncoder)
    truths = [truth_of(clips.people, row) for row in range(len(clips.people))]
    neighbours = _neighbours(clips.class_index)
    same = np.array(
        [np.mean(frame_identities(seen, truths[row])) for row, seen in enumerate(regions)]
    )
    other = np.array(
        [
            np.mean(frame_identities(seen, truths[neighbours[row]]))
            for row, seen in enumerate(regions)
        ]
    )
    found = segmenter.segments(clips.frames.reshape(-1, *clips.frames.shape[2:])) > 0
    true = clips.masks.reshape(found.shape) > 0
    return {
        "true-identity/same": float(same.mean()),
        "true-identity/other": float(other.mean()),
        "true-identity/pairs": float((same > other).mean()),
        "iou": float((found & true).sum() / (found | true).sum()),
    }


def _neighbours(class_N: np.ndarray) -> list[int]:
    """For each individual the next one of its class, the first after the last."""
    neighbours = []
    for row, class_index in enumerate(class_N):
        members = np.flatnonzero(class_N == class_index)
        neighbours.append(int(members[(np.searchsorted(members, row) + 1) % len(members)]))
    return neighbours
