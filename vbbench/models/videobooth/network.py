"""VideoBooth as one network: the text-to-video network, the image encoder, the mapper, and (fine stage) attention injection.

B batch, C latent channels, T frames, L text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vbbench.models.image_encoder import ImageEncoder
from vbbench.models.network import TextToVideoNetwork
from vbbench.models.videobooth.coarse import Mapper

COARSE, FINE = "coarse", "fine"
STAGES = (COARSE, FINE)


class VideoBoothNetwork(nn.Module):
    """Coarse embeddings in the place of the subject word, and in the fine stage injected keys and values.

    Args:
        base: a text-to-video network; changed in place (its text attention is tuned, and injection enabled in the fine stage).
        image_encoder: frozen.
        stage: ``coarse`` or ``fine``.
    """

    def __init__(self, base: TextToVideoNetwork, image_encoder: ImageEncoder, stage: str) -> None:
        super().__init__()
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; there are {', '.join(STAGES)}")
        self.base, self.stage = base, stage
        self.image_encoder = image_encoder.eval()
        width = image_encoder.config.width
        self.mapper = Mapper(image_encoder.num_levels, width, width, base.config.text.width)
        if stage == FINE:
            base.unet.enable_injection()
        self.requires_grad_(False)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the stage trains: mapper and text K, V (section 3.2); in the fine stage the cross-frame K, V too (section 3.3)."""
        yield from ((f"mapper.{name}", parameter) for name, parameter in self.mapper.named_parameters())
        yield from ((f"base.unet.{name}", parameter) for name, parameter in self.base.unet.text_kv_parameters())
        if self.stage == FINE:
            yield from ((f"base.unet.{name}", parameter) for name, parameter in self.base.unet.injection_parameters())

    def embed_image(self, pixels_B3HW: Tensor) -> Tensor:
        """Word embeddings (B, E, D) of image prompts in [-1, 1]."""
        with torch.no_grad():
            states = self.image_encoder(pixels_B3HW)
        return self.mapper(states)

    def encode_text(self, texts: Sequence[str], subject_words: Sequence[str], embeddings_BED: Tensor) -> Tensor:
        """Text states (B, L, D) of texts whose subject word is replaced by an image prompt's embeddings.

        Raises:
            InputError: a subject word that does not stand in its text, or words the text encoder does not know.
        """
        return self.base.encode_text_with(texts, subject_words, embeddings_BED)
