"""Texts to words, the same for every part that reads whole words: the miniature's text encoders.
Standard library only."""

from __future__ import annotations

import re
from collections.abc import Collection

from vbbench.errors import InputError

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SHOWN = 8


def split_words(text: str) -> list[str]:
    """The words of a text in lower case; punctuation is passed over."""
    return [word.lower() for word in _WORD.findall(text)]


def refuse_unknown(words: Collection[str], known: Collection[str], text: str) -> None:
    """Does nothing if all words are known.

    Raises:
        InputError: names the words that are not, in their order, and all that would be.
    """
    unknown = [word for word in dict.fromkeys(words) if word not in known]
    if unknown:
        shown = ", ".join(repr(word) for word in unknown[:_SHOWN])
        rest = f" and {len(unknown) - _SHOWN} more words" if len(unknown) > _SHOWN else ""
        raise InputError(
            f"the text encoder has never seen {shown}{rest} (in {text!r}); it knows only: {', '.join(sorted(known))}"
        )


def refuse_long(words: Collection[str], most: int) -> None:
    """Does nothing if there are at most ``most`` words.

    Raises:
        InputError: there are more; reading only the first would answer another text than was asked.
    """
    if len(words) > most:
        raise InputError(
            f"the text has {len(words)} words; the miniature text encoder reads at most {most}"
        )
