"""What a profile found: rows, gaps, checks and the device's own ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_CHECKED = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""How `vbbench.core.schema` reads these back."""
BROKEN = "the numbers are not finite"
"""Why a check has no figure although it was measured: then it is missed."""


@dataclass(frozen=True)
class Row:
    """One variant of one case.

    Attributes:
        part: what is profiled: ``attention``, ``step``, ...
        case: shape and frames in words; variants of equal `case`, `dtype`, `grad` and `device` did
            the same work.
        variant: how it was computed: a backend, a switch.
        exact: whether it gives the same numbers as the formula, up to rounding.
        device: ``cpu`` or ``cuda``.
        dtype: name of the element type.
        grad: forward and backward with gradients; else forward without.
        median_seconds, min_seconds, spread, rounds: of a call; the spread is the interquartile
            range over the median.
        first_seconds: of the first call, compilation included.
        peak_memory_mb: most memory beyond the inputs, in MB (10^6 bytes).
        flops: floating point operations that are needed, whatever the variant does.
        bytes: least traffic to and from memory: inputs once, outputs once.
        roofline: share of what the device's ceilings allow: time needed at least over
            `median_seconds`.
        error: largest deviation from float64 over the largest value.
        facts: whatever else there is, in words and numbers.
    """

    __pydantic_config__ = _CHECKED

    part: str
    case: str
    variant: str
    exact: bool
    device: str
    dtype: str
    grad: bool
    median_seconds: float
    min_seconds: float
    spread: float
    rounds: int
    first_seconds: float
    peak_memory_mb: float | None = None
    flops: float | None = None
    bytes: float | None = None
    roofline: float | None = None
    error: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def section(self) -> Section:
        """The table it belongs to: what must not be mixed stands apart."""
        return Section(self.part, self.exact, self.dtype, self.grad)


@dataclass(frozen=True, order=True)
class Section:
    """What rows of one table share."""

    part: str
    exact: bool
    dtype: str
    grad: bool


@dataclass(frozen=True)
class Gap:
    """What was to be measured and was not; `variant` and `dtype` may be empty where it concerns
    all."""

    __pydantic_config__ = _CHECKED

    part: str
    case: str
    variant: str
    dtype: str
    reason: str


@dataclass(frozen=True)
class Check:
    """A target and what was measured of it.

    Attributes:
        name: what is checked, in words.
        wanted: the bound; `at_least` says on which side of it is good.
        unit: ``x`` of ratios, ``ms``, or nothing.
        measured: None where it was not.
        reason: why it was not measured.
        source: whose target it is.
        counts: whether it belongs to this run: a GPU's target does not on a CPU.
        uncertainty: how far `measured` may be off, relative; None where that is unknown or nil.
    """

    __pydantic_config__ = _CHECKED

    name: str
    wanted: float
    at_least: bool
    unit: str
    measured: float | None
    reason: str
    source: str
    counts: bool
    uncertainty: float | None = None

    @property
    def passed(self) -> bool | None:
        """None: not measured. NaN passes nothing."""
        if self.measured is None:
            return False if self.reason == BROKEN else None
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted


@dataclass(frozen=True)
class Ceiling:
    """What the device reached at most: `kind` is ``matmul`` (operations a second) or ``copy``
    (bytes a second)."""

    __pydantic_config__ = _CHECKED

    kind: str
    dtype: str
    per_second: float


@dataclass(frozen=True)
class Record:
    """A whole profile.

    Attributes:
        part: its name.
        title: what it is of, in words.
        created: time in ISO 8601.
        command: how to measure it again.
        environment: see `vbbench.core.environment.describe`; ``commit`` too.
        how: how it was measured, a sentence each.
        baselines: variants to which the others' ratios are told.
        ceilings: of this device, measured in this run.
        rows, gaps, checks: what was measured, what was not, what was to be reached.
        notes: what must be known beside the verdicts, a sentence each.
    """

    __pydantic_config__ = _CHECKED

    part: str
    title: str
    created: str
    command: str
    environment: Mapping[str, Any]
    how: tuple[str, ...]
    baselines: tuple[str, ...]
    ceilings: tuple[Ceiling, ...]
    rows: tuple[Row, ...]
    gaps: tuple[Gap, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1: a target that counts was missed; 3: one was not measured; else 0."""
        verdicts = [check.passed for check in self.checks if check.counts]
        return 1 if False in verdicts else 3 if None in verdicts else 0

    def sections(self) -> dict[Section, list[Row]]:
        """Rows that may stand in one table, exact ones first, in the order they were measured."""
        found: dict[Section, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: not row.exact):
            found.setdefault(row.section, []).append(row)
        return found


def best_peer(rows: Sequence[Row], row: Row, name: str) -> Row | None:
    """The quickest row that did the same work as ``row`` in the same run by the variant ``name`` or
    a kind of it (``concat``, ``concat cudnn``); None if there is none."""
    same = (
        other
        for other in rows
        if (other.case, other.device, other.section) == (row.case, row.device, row.section)
    )
    return min(
        (other for other in same if other.variant.split()[0] == name),
        key=lambda other: other.median_seconds,
        default=None,
    )


def ceiling(ceilings: Sequence[Ceiling], kind: str, dtype: str = "") -> float | None:
    """One of them, a second; None if it was not measured."""
    return next(
        (each.per_second for each in ceilings if (each.kind, each.dtype) == (kind, dtype)), None
    )
