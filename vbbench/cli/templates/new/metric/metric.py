import numpy as np

from vbbench.metrics.analysis import Analysis
from vbbench.metrics.base import pooled
from vbbench.metrics.spec import make_spec


class MyMetric(Analysis):
    def __init__(self, setting):
        self.reads = (self,)
        self.spec = make_spec(
            setting, name="NAME", version="1", unit="share of white", bounds=(0, 1),
            formula="mean step of brightness between neighbouring pixels of a row",
            higher_is_better=True, reads_text=False,
        )  # fmt: skip

    def key(self, encoders):
        return "edges"

    def prepare(self, video, encoders):
        luma_THW = video.frames.mean(axis=3) / 255
        return np.abs(np.diff(luma_THW, axis=2)).mean(axis=(1, 2))

    def score(self, clip):
        return pooled(clip.get(self))
