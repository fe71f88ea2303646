"""Names that people type: lists with commas, and what was meant by a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def names_in(text: str) -> list[str]:
    """The names in a list with commas; what is empty is passed over."""
    return [name.strip() for name in text.split(",") if name.strip()]


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps after a wrong name: the nearest known one, or all of them."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(known)}." if known else "none is known."
