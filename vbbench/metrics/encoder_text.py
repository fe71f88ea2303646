"""Texts to tokens for the real CLIP."""

from __future__ import annotations

from vbbench.errors import InputError


class BpeTokenizer:
    """open_clip's own tokenizer of a model (its vocabulary is part of the library), refusing what does not fit.

    Args:
        architecture: open_clip's name of the model.
    """

    def __init__(self, architecture: str) -> None:
        import open_clip

        self._tokenizer = open_clip.get_tokenizer(architecture)
        self.context_length = int(self._tokenizer.context_length)
        self.vocab_size = int(self._tokenizer.vocab_size)

    def __call__(self, text: str) -> list[int]:
        """``context_length`` token numbers.

        Raises:
            InputError: an empty text, or more tokens than fit; reading only the first would answer another text than was asked.
        """
        if not text.strip():
            raise InputError(f"the text {text!r} holds no word.")
        tokens, most = self._tokenizer.encode(text), self.context_length - 2
        if len(tokens) > most:
            raise InputError(f"the text has {len(tokens)} tokens, and CLIP reads at most {most}: {text[:60]!r} ...")
        if set(tokens) & set(self._tokenizer.all_special_ids):
            raise InputError(f"the text {text!r} holds a mark by which CLIP's tokenizer begins or ends a text.")
        return self._tokenizer([text])[0].tolist()
