"""How a profile's numbers are written, on the terminal and on the page."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vbbench.profiling.finite import NOT_FINITE
from vbbench.profiling.record import BROKEN, Check, Gap, Record, Row, Section, best_peer
from vbbench.profiling.targets import CHOSEN

NOTHING = "-"
MARK = "*"
"""Beside the variant that a user gets."""
_BEYOND = sys.float_info.max
"""Stands for a number that is none: it sorts behind all others."""
VERDICTS = {True: "met", False: "missed", None: "not measured"}


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        head: its title, unit included.
        hint: what it is, in a sentence.
        value: the number, None where there is none.
        text: the number as it is written.
        quick: whether it is on the terminal too.
    """

    head: str
    hint: str
    value: Callable[[Row], float | None]
    text: Callable[[Row], str]
    quick: bool = True


def columns(record: Record, rows: Sequence[Row], *, every: bool = False) -> list[Column]:
    """The columns of a table in which any row has a number; ``every``: those too that only the page
    has room for."""
    found = [
        _column("median ms", "Median of a call.", lambda row: 1e3 * row.median_seconds),
        _column(
            "spread",
            "Interquartile range over the median.",
            lambda row: row.spread if row.rounds > 1 else None,
            percent,
        ),
        *(_ratio(record, name) for name in record.baselines),
        _column(
            "x alone",
            "Times as fast as the row above, which this one removes one thing from.",
            _alone,
            "{:.2f}".format,
        ),
        _column("memory MB", "Most memory beyond the inputs.", lambda row: row.peak_memory_mb),
        _column(
            "GFLOP",
            "Operations that are needed.",
            lambda row: _scaled(row.flops, 1e-9),
            quick=False,
        ),
        _column(
            "done GFLOP",
            "Operations that are done.",
            lambda row: _scaled(_fact(row, "flops_done"), 1e-9),
            quick=False,
        ),
        _column(
            "least MB",
            "Least traffic to and from memory.",
            lambda row: _scaled(row.bytes, 1e-6),
            quick=False,
        ),
        _column(
            "moved MB",
            "What the formulation's operations read and write.",
            lambda row: _scaled(_fact(row, "bytes_moved"), 1e-6),
        ),
        _column(
            "roofline",
            "Share of what this device's ceilings allow.",
            lambda row: row.roofline,
            percent,
        ),
        _column(
            "system",
            "Share of the time that went to the system: pages of new memory.",
            _system,
            percent,
            quick=False,
        ),
        _column(
            "error", "Largest deviation from float64 over the largest value.", _error, _deviation
        ),
        _column(
            "difference",
            "Largest deviation from the released formulation over the largest value.",
            _difference,
            _deviation,
        ),
        _column(
            "first ms", "First call, compilation included.", lambda row: 1e3 * row.first_seconds
        ),
        _column(
            "rounds", "Timed rounds.", lambda row: float(row.rounds), "{:.0f}".format, quick=False
        ),
    ]
    shown = [column for column in found if any(column.value(row) is not None for row in rows)]
    return [column for column in shown if every or column.quick]


def _column(
    head: str,
    hint: str,
    value: Callable[[Row], float | None],
    form: Callable[[float], str] | None = None,
    *,
    quick: bool = True,
) -> Column:
    def text(row: Row) -> str:
        number = value(row)
        return NOTHING if number is None else (form or digits)(number)

    return Column(head, hint, value, text, quick)


def _ratio(record: Record, name: str) -> Column:
    def value(row: Row) -> float | None:
        other = best_peer(record.rows, row, name)
        return None if other is None else other.median_seconds / row.median_seconds

    return _column(
        f"x {name}", f"Times as fast as {name}, in the same run.", value, "{:.2f}".format
    )


def _alone(row: Row) -> float | None:
    return _fact(row, "ratio_alone")


def _fact(row: Row, name: str) -> float | None:
    value = row.facts.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _error(row: Row) -> float | None:
    return _BEYOND if "error" in row.facts.get(NOT_FINITE, ()) else row.error


def _difference(row: Row) -> float | None:
    return _BEYOND if "difference" in row.facts.get(NOT_FINITE, ()) else _fact(row, "difference")


def _deviation(number: float) -> str:
    return "not finite" if number == _BEYOND else f"{number:.0e}"


def _system(row: Row) -> float | None:
    return _fact(row, "system_share")


def _scaled(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor


def digits(number: float) -> str:
    """Three digits that matter, and all before the point: ``0.0412``, ``4.12``, ``41.2``, ``4
    123``."""
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:,.{decimals}f}".replace(",", "\N{NO-BREAK SPACE}")


def percent(share: float) -> str:
    """``0.034`` -> ``3.4 %``."""
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def is_chosen(row: Row) -> bool:
    """Whether it is what a user gets who asks for nothing."""
    return row.facts.get(CHOSEN) is True


def variant(row: Row) -> str:
    """Its name, marked where it is the chosen one."""
    return f"{row.variant} {MARK}" if is_chosen(row) else row.variant


def section_title(section: Section) -> str:
    """``Attention, float32, forward``."""
    exact = "" if section.exact else ", approximate: other numbers"
    return f"{section.part.capitalize()}, {section.dtype}, {'forward and backward' if section.grad else 'forward'}{exact}"


def legend(record: Record) -> str:
    """What the marks and the ratios mean."""
    marked = any(map(is_chosen, record.rows))
    ratios = " and ".join(record.baselines)
    chosen = f"{MARK} what a user gets who asks for nothing. " if marked else ""
    return f"{chosen}x: times as fast as {ratios}, in this run." if ratios else chosen


def gap(gap: Gap) -> str:
    """``triton, float32: it needs a GPU.``"""
    about = ", ".join(filter(None, (gap.variant, gap.dtype, gap.case)))
    return f"{about}: {gap.reason.rstrip('.')}."


def check_cells(check: Check) -> tuple[str, str, str, str]:
    """Name, bound, figure and verdict."""
    told = check.reason and (check.passed is None or check.reason == BROKEN)
    verdict = VERDICTS[check.passed] + (f": {check.reason}" if told else "")
    if (
        check.measured is not None
        and check.uncertainty
        and abs(check.measured / check.wanted - 1) < check.uncertainty
    ):
        verdict += ", by less than the noise"
    if check.passed is None and not check.counts:
        verdict = f"does not count: {check.reason}"
    bound = f"{'at least' if check.at_least else 'at most'} {_amount(check.wanted)} {check.unit}"
    return check.name, bound.strip(), measured(check), verdict


def aside(record: Record) -> list[str]:
    """A line a reason for which targets do not count in this run, with their names."""
    left_out: dict[str, list[str]] = {}
    for check in record.checks:
        if not check.counts:
            left_out.setdefault(check.reason, []).append(check.name)
    return [
        f"{len(names)} target{'' if len(names) == 1 else 's'} left out ({reason}): {'; '.join(names)}."
        for reason, names in left_out.items()
    ]


def measured(check: Check) -> str:
    """The figure, and how far it may be off."""
    if check.measured is None:
        return NOTHING
    off = f" ± {_amount(check.measured * check.uncertainty)}" if check.uncertainty else ""
    close = (
        abs(check.measured / check.wanted - 1) < 0.01
    )  # what two decimals could show as the bound itself
    return (
        f"{f'{check.measured:.4f}' if close else _amount(check.measured)}{off} {check.unit}".strip()
    )


def _amount(number: float) -> str:
    """Two or three decimals; tiny ones as a power of ten."""
    if 0 < abs(number) < 1e-3:
        return f"{number:.1e}"
    return f"{number:.3f}" if abs(number) < 0.1 else f"{number:.2f}"
