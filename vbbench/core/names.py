"""Names that people type: lists with commas, and what was meant by a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def names_in(text: str) -> list[str]:
    """The names in a list with commas; what is empty is passed over."""
    return [name.strip() for name in text.split(",") if name.strip()]


def closest(name: str, known: Iterable[str], *, similarity: float = 0.5) -> str | None:
    """The known name that a wrong one was most likely meant for; None where none is like it.

    Args:
        known: names in lower case.
        similarity: the least that counts, in (0, 1]; 1 is the same name, but for its case.
    """
    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=similarity)
    return found[0] if found else None


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps after a wrong name: the nearest known one, or all of them."""
    known = sorted(set(known))
    meant = closest(name, known)
    if meant is not None:
        return f"did you mean {meant!r}?"
    return f"known are {', '.join(known)}." if known else "none is known."


def nearest_sentence(name: str, known: Iterable[str]) -> str:
    """What `nearest` says, as a sentence of its own."""
    hint = nearest(name, known)
    return hint[0].upper() + hint[1:]
