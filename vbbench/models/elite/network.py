"""ELITE as one network: the text-to-video network, the image encoder, the global mapping and (local stage) the local one.

B batch, H/W pixels, E words, P patches, L text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vbbench.models.elite.local import LocalMapper
from vbbench.models.image_encoder import ImageEncoder
from vbbench.models.network import TextToVideoNetwork
from vbbench.models.videobooth.coarse import Mapper
from vbbench.models.videobooth.unet import LocalPrompt

GLOBAL, LOCAL = "global", "local"
STAGES = (GLOBAL, LOCAL)


class EliteNetwork(nn.Module):
    """An image prompt as words in the place of the subject word, and in the local stage as patches that text attention reads too.

    The hidden states of the image encoder, deepest first, become one word each. The first is the primary word, the only one that
    videos are sampled with; the others are there in the global stage's training, to take up what does not belong to the subject.

    Args:
        base: a text-to-video network; changed in place (its text attention is tuned, and in the local stage extended).
        image_encoder: frozen.
        stage: ``global`` or ``local``.
    """

    def __init__(self, base: TextToVideoNetwork, image_encoder: ImageEncoder, stage: str) -> None:
        super().__init__()
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; there are {', '.join(STAGES)}")
        self.base, self.stage = base, stage
        self.image_encoder = image_encoder.eval()
        sizes = (image_encoder.num_levels, image_encoder.config.width, image_encoder.config.width, base.config.text.width)
        self.mapper = Mapper(*sizes)
        self.local_mapper = LocalMapper(*sizes) if stage == LOCAL else None
        if stage == LOCAL:
            base.unet.enable_local_attention()
        self.requires_grad_(False)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the stage trains: mapper and text K, V; in the local stage local mapper and local K, V instead."""
        return self._local() if self.stage == LOCAL else self._global()

    def shipped(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What any stage up to this one trained: the difference to the base."""
        yield from self._global()
        yield from self._local()

    def _global(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from ((f"mapper.{name}", parameter) for name, parameter in self.mapper.named_parameters())
        yield from ((f"base.unet.{name}", parameter) for name, parameter in self.base.unet.text_kv_parameters())

    def _local(self) -> Iterator[tuple[str, nn.Parameter]]:
        if self.local_mapper is not None:
            yield from ((f"local_mapper.{name}", parameter) for name, parameter in self.local_mapper.named_parameters())
        yield from ((f"base.unet.{name}", parameter) for name, parameter in self.base.unet.local_parameters())

    def encode_image(self, pixels_B3HW: Tensor) -> list[Tensor]:
        """Hidden states (B, 1 + P, D) of image prompts in [-1, 1], deepest first; without gradients."""
        with torch.no_grad():
            return self.image_encoder(pixels_B3HW)

    def words(self, states: Sequence[Tensor]) -> Tensor:
        """All words (B, E, D) of image prompts, the primary one first."""
        return self.mapper(states)

    def primary_word(self, states: Sequence[Tensor]) -> Tensor:
        """The primary word (B, 1, D) alone."""
        return self.mapper(states)[:, :1]

    def encode_text(self, texts: Sequence[str], subject_words: Sequence[str], words_BED: Tensor) -> Tensor:
        """Text states (B, L, D) of texts whose subject word is replaced by words of an image prompt.

        Raises:
            InputError: a subject word that does not stand in its text, or words the text encoder does not know.
        """
        return self.base.encode_text_with(texts, subject_words, words_BED)

    def local_prompt(
        self, states: Sequence[Tensor], foreground_BHW: Tensor, texts: Sequence[str], subject_words: Sequence[str], strength: float = 1.0
    ) -> LocalPrompt | None:
        """What the local attention reads; None in the global stage.

        Args:
            states: of `encode_image`.
            foreground_BHW: where the image prompts show their subjects.
            texts, subject_words: as in `encode_text`; the first of the words that replace a subject word stands where it stood.
            strength: the paper's lambda.
        Raises:
            InputError: a subject word that does not stand in its text.
        """
        if self.local_mapper is None:
            return None
        places = [self.base.tokenizer.locate(text, word)[0] for text, word in zip(texts, subject_words, strict=True)]
        word_B = torch.tensor(places, device=foreground_BHW.device)
        return LocalPrompt(self.local_mapper(states, foreground_BHW), word_B, strength)
