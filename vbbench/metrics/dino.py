"""DINO: does the video show the very subject of the image prompt?"""

from __future__ import annotations

from vbbench.metrics import functional
from vbbench.metrics.base import EmbeddedClip, Measurement, encoder_spec, pooled


class Dino:
    """`functional.dino` over the subject's references and all frames."""

    def __init__(self, scale: str) -> None:
        self.spec = encoder_spec(
            "dino",
            scale,
            name="dino",
            frames="all",
            pooling="mean over frames and references of the class tokens' cosines; reference: whole image prompt; no factor, no clamping",
            unit="cosine",
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Cosine with the image prompt, -1..1; raises InputError where that picture cannot be read."""
        frames, references = clip.frame_embeddings("dino"), clip.reference_embeddings("dino")
        return pooled(functional.cosine_to_each(frames, references), functional.dino(frames, references))
