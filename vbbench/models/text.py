"""Tokenizers and text encoders behind one small interface, at both scales.

The text encoder is transformers' ``CLIPTextModel`` at both: Stable Diffusion's (ViT-L/14, 12 layers of width 768) or a miniature one.
B batch, L tokens, D width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vbbench.errors import InputError

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


class Tokenizer(Protocol):
    """Words to token ids of fixed length, and where a word's tokens stand."""

    max_length: int

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64."""
        ...

    def locate(self, text: str, word: str) -> tuple[int, int]:
        """Position of the word's first token in the token ids of ``text``, and its number of tokens."""
        ...


class WordTokenizer:
    """One token a word of a closed vocabulary: start token, words, then end tokens up to the full length.

    Words are compared without case; punctuation is passed over.
    """

    def __init__(self, vocabulary: Sequence[str], max_length: int) -> None:
        self.ids = {word: i for i, word in enumerate(vocabulary)}
        self.max_length = max_length
        self.start_id, self.end_id = len(vocabulary), len(vocabulary) + 1
        self.vocab_size = len(vocabulary) + 2

    def words(self, text: str) -> list[str]:
        """The words of a text in lower case."""
        return [word.lower() for word in _WORD.findall(text)]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) int64; texts beyond the full length are cut, as CLIP's tokenizer does.

        Raises:
            InputError: words outside the vocabulary, which are named.
        """
        rows = []
        for text in texts:
            words = self.words(text)
            unknown = [word for word in dict.fromkeys(words) if word not in self.ids]
            if unknown:
                known = ", ".join(sorted(self.ids))
                raise InputError(f"the text encoder has never seen {_quoted(unknown)} (in {text!r}); it knows only: {known}")
            ids = [self.start_id, *(self.ids[word] for word in words)][: self.max_length - 1]
            rows.append(ids + [self.end_id] * (self.max_length - len(ids)))
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, self.max_length)

    def locate(self, text: str, word: str) -> tuple[int, int]:
        """Token position and number of tokens of ``word`` (possibly several words) where it first stands in ``text``.

        Raises:
            InputError: the text does not hold the word, or the text is so long that the word is cut off.
        """
        words, wanted = self.words(text), self.words(word)
        for at in range(len(words) - len(wanted) + 1):
            if wanted and words[at : at + len(wanted)] == wanted:
                if 1 + at + len(wanted) > self.max_length - 1:
                    raise InputError(f"the subject word {word!r} stands beyond the {self.max_length - 2} words that the text encoder reads")
                return at + 1, len(wanted)
        raise InputError(f"the subject word {word!r} does not stand in the text {text!r}; the text must hold it as a word")


def _quoted(words: Sequence[str]) -> str:
    shown = ", ".join(repr(word) for word in words[:8])
    return shown + (f" and {len(words) - 8} more words" if len(words) > 8 else "")


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a text encoder; the defaults are those of CLIP ViT-L/14's."""

    vocab_size: int = 49408
    width: int = 768
    feed_forward: int = 3072
    layers: int = 12
    heads: int = 12
    max_length: int = 77


def build_text_encoder(config: TextConfig, end_id: int) -> nn.Module:
    """A ``CLIPTextModel`` with fresh weights: causal mask, quick GELU, final norm."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
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
