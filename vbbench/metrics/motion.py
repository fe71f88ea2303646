"""Motion: how much moves, whatever the direction."""

from __future__ import annotations

from vbbench.errors import UsageError
from vbbench.metrics import functional
from vbbench.metrics.base import EmbeddedClip, Measurement, pooled
from vbbench.metrics.configs import ENCODERS
from vbbench.metrics.spec import make_spec
from vbbench.video import resize_frames

LARGEST_SIDE = 128
"""Frames are shrunk to this short side first: the flow's cost grows with the pixels, its mean hardly changes."""
LARGEST_VALUE = 1000.0
"""The upper bound, which JSON must be able to hold: a thousand pictures a second."""


class Motion:
    """`functional.motion` over all consecutive pairs. More is not better in itself: the text says how much is right."""

    def __init__(self, scale: str) -> None:
        if scale not in ENCODERS:
            raise UsageError(f"there is no scale {scale!r}; there are {', '.join(ENCODERS)}.")
        self.spec = make_spec(
            name="motion",
            version="1",
            encoder=None,
            encoder_digest=None,
            preprocessing=f"uint8 RGB, short side at most {LARGEST_SIDE} bicubic antialiased (Pillow), luma 0.299 0.587 0.114",
            frames="all consecutive pairs",
            pooling=(
                "mean over pairs and pixels of the length of the optical flow (scikit-image optical_flow_ilk, "
                f"radius {functional.FLOW_RADIUS}, {functional.FLOW_WARPS} warps), times frame rate, over the short side"
            ),
            unit="short sides per second",
            higher_is_better=True,
            bounds=(0.0, LARGEST_VALUE),
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Short sides a second, from 0; raises ValueError below two frames."""
        frames = clip.frames
        short = min(frames.shape[1:3])
        if short > LARGEST_SIDE:
            height, width = (round(side * LARGEST_SIDE / short) for side in frames.shape[1:3])
            frames = resize_frames(frames, (height, width))
        lengths = functional.flow_magnitudes(frames, clip.video.fps)
        return pooled(lengths, lengths.mean())
