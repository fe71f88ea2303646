"""CLIP-Text: does the video show what the text says?"""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.analysis import Analysis, FrameEmbeddings
from vbbench.metrics.base import Measurement, cosine_spec, pooled
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.scored_clip import EmbeddedClip
from vbbench.metrics.spec import WHOLE_PROMPT


class ClipText:
    """`functional.cosine_to_each` of all frames with the text prompt (Hessel et al. 2021,
    CLIPScore, without its factor and clamp)."""

    reads: tuple[Analysis, ...] = (FrameEmbeddings("clip"),)

    def __init__(self, setting: Setting) -> None:
        self.spec = cosine_spec(
            setting,
            "clip",
            name="clip-text",
            formula="cos(text, frame)",
            prompt=WHOLE_PROMPT,
            reads_text=True,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine with the text, -1..1; raises InputError for a text that the encoder cannot
        read."""
        text_1D = clip.text_embedding("clip").reshape(1, -1)
        return pooled(functional.cosine_to_each(clip.frame_embeddings("clip"), text_1D))
