"""Held-out figures that several encoders share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vbbench.data.world.pictures import Split
from vbbench.metrics.validation.real_videos import same_against_other


def prompts_against_clips(
    split: Split, embed: Callable[[np.ndarray], Tensor], stride: int = 3
) -> dict[str, float]:
    """Whether an individual's image prompt is nearer to its own clip than to clips of others of its
    class.

    Args:
        split: held-out individuals.
        embed: frames (N, 64, 64, 3) uint8 to embeddings (N, D) on the CPU.
        stride: every how many-th frame of a clip is looked at.
    Returns:
        See `vbbench.metrics.validation.real_videos.same_against_other`.
    """
    subjects = np.arange(split.num_subjects)
    prompts_SD = embed(split.prompts.frames[subjects * split.counts.prompts])
    clips = split.clips.frames[subjects * split.counts.clips][:, ::stride]
    clips_STD = embed(clips.reshape(-1, *clips.shape[2:])).reshape(*clips.shape[:2], -1)
    return same_against_other(prompts_SD, clips_STD, torch.from_numpy(split.class_index))
