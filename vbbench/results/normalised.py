"""Means on the scale from floor (0) to ceiling (1) of the reference rows, so that saturation shows.

A metric's own unit says little of how good a number is: a cosine of 0.86 may be next to nothing.
Reference rows are measured on the same items by the same spec and say where the scale begins and
ends:

- The ceiling is ``real-video``, the subject itself doing what the text says.
- The floor of identity metrics is ``other-individual``, a real video of another subject of the
class: who does no better has lost the
  subject, however good the video.
- The floor of every other metric is the worst of the reference rows of `FLOORS`: for a text metric
that is the still image prompt, which
  shows nothing of what the text says; for metrics of time flicker or shuffled frames; for motion
  the still picture again.

Nothing is cut off: below 0 is worse than the floor, above 1 beyond the ceiling, where the metric no
longer says what is meant (a copy of the image prompt has more of CLIP-Image than the subject
itself). Of motion 1 is as much as the real video moves, and more is not better. Both ends are taken
as known: the interval of a scaled value is the mean's own, moved to the scale, without the noise of
the reference rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from vbbench.results.costs import known
from vbbench.results.run_data import RunData
from vbbench.types import MetricSpec

CEILING = "real-video"
IDENTITY_FLOOR = "other-individual"
FLOORS = ("other-individual", "still-image", "shuffled-frames", "flicker")
"""The worst of these that a run has is the floor of a metric that is not about identity."""
IDENTITY = ("true-identity", "dino", "clip-image")
"""Metrics, and beginnings of the names of metrics (``clip-image-masked``), that ask whether the
subject is kept."""
_NOT_IDENTITY = ("dino-consistency",)
LEAST = 1e-6
"""Below this distance between floor and ceiling there is no scale, only noise."""


@dataclass(frozen=True)
class Scale:
    """The scale of one metric.

    Attributes:
        floor, ceiling: names of the reference rows at 0 and 1; None where there is no such row, or
            it has no score.
        low, high: their means, in the metric's own unit.
        why: why there is no scale, as a sentence; empty where there is one.
    """

    metric: str
    floor: str | None = None
    ceiling: str | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    def place(self, value: float | None) -> float | None:
        """Where a value lies: 0 at the floor, 1 at the ceiling; None where there is no scale, or no
        value."""
        if value is None or self.why or self.low is None or self.high is None:
            return None
        return (value - self.low) / (self.high - self.low)

    def ends(self, low: float | None, high: float | None) -> tuple[float | None, float | None]:
        """An interval on the scale, its lower end first also where lower values are better."""
        placed = self.place(low), self.place(high)
        return (
            placed
            if placed[0] is None or placed[1] is None or placed[0] <= placed[1]
            else placed[::-1]
        )

    def says(self, titles: Mapping[str, str]) -> str:
        """The scale in a sentence."""
        if self.why or self.floor is None or self.ceiling is None:
            return self.why
        return f"0 is {titles.get(self.floor, self.floor)}, 1 is {titles.get(self.ceiling, self.ceiling)}."


def is_identity(metric: str) -> bool:
    """Whether a metric asks if the subject is kept."""
    return metric not in _NOT_IDENTITY and any(
        metric == name or metric.startswith(f"{name}-") for name in IDENTITY
    )


def scales_of(run: RunData, table: pd.DataFrame) -> dict[str, Scale]:
    """Metric -> its scale, read from the reference rows of a leaderboard."""
    rows = table[table["reference"]]
    return {
        spec.name: _scale(spec, dict(zip(rows["model"], map(known, rows[spec.name]), strict=True)))
        for spec in run.metrics
    }


def _scale(spec: MetricSpec, means: Mapping[str, float | None]) -> Scale:
    """Of the means of the reference rows."""
    high = means.get(CEILING)
    if high is None:
        return Scale(
            spec.name,
            why=f"There is no scale: the run has no score of {CEILING}, which is its ceiling.",
        )
    names = (IDENTITY_FLOOR,) if is_identity(spec.name) else FLOORS
    floors = {name: mean for name in names if (mean := means.get(name)) is not None}
    if not floors:
        rows = "score of" if len(names) == 1 else "score of any of"
        return Scale(
            spec.name,
            ceiling=CEILING,
            high=high,
            why=f"There is no scale: the run has no {rows} {', '.join(names)}, its floor.",
        )
    floor = (min if spec.higher_is_better else max)(floors, key=lambda name: floors[name])
    low = floors[floor]
    sign = 1 if spec.higher_is_better else -1
    if sign * (high - low) < LEAST:
        return Scale(
            spec.name,
            floor,
            CEILING,
            low,
            high,
            f"There is no scale: {CEILING} is no better than {floor}.",
        )
    return Scale(spec.name, floor, CEILING, low, high)


def scaled_columns(run: RunData, table: pd.DataFrame) -> pd.DataFrame:
    """The table with three columns more a metric: ``<metric>.scaled``, and its interval,
    ``.scaled_low`` and ``.scaled_high``."""
    columns: dict[str, list[float | None]] = {}
    for name, scale in scales_of(run, table).items():
        columns[f"{name}.scaled"] = [scale.place(known(value)) for value in table[name]]
        ends = [
            scale.ends(known(low), known(high))
            for low, high in zip(table[f"{name}.low"], table[f"{name}.high"], strict=True)
        ]
        columns[f"{name}.scaled_low"], columns[f"{name}.scaled_high"] = (
            [low for low, _ in ends],
            [high for _, high in ends],
        )
    return table.assign(
        **{name: pd.array(values, dtype="Float64") for name, values in columns.items()}
    )
