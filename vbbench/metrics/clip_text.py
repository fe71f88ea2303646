"""CLIP-Text: does the video show what the text says?"""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.base import EmbeddedClip, Measurement, encoder_spec, pooled


class ClipText:
    """`functional.clip_text` over the text prompt and all frames."""

    def __init__(self, scale: str) -> None:
        self.spec = encoder_spec(
            "clip",
            scale,
            name="clip-text",
            frames="all",
            pooling="mean over frames of cos(text, frame); the text is the item's, with the subject word; no factor, no clamping",
            unit="cosine",
            reads_text=True,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine with the text, -1..1; raises InputError where the text has words the encoder has not seen."""
        frames, text = clip.frame_embeddings("clip"), clip.text_embedding("clip")
        return pooled(functional.cosine_to_each(frames, text[None]), functional.clip_text(frames, text))
