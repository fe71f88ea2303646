"""Numbers that are none: they must be seen, must not pass for good ones, and cannot be written as
JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from vbbench.profiling.record import BROKEN, Check, Gap, Record, Row

NOT_FINITE = "not_finite"
"""The fact that names those numbers of a row, of its errors and differences, that came out as NaN
or infinite."""
TIMES = ("median_seconds", "min_seconds", "spread", "first_seconds")
"""Without which a row is none."""


def worst(values: Iterable[float]) -> float:
    """The largest; NaN if any of them is (for which Python's ``max`` depends on the order).

    Raises:
        ValueError: there are none.
    """
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else max(found)


def finite(record: Record) -> Record:
    """The same record as JSON can hold it: a number that is none becomes None, a row without a time
    a gap."""
    good = [row for row in record.rows if all(math.isfinite(getattr(row, name)) for name in TIMES)]
    lost = [row for row in record.rows if not any(row is other for other in good)]
    gaps = (
        *record.gaps,
        *(
            Gap(row.part, row.case, row.variant, row.dtype, "its time is no finite number")
            for row in lost
        ),
    )
    return replace(
        record, rows=tuple(map(_row, good)), gaps=gaps, checks=tuple(map(_check, record.checks))
    )


def _row(row: Row) -> Row:
    optional = [field.name for field in fields(Row) if field.name not in TIMES]
    none: dict[str, Any] = {name: None for name in optional if _is_none(getattr(row, name))}
    facts = {name: _plain(value) for name, value in row.facts.items()}
    broken = [*none, *(name for name, value in row.facts.items() if _is_none(value))]
    if broken:
        facts[NOT_FINITE] = broken
    return replace(row, facts=facts, **none)


def _check(check: Check) -> Check:
    if _is_none(check.measured):
        return replace(check, measured=None, reason=BROKEN, uncertainty=None)
    return replace(check, uncertainty=None) if _is_none(check.uncertainty) else check


def _is_none(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if _is_none(value) else value
