"""A model of numpy alone. The environment makes it slow, or fail, without changing what it is."""

import os
import time
from pathlib import Path

import numpy as np

from vbbench.types import Video

from .colours import base_colour


class Noise:
    def __init__(self, settings, *, device, folder):
        self.strength = settings["strength"]

    def generate(self, items, params):
        _log("batch " + " ".join(item.id for item in items))
        return [self._video(item, params) for item in items]

    def _video(self, item, params):
        time.sleep(float(os.environ.get("NOISE_PAUSE", "0")))
        if item.id in os.environ.get("NOISE_FAILS", "").split():
            raise ValueError(f"cannot draw {item.id}\nat all")
        rng = np.random.default_rng(item.seed)
        noise = rng.normal(0, self.strength, (params.num_frames, params.size, params.size, 3))
        frames = np.clip(base_colour(rng) + noise, 0, 255).astype(np.uint8)
        return Video(frames=frames, fps=params.fps)


def _log(line):
    if "NOISE_LOG" in os.environ:
        with Path(os.environ["NOISE_LOG"]).open("a") as file:
            file.write(line + "\n")
