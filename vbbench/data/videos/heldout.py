"""Which clips are held out: a rule over a clip's source, so that all who have the dataset get the
same list without exchanging one.

The paper holds out 650 of 49,374 pairs and has not published which. Here the SHA-256 of a fixed
text and of the clip's source id, read as a number in [0, 1), decides: below 650 / 49,374 it is held
out. On average that is as many; which ones does not depend on the order of the rows, on what else
is in the dataset, or on the machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from vbbench.core.digests import sha256_number, sha256_of

SALT = "videobooth-heldout-1"
HELD_OUT, PAIRS = 650, 49_374
"""Held-out pairs and all pairs of the paper, section 4.1; their quotient is the share that is held
out."""


def is_held_out(source: str) -> bool:
    """Whether every clip of this source is held out.

    Args:
        source: the id of what a clip was cut from; the videoid, where the dataset says nothing of
            it. Spaces around it do not count.
    """
    return sha256_number(f"{SALT}:{source.strip()}") * PAIRS < HELD_OUT << 64


def split_of(source: str) -> str:
    """``heldout`` or ``train``."""
    return "heldout" if is_held_out(source) else "train"


def list_digest(sources: Iterable[str]) -> str:
    """SHA-256 over sorted ids, one a line: two labs with the same list have the same digest."""
    return sha256_of("".join(f"{name}\n" for name in sorted(sources)))
