"""VideoBooth as one network: the text-to-video network, the image encoder, the mapper, and (fine
stage) attention injection.

B batch, C latent channels, T frames, L text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vbbench.networks.image_encoder import ImageEncoder
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.unet.coarse import Mapper

COARSE, FINE, FINE_ONLY = "coarse", "fine", "fine-only"
STAGES = (COARSE, FINE, FINE_ONLY)


class VideoBoothNetwork(nn.Module):
    """Coarse embeddings in the place of the subject word (coarse path), and injected keys and
    values (fine path).

    Args:
        base: a text-to-video network; changed in place (its text attention is tuned, and injection
            enabled for the fine path).
        image_encoder: frozen.
        stage: ``coarse``: the first path alone; ``fine``: both, the paper's model; ``fine-only``:
            the second alone, the word stays.
        noises_image_prompt: the image prompt carries the video's noise, as in the paper; without,
            it is clean, and at timestep 0.

    Attributes:
        mapper: None where there is no coarse path.
    """

    def __init__(
        self,
        base: TextToVideoNetwork,
        image_encoder: ImageEncoder,
        stage: str,
        *,
        noises_image_prompt: bool = True,
    ) -> None:
        super().__init__()
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; there are {', '.join(STAGES)}")
        self.base, self.stage, self.noises_image_prompt = base, stage, noises_image_prompt
        self.image_encoder = image_encoder.eval()
        width = image_encoder.config.width
        self.mapper = (
            None
            if stage == FINE_ONLY
            else Mapper(image_encoder.num_levels, width, width, base.config.text.width)
        )
        if self.injects:
            base.unet.enable_injection()
        self.requires_grad_(False)

    @property
    def injects(self) -> bool:
        """Whether there is a fine path."""
        return self.stage != COARSE

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the stage trains: mapper and text K, V (section 3.2); for the fine path the
        cross-frame K, V (section 3.3)."""
        if self.mapper is not None:
            yield from (
                (f"mapper.{name}", parameter) for name, parameter in self.mapper.named_parameters()
            )
            yield from (
                (f"base.unet.{name}", parameter)
                for name, parameter in self.base.unet.text_kv_parameters()
            )
        if self.injects:
            yield from (
                (f"base.unet.{name}", parameter)
                for name, parameter in self.base.unet.injection_parameters()
            )

    def embed_image(self, pixels_B3HW: Tensor) -> Tensor | None:
        """Word embeddings (B, E, D) of image prompts in [-1, 1]; None where there is no coarse
        path."""
        if self.mapper is None:
            return None
        with torch.no_grad():
            states = self.image_encoder(pixels_B3HW)
        return self.mapper(states)

    def encode_text(
        self, texts: Sequence[str], subject_words: Sequence[str], embeddings_BED: Tensor | None
    ) -> Tensor:
        """Text states (B, L, D) of texts whose subject word is replaced by an image prompt's
        embeddings, if there are any.

        Raises:
            InputError: a subject word that does not stand in its text, or words the text encoder
                does not know.
        """
        if embeddings_BED is None:
            return self.base.encode_text(texts)
        return self.base.encode_text_with(texts, subject_words, embeddings_BED)
