"""Means on the scale from floor (0) to ceiling (1) of the reference rows, so that saturation shows.

A metric's own unit says little of how good a number is: a cosine of 0.86 may be next to nothing.
Reference rows are measured on the same items by the same spec and say where the scale begins and
ends:

- The ceiling is the row with that role: the subject itself doing what the text says.
- The floor of metrics of the subject is the row with the role ``floor``, a real video of another
  subject of the class: who does no better has lost the subject, however good the video.
- The floor of every other metric is the worst of the reference rows of `FLOORS`: for a text metric
  that is the still image prompt, which shows nothing of what the text says; for metrics of time
  flicker or shuffled frames; for motion the still picture again.

Nothing is cut off: below 0 is worse than the floor, above 1 beyond the ceiling, where the metric no
longer says what is meant (a copy of the image prompt has more of CLIP-Image than the subject
itself). Of motion 1 is as much as the real video moves, and more is not better. Both ends are taken
as known: the interval of a scaled value is the mean's own, moved to the scale, without the noise of
the reference rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from vbbench.results.costs import known
from vbbench.results.run_data import RunData
from vbbench.types import MetricSpec

CEILING = "ceiling"
SUBJECT_FLOOR = "floor"
FLOORS = ("floor", "copy", "shuffled", "flicker")
"""Roles; the worst such row that a run has is the floor of a metric that is not about the
subject."""
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
        floor = titles.get(self.floor, self.floor)
        ceiling = titles.get(self.ceiling, self.ceiling)
        return f"0 is {floor}, 1 is {ceiling}."


def scales_of(run: RunData, table: pd.DataFrame) -> dict[str, Scale]:
    """Metric -> its scale, read from the reference rows of a leaderboard."""
    rows = table[table["reference"]]
    return {
        spec.name: _scale(
            spec, run, dict(zip(rows["model"], map(known, rows[spec.name]), strict=True))
        )
        for spec in run.metrics
    }


def _scale(spec: MetricSpec, run: RunData, means: Mapping[str, float | None]) -> Scale:
    """Of the means of the reference rows."""
    ceiling = run.of_role(CEILING)
    high = means.get(ceiling) if ceiling else None
    if ceiling is None or high is None:
        why = f"There is no scale: {_lacking(run, (CEILING,))}, its ceiling."
        return Scale(spec.name, why=why)
    roles = (SUBJECT_FLOOR,) if spec.kind == "subject" else FLOORS
    names = [name for role in roles if (name := run.of_role(role)) is not None]
    floors = {name: mean for name in names if (mean := means.get(name)) is not None}
    if not floors:
        why = f"There is no scale: {_lacking(run, roles)}, its floor."
        return Scale(spec.name, ceiling=ceiling, high=high, why=why)
    # of a metric without direction the floor is the least, as where higher is better
    sign = spec.sign or 1
    floor = min(floors, key=lambda name: sign * floors[name])
    low = floors[floor]
    why = ""
    if sign * (high - low) < LEAST:
        why = f"There is no scale: {ceiling} is no better than {floor}."
    return Scale(spec.name, floor, ceiling, low, high, why)


def _lacking(run: RunData, roles: Sequence[str]) -> str:
    """``the run has no score of real-video``; of rows that it does not have, their roles."""
    names = [run.of_role(role) or f"a row with the role {role}" for role in roles]
    return f"the run has no score of {'any of ' if len(names) > 1 else ''}{', '.join(names)}"


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
