"""A fitted model: it learns one colour from a subject's clips."""

import os

import numpy as np
import torch

from vbbench.errors import InputError
from vbbench.media.video import read_video
from vbbench.types import Adapter, Video


class Tinted:
    def __init__(self, settings, *, device, folder):
        pass

    def fit(self, subject, *, seed):
        if subject.id in os.environ.get("TINTED_FAILS", "").split():
            raise InputError(f"{subject.id} has no colour")
        clips = [torch.from_numpy(read_video(clip).frames).float() for clip in subject.clips]
        colour = torch.stack([clip.mean(dim=(0, 1, 2)) for clip in clips]).mean(dim=0)
        return Adapter(subject.id, {"colour": colour}, {"seed": seed, "loss": float("nan")})

    def generate(self, items, params, adapter):
        if any(item.subject.id != adapter.subject_id for item in items):
            raise AssertionError("an adapter of another subject")
        colour = adapter.tensors["colour"].round().to(torch.uint8).numpy()
        frames = np.broadcast_to(colour, (params.num_frames, params.size, params.size, 3)).copy()
        return [Video(frames=frames, fps=params.fps) for _ in items]
