"""CLIP-Image: does the video look like the image prompt?"""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.base import EmbeddedClip, Measurement, encoder_spec, pooled


class ClipImage:
    """`functional.clip_image` over the subject's references and all frames."""

    def __init__(self, scale: str) -> None:
        self.spec = encoder_spec(
            "clip",
            scale,
            name="clip-image",
            frames="all",
            pooling="mean over frames and references of cos(reference, frame); reference: whole image prompt; no factor, no clamping",
            unit="cosine",
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine with the image prompt, -1..1; raises InputError where that picture cannot be read."""
        frames, references = clip.frame_embeddings("clip"), clip.reference_embeddings("clip")
        return pooled(functional.cosine_to_each(frames, references), functional.clip_image(frames, references))
