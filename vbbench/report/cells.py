"""What the tables of a report are made of: numbers already written out."""

from __future__ import annotations

from dataclasses import dataclass

from vbbench.results import format as words
from vbbench.results.normalised import Scale


@dataclass(frozen=True)
class Column:
    """A metric's column. Positions of marks are in % of the width from `axis_low` to `axis_high`.

    `scale` leads from the metric's own unit to the scale of the reference rows; `scale_says` is that, or why there is none, in words.
    """

    name: str
    title: str
    arrow: str
    direction: str
    spec_id: str
    decimals: int
    axis_low: float
    axis_high: float
    ceiling: float | None
    scale: Scale
    scale_says: str

    def position(self, value: float | None) -> float | None:
        """Where on the axis a value lies, 0..100."""
        if value is None:
            return None
        return round(100 * (value - self.axis_low) / ((self.axis_high - self.axis_low) or 1), 1)


@dataclass(frozen=True)
class Cell:
    """One model's number under one metric."""

    value: float | None
    text: str
    interval: str
    low: float | None
    middle: float | None
    high: float | None
    rank: int | None
    note: str
    scaled: float | None = None
    scaled_text: str = words.NOTHING
    scaled_interval: str = ""


@dataclass(frozen=True)
class Row:
    """One model's line of the leaderboard."""

    model: str
    title: str
    role: str
    rank: int | None
    sampled: int
    items: int
    lost: str
    cells: tuple[Cell, ...]
    costs: tuple[tuple[float | None, str], ...]


@dataclass(frozen=True)
class Difference:
    """A paired difference as it is shown; `verdict` is better, worse, same or unknown, corrected for the number of comparisons."""

    text: str
    interval: str
    effect: str
    verdict: str
    says: str


@dataclass(frozen=True)
class Matrix:
    """Every competitor against every other under one metric.

    Attributes:
        metric: its title.
        models: names and titles, in the order of rows and columns.
        rows: row minus column; None on the diagonal.
    """

    metric: str
    column: Column
    models: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Difference | None, ...], ...]
