"""CLIP-Image and DINO: does the video show the subject of the image prompt?"""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.analysis import Analysis, FrameEmbeddings
from vbbench.metrics.base import Measurement, cosine_spec, pooled
from vbbench.metrics.encoders.configs import ENCODERS, check_scale, encoder_config
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.weights import encoder_digest
from vbbench.metrics.scored_clip import EmbeddedClip

REFERENCES = "all: the image prompt and the subject's further pictures, upright, on white, padded to a square, then as a frame"


class Likeness:
    """`functional.cosine_to_each` of all frames with all references (CLIP-I and DINO score of Ruiz
    et al. 2023, DreamBooth).

    Args:
        name: of the metric.
        role: whose embeddings: ``clip`` (the image embedding) or ``dino`` (the class token).
        masked: hold only what is subject against only what is subject: what lies outside of the
            suite's masks is made white in the references, and what the segmenter does not call
            subject in the frames, where the scale has a segmenter.
    """

    def __init__(self, setting: Setting, *, name: str, role: str, masked: bool = False) -> None:
        self._role, self._masked = role, masked
        self._frames = FrameEmbeddings(
            role, masked=masked and "segmenter" in ENCODERS[check_scale(setting.scale)]
        )
        self.reads: tuple[Analysis, ...] = (self._frames,)
        self.spec = cosine_spec(
            setting,
            role,
            name=name,
            formula="mean over references of cos(reference, frame)",
            references=REFERENCES,
            reference_mask="the suite's mask, white outside"
            if masked
            else "none: the whole picture",
            frame_mask=_segmenter_in_words(setting)
            if self._frames.masked
            else "none: the whole frame",
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine with the references, -1..1; raises InputError where a picture cannot be read, or a
        mask is wanted and there is none."""
        frames = clip.frame_embeddings(self._role, masked=self._frames.masked)
        return pooled(
            functional.cosine_to_each(
                frames, clip.reference_embeddings(self._role, masked=self._masked)
            )
        )


def _segmenter_in_words(setting: Setting) -> str:
    config = encoder_config("segmenter", setting)
    return f"what {setting.scale}/{config.name} ({config.title}, weights {encoder_digest(config, setting)}) calls subject, white outside"
