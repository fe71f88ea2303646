"""The text-to-video network: a text encoder and a video UNet, with everything needed to rebuild them from a weights card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.models.diffusion import DiffusionConfig
from vbbench.models.text import TextConfig, build_text_encoder, build_tokenizer
from vbbench.models.videobooth.coarse import encode_text_with_embeddings
from vbbench.models.videobooth.unet import UNetConfig, VideoUNet


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of text encoder and UNet, the diffusion process, and a miniature text encoder's words (none: CLIP's byte pairs)."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    text: TextConfig = field(default_factory=TextConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    vocabulary: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for cards."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """The inverse of ``as_dict`` after a trip through JSON (lists become tuples)."""
        unet = {key: _tuple(value) for key, value in values["unet"].items()}
        return cls(UNetConfig(**unet), TextConfig(**values["text"]), DiffusionConfig(**values["diffusion"]), tuple(values["vocabulary"]))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def mini_config(vocabulary: Sequence[str], latent_channels: int = 96) -> NetworkConfig:
    """The miniature network: 8 frames of 8 x 8 latent cells, two levels, x-prediction on a cosine schedule."""
    return NetworkConfig(
        unet=UNetConfig(
            in_channels=latent_channels,
            out_channels=latent_channels,
            block_out_channels=(128, 128),
            layers_per_block=1,
            attention_levels=(True, True),
            num_heads=(4, 4),
            cross_attention_dim=128,
            norm_num_groups=8,
            feed_forward_mult=2,
            watermark_widths=None,
            time_scale_shift=True,
            pooled_text=True,
            frame_codes=8,
            spatial_codes=(8, 8),
            temporal_codes=8,
            zero_init=True,
            skip_sd=0.5,
        ),
        text=TextConfig(vocab_size=len(vocabulary) + 2, width=128, feed_forward=256, layers=2, heads=4, max_length=16),
        diffusion=DiffusionConfig(prediction_type="sample", beta_schedule="squaredcos_cap_v2", shared_noise=0.5),
        vocabulary=tuple(vocabulary),
    )


class TextToVideoNetwork(nn.Module):
    """Text encoder and UNet as one module; its state-dict keys start with ``text_encoder.`` and ``unet.``.

    Attributes:
        works_on: the device on which it is evaluated where that is not where its weights wait; None: it is.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.works_on: torch.device | None = None
        self.tokenizer = build_tokenizer(config.vocabulary, config.text.max_length)
        self.text_encoder = build_text_encoder(config.text, self.tokenizer.end_id)
        self.unet = VideoUNet(config.unet)

    @property
    def device(self) -> torch.device:
        """Where it is evaluated: where the weights are, unless they wait elsewhere."""
        return self.works_on or self.unet.conv_in.weight.device

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Text states (B, L, D) of texts.

        Raises:
            InputError: words that the text encoder does not know.
        """
        return self.text_encoder(input_ids=self.tokenizer(texts).to(self.device)).last_hidden_state

    def encode_text_with(self, texts: Sequence[str], subject_words: Sequence[str], embeddings_BED: Tensor) -> Tensor:
        """Text states (B, L, D) of texts whose subject word is replaced by embeddings (VideoBooth, section 3.2).

        Args:
            texts: B texts.
            subject_words: the word of each that is replaced.
            embeddings_BED: what replaces it, in the text encoder's input space.
        Raises:
            InputError: a subject word that does not stand in its text, or words the text encoder does not know.
        """
        places = [self.tokenizer.locate(text, word) for text, word in zip(texts, subject_words, strict=True)]
        ids = self.tokenizer(texts).to(embeddings_BED.device)
        starts, counts = [[at] for at, _ in places], [count for _, count in places]
        return encode_text_with_embeddings(self.text_encoder, ids, embeddings_BED, starts, counts).last_hidden_BLD
