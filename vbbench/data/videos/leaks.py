"""The same clip in two splits: by its source, by near-duplicate first frames and image prompts, and
by embeddings where there are any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vbbench.data.videos import faults
from vbbench.data.videos.faults import Fault
from vbbench.data.videos.fingerprints import BITS, alike, copies
from vbbench.data.videos.inspection import Inspected

ALIKE = 0.97
"""Cosine from which two image prompts' embeddings are held to show the same picture. A model's own:
look at pairs before relying on it."""


def find_leaks(
    these: Sequence[Inspected], others: Sequence[Inspected], other_name: str, lowest: float = ALIKE
) -> list[Fault]:
    """Every clip of one split that is in the other one too, once a pair and kind.

    Args:
        other_name: what the other split is called in the reasons.
        lowest: cosine from which embeddings count as the same.
    """
    by_source: dict[str, Inspected] = {}
    for seen in others:
        by_source.setdefault(seen.entry.source, seen)
    found = [
        Fault(
            faults.SAME_SOURCE,
            seen.entry.name,
            f"its source {seen.entry.source!r} is that of {_name(other, other_name)}",
        )
        for seen in these
        if (other := by_source.get(seen.entry.source)) is not None
    ]
    found += _copies(these, others, other_name, faults.SAME_FRAME, "first frame")
    found += _copies(these, others, other_name, faults.SAME_PROMPT, "image prompt")
    return found + _alike(these, others, other_name, lowest)


def _copies(
    these: Sequence[Inspected], others: Sequence[Inspected], other_name: str, kind: str, what: str
) -> list[Fault]:
    marks = [
        [
            (seen, mark)
            for seen in side
            for mark in (
                ([seen.frame] if seen.frame else []) if kind == faults.SAME_FRAME else seen.prompts
            )
        ]
        for side in (these, others)
    ]
    pairs: dict[tuple[str, str], Fault] = {}
    for a, b, bits in copies([mark for _, mark in marks[0]], [mark for _, mark in marks[1]]):
        one, other = marks[0][a][0], marks[1][b][0]
        reason = (
            f"its {what} is nearly that of {_name(other, other_name)}: {bits} of {BITS} bits differ"
        )
        if one.entry.source != other.entry.source:
            pairs.setdefault(
                (one.entry.name, other.entry.name), Fault(kind, one.entry.name, reason)
            )
    return list(pairs.values())


def _alike(
    these: Sequence[Inspected], others: Sequence[Inspected], other_name: str, lowest: float
) -> list[Fault]:
    rows = [
        [(seen, vector) for seen in side for vector in seen.embeddings] for side in (these, others)
    ]
    if not rows[0] or not rows[1]:
        return []
    stacked = [np.stack([vector for _, vector in side]) for side in rows]
    pairs: dict[tuple[str, str], Fault] = {}
    for a, b, cosine in alike(stacked[0], stacked[1], lowest):
        one, other = rows[0][a][0], rows[1][b][0]
        reason = f"the embedding of its image prompt is nearly that of {_name(other, other_name)}: cosine {cosine:.3f}"
        if one.entry.source != other.entry.source:
            pairs.setdefault(
                (one.entry.name, other.entry.name),
                Fault(faults.SAME_EMBEDDING, one.entry.name, reason),
            )
    return list(pairs.values())


def _name(seen: Inspected, other_name: str) -> str:
    return f"{seen.entry.name} in {other_name}"
