"""Words to numbers for the miniature CLIP: one token a word of the miniature world, nothing below
words. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from vbbench.core.words import refuse_long, refuse_unknown, split_words
from vbbench.errors import InputError


class WordTokenizer:
    """Start, the words, end, padding; as open_clip's text tower wants them: the end has the highest
    number, padding is 0.

    Args:
        words: the vocabulary; part of the weights, so it comes from their card.
        context_length: tokens a text, start and end included.
    """

    def __init__(self, words: Sequence[str], context_length: int) -> None:
        self.words = tuple(words)
        self.context_length = context_length
        self._number = {word: number for number, word in enumerate(self.words, start=2)}

    @property
    def vocab_size(self) -> int:
        """Words, padding, start and end."""
        return len(self.words) + 3

    def __call__(self, text: str) -> list[int]:
        """``context_length`` token numbers.

        Raises:
            InputError: no word, words the encoder has not seen (named), or more words than fit.
        """
        words = split_words(text)
        if not words:
            raise InputError(f"the text {text!r} holds no word.")
        refuse_unknown(words, self._number, text)
        refuse_long(words, self.context_length - 2)
        tokens = [1, *(self._number[word] for word in words), self.vocab_size - 1]
        return tokens + [0] * (self.context_length - len(tokens))
