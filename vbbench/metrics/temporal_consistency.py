"""Temporal consistency: how alike are neighbouring frames? Read it beside motion: a still picture is perfectly steady."""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.base import EmbeddedClip, Measurement, encoder_spec, pooled


class TemporalConsistency:
    """`functional.temporal_consistency` over CLIP embeddings of all frames."""

    def __init__(self, scale: str) -> None:
        self.spec = encoder_spec(
            "clip",
            scale,
            name="temporal-consistency",
            frames="all consecutive pairs",
            pooling="mean over pairs of cos(frame i, frame i+1); no factor, no clamping",
            unit="cosine",
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine of neighbours, -1..1; raises ValueError below two frames."""
        frames = clip.frame_embeddings("clip")
        return pooled(functional.consecutive_cosines(frames), functional.temporal_consistency(frames))
