"""The plain text-to-video model."""

from __future__ import annotations

from vbbench.models.latent_video import LatentVideoModel


class TextToVideo(LatentVideoModel):
    """The base model: reads the text, never sees the image prompt."""
