"""Motion: how much moves, whatever the direction."""

from __future__ import annotations

import torch

from vbbench.metrics import functional
from vbbench.metrics.analysis import LARGEST_SIDE, Analysis, Flow
from vbbench.metrics.base import Measurement, pooled
from vbbench.metrics.encoders.configs import check_scale
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scored_clip import EmbeddedClip
from vbbench.metrics.spec import make_spec

LARGEST_VALUE = 1000.0
"""The upper bound, which JSON must be able to hold: a thousand pictures a second."""


class Motion:
    """`functional.flow_magnitudes` over all consecutive pairs. More is not better in itself: the
    text says how much is right."""

    reads: tuple[Analysis, ...] = (Flow(),)

    def __init__(self, setting: Setting) -> None:
        check_scale(setting.scale)
        self.spec = make_spec(
            setting,
            name="motion",
            version="2",
            formula=(
                "mean over pixels of the length of the optical flow (scikit-image optical_flow_ilk on luma 0.299 0.587 0.114, "
                f"radius {functional.FLOW_RADIUS}, {functional.FLOW_WARPS} warps), at most {functional.FLOW_LONGEST:g} of the short side, "
                "times frame rate, over the short side"
            ),
            resize=f"short side to at most {LARGEST_SIDE} pixels",
            interpolation="bicubic, antialiased (Pillow)",
            pairs="every frame and the next",
            unit="short sides per second",
            higher_is_better=True,
            bounds=(0.0, LARGEST_VALUE),
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Short sides a second, from 0; raises ValueError below two frames."""
        return pooled(torch.from_numpy(clip.get(Flow())))
