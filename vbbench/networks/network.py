"""The text-to-video network: a text encoder and a video UNet, with everything needed to rebuild
them from a weights card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from vbbench.core.words import refuse_long, refuse_unknown, split_words
from vbbench.errors import InputError
from vbbench.networks.sampling.diffusion import DiffusionConfig
from vbbench.networks.unet.coarse import encode_text_with_embeddings
from vbbench.networks.unet.unet import UNetConfig, VideoUNet

if TYPE_CHECKING:
    from transformers import CLIPTextModel

# Tokenizers and text encoders behind one small interface, at both scales.
#
# The text encoder is transformers' ``CLIPTextModel`` at both: Stable Diffusion's (ViT-L/14, 12
# layers of width 768) or a miniature one.
# B batch, L tokens, D width.


class Tokenizer(Protocol):
    """Words to token ids of fixed length, and where a word's tokens stand."""

    max_length: int
    end_id: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64."""
        ...

    def locate(self, text: str, word: str) -> tuple[int, int]:
        """Position of the word's first token in the token ids of ``text``, and its number of
        tokens."""
        ...


class WordTokenizer:
    """One token a word of a closed vocabulary: start token, words, then end tokens up to the full
    length.

    Words are compared without case; punctuation is passed over.
    """

    def __init__(self, vocabulary: Sequence[str], max_length: int) -> None:
        self.ids = {word: i for i, word in enumerate(vocabulary)}
        self.max_length = max_length
        self.start_id, self.end_id = len(vocabulary), len(vocabulary) + 1
        self.vocab_size = len(vocabulary) + 2

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64.

        Raises:
            InputError: words outside the vocabulary, which are named, or more words than fit.
        """
        rows = []
        for text in texts:
            words = split_words(text)
            refuse_unknown(words, self.ids, text)
            refuse_long(words, self.max_length - 2)
            ids = [self.start_id, *(self.ids[word] for word in words)]
            rows.append(ids + [self.end_id] * (self.max_length - len(ids)))
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, self.max_length)

    def locate(self, text: str, word: str) -> tuple[int, int]:
        """Token position and number of tokens of ``word`` (possibly several words) where it first
        stands in ``text``.

        Raises:
            InputError: the text does not hold the word.
        """
        words, wanted = split_words(text), split_words(word)
        for at in range(len(words) - len(wanted) + 1):
            if wanted and words[at : at + len(wanted)] == wanted:
                return at + 1, len(wanted)
        raise InputError(
            f"the subject word {word!r} does not stand in the text {text!r}; the text must hold it as a word"
        )


class ClipTokenizer:
    """CLIP's byte pairs (open_clip's table of them): start token, text, then end tokens up to the
    full length, as Stable Diffusion pads."""

    start_id, end_id, vocab_size = 49406, 49407, 49408

    def __init__(self, max_length: int = 77) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self.max_length = max_length
        self._pairs = SimpleTokenizer(context_length=max_length)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64.

        Raises:
            InputError: a text that does not fit.
        """
        rows = []
        for text in texts:
            tokens = self._pairs.encode(text)
            if len(tokens) > self.max_length - 2:
                raise InputError(
                    f"the text {text[:60]!r} has {len(tokens)} tokens, and the text encoder reads {self.max_length - 2}; shorten it"
                )
            ids = [self.start_id, *tokens]
            rows.append(ids + [self.end_id] * (self.max_length - len(ids)))
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, self.max_length)

    def locate(self, text: str, word: str) -> tuple[int, int]:
        """Token position and number of tokens of ``word`` where it first stands in ``text``.

        Raises:
            InputError: the text does not hold the word.
        """
        tokens, wanted = self._pairs.encode(text), self._pairs.encode(word)
        for at in range(len(tokens) - len(wanted) + 1):
            if wanted and tokens[at : at + len(wanted)] == wanted:
                return at + 1, len(wanted)
        raise InputError(
            f"the subject word {word!r} does not stand in the text {text!r}; the text must hold it as a word"
        )


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a text encoder; the defaults are those of CLIP ViT-L/14's."""

    vocab_size: int = 49408
    width: int = 768
    feed_forward: int = 3072
    layers: int = 12
    heads: int = 12
    max_length: int = 77


def build_tokenizer(vocabulary: Sequence[str], max_length: int) -> Tokenizer:
    """A tokenizer of a closed vocabulary, or CLIP's where there is none."""
    return WordTokenizer(vocabulary, max_length) if vocabulary else ClipTokenizer(max_length)


def build_text_encoder(config: TextConfig, end_id: int) -> CLIPTextModel:
    """A ``CLIPTextModel`` with fresh weights: causal mask, quick GELU, final norm."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(  # type: ignore[call-arg]  # its stub lacks the last argument
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.max_length,
            projection_dim=config.width,
            bos_token_id=end_id - 1,
            eos_token_id=end_id,
            pad_token_id=end_id,
            attn_implementation="eager",
        )
    )


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of text encoder and UNet, the diffusion process, and a miniature text encoder's words
    (none: CLIP's byte pairs)."""

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
        return cls(
            UNetConfig(**unet),
            TextConfig(**values["text"]),
            DiffusionConfig(**values["diffusion"]),
            tuple(values["vocabulary"]),
        )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def mini_config(vocabulary: Sequence[str], latent_channels: int = 96) -> NetworkConfig:
    """The miniature network: 8 frames of 8 x 8 latent cells, two levels, x-prediction on a cosine
    schedule."""
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
        text=TextConfig(
            vocab_size=len(vocabulary) + 2,
            width=128,
            feed_forward=256,
            layers=2,
            heads=4,
            max_length=16,
        ),
        diffusion=DiffusionConfig(
            prediction_type="sample", beta_schedule="squaredcos_cap_v2", shared_noise=0.5
        ),
        vocabulary=tuple(vocabulary),
    )


class TextToVideoNetwork(nn.Module):
    """Text encoder and UNet as one module; its state-dict keys start with ``text_encoder.`` and
    ``unet.``.

    Attributes:
        works_on: the device on which it is evaluated where that is not where its weights wait;
            None: it is.
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

    def encode_text_with(
        self, texts: Sequence[str], subject_words: Sequence[str], embeddings_BED: Tensor
    ) -> Tensor:
        """Text states (B, L, D) of texts whose subject word is replaced by embeddings (VideoBooth,
        section 3.2).

        Args:
            texts: B texts.
            subject_words: the word of each that is replaced.
            embeddings_BED: what replaces it, in the text encoder's input space.
        Raises:
            InputError: a subject word that does not stand in its text, or words the text encoder
                does not know.
        """
        places = [
            self.tokenizer.locate(text, word)
            for text, word in zip(texts, subject_words, strict=True)
        ]
        ids = self.tokenizer(texts).to(embeddings_BED.device)
        starts, counts = [[at] for at, _ in places], [count for _, count in places]
        return encode_text_with_embeddings(
            self.text_encoder, ids, embeddings_BED, starts, counts
        ).last_hidden_BLD
