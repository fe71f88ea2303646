"""Temporal consistency: how alike are the frames? Read it beside motion: a still picture is
perfectly steady."""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.analysis import Analysis, FrameEmbeddings
from vbbench.metrics.base import Measurement, cosine_spec, pooled
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scored_clip import EmbeddedClip

PAIRS = {
    "consecutive": ("every frame and the next", functional.consecutive_cosines),
    "first": ("the first frame and every other", functional.first_frame_cosines),
    "all": ("all pairs of two frames", functional.all_pairs_cosines),
}


class TemporalConsistency:
    """Cosines of pairs of frames ("frame consistency" of Esser et al. 2023, Gen-1, for consecutive
    CLIP embeddings).

    Args:
        name: of the metric.
        role: whose embeddings, ``clip`` or ``dino``.
        pairs: which pairs: a key of `PAIRS`.
    """

    def __init__(
        self, setting: Setting, *, name: str, role: str = "clip", pairs: str = "consecutive"
    ) -> None:
        words, self._cosines = PAIRS[pairs]
        self._role = role
        self.reads: tuple[Analysis, ...] = (FrameEmbeddings(role),)
        self.spec = cosine_spec(setting, role, name=name, formula="cos(frame, frame)", pairs=words)

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine, -1..1; raises ValueError below two frames."""
        return pooled(self._cosines(clip.frame_embeddings(self._role)))


class SubjectConsistency:
    """VBench's subject consistency (Huang et al. 2023): every frame against the one before it and
    against the first, negative cosines counted as 0. VBench reads it with DINO ViT-B/16 and no
    crop; here it has our DINO and preprocessing, as the spec says."""

    reads: tuple[Analysis, ...] = (FrameEmbeddings("dino"),)

    def __init__(self, setting: Setting) -> None:
        self.spec = cosine_spec(
            setting,
            "dino",
            name="subject-consistency",
            formula="(max(0, cos(frame, frame before)) + max(0, cos(frame, first frame))) / 2",
            pairs="every frame from the second on, with the one before it and with the first",
            clamp="each cosine at 0 from below",
            bounds=(0.0, 1.0),
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """0..1; raises ValueError below two frames."""
        return pooled(functional.subject_consistency(clip.frame_embeddings("dino")))
