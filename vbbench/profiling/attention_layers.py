"""All attention layers of a network together, from the rows of its levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vbbench.profiling.attention_cases import FRAME_COUNT, LEVELS, PART, Case
from vbbench.profiling.ceilings import floor_seconds
from vbbench.profiling.finite import worst
from vbbench.profiling.record import Ceiling, Row
from vbbench.profiling.targets import CHOSEN, SYSTEM_SHARE

DISPATCHED = "dispatched"


@dataclass(frozen=True)
class _Sum:
    """Rows of all levels and how often each counts."""

    rows: tuple[Row, ...]
    layers: tuple[int, ...]

    def total(self, name: str) -> float:
        return sum(getattr(row, name) * count for row, count in zip(self.rows, self.layers, strict=True))

    def system_share(self) -> float | None:
        """Of the sum's time; None unless known of all."""
        shares = [row.facts[SYSTEM_SHARE] for row in self.rows if row.facts.get(SYSTEM_SHARE) is not None]
        if len(shares) < len(self.rows):
            return None
        taken = (share * row.median_seconds * count for share, row, count in zip(shares, self.rows, self.layers, strict=True))
        return float(sum(taken) / self.total("median_seconds"))

    def spread(self) -> float:
        """Of a sum of medians whose noise is independent."""
        parts = (row.spread * row.median_seconds * count for row, count in zip(self.rows, self.layers, strict=True))
        return math.hypot(*parts) / self.total("median_seconds")


def layer_rows(measured: Sequence[tuple[Case, Row]], ceilings: Sequence[Ceiling]) -> list[Row]:
    """All attn1 layers of a network together, wherever every level of a size was measured; and what the dispatch gives."""
    found = []
    keys = dict.fromkeys((size, row.section, row.device) for case, row in measured for size in case.layers)
    for size, section, device in keys:
        same = [(case, row) for case, row in measured if size in case.layers and (row.section, row.device) == (section, device)]
        for name in dict.fromkeys(row.variant for _, row in same):
            found.append(_together(size, name, [(case, row) for case, row in same if row.variant == name], ceilings))
        found.append(_together(size, DISPATCHED, [(case, row) for case, row in same if row.facts[CHOSEN]], ceilings))
    return [row for row in found if row is not None]


def _together(size: int, name: str, levels: Sequence[tuple[Case, Row]], ceilings: Sequence[Ceiling]) -> Row | None:
    """A network's layers as one row; None unless all of its levels were measured."""
    counts = tuple(case.layers[size] for case, _ in levels)
    if sum(counts) != sum(layers for _, layers in LEVELS):
        return None
    rows = tuple(row for _, row in levels)
    one = _Sum(rows, counts)
    memory = [row.peak_memory_mb for row in rows if row.peak_memory_mb is not None]
    errors = [row.error for row in rows if row.error is not None]
    flops, moved, median = one.total("flops"), one.total("bytes"), one.total("median_seconds")
    floor = floor_seconds(ceilings, rows[0].dtype, flops, moved)
    return Row(
        part=PART,
        case=f"{sum(one.layers)} layers, {size} px, {FRAME_COUNT} frames",
        variant=name,
        exact=rows[0].exact,
        device=rows[0].device,
        dtype=rows[0].dtype,
        grad=rows[0].grad,
        median_seconds=median,
        min_seconds=one.total("min_seconds"),
        spread=one.spread(),
        rounds=min(row.rounds for row in rows),
        first_seconds=one.total("first_seconds"),
        peak_memory_mb=max(memory) if len(memory) == len(rows) else None,
        flops=flops,
        bytes=moved,
        roofline=None if floor is None else floor / median,
        error=worst(errors) if len(errors) == len(rows) else None,
        facts={
            "size": size,
            "frames": FRAME_COUNT,
            "sweeps": ["layers"],
            "sum": True,
            "backends": [row.variant for row in rows],
            CHOSEN: name == DISPATCHED,
            SYSTEM_SHARE: one.system_share(),
        },
    )
