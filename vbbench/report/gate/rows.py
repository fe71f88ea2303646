"""What the gate found, in words: the same in every form that it is written in."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial

from vbbench.results import formatting
from vbbench.results.gate.compare import FAILS, MISSING, PASSES, Kind, Outcome, Verdict
from vbbench.results.gate.scores import Recording
from vbbench.results.statistics import Estimate

COSTS = {"seconds": "Seconds", "memory": "Memory"}
DECIMALS = 4
TIMES = "\N{MULTIPLICATION SIGN}"
_FIRST = (Kind.DRIFTED, Kind.SLOWER, Kind.NOT_MEASURED, Kind.NOT_COMPARABLE, Kind.BETTER, Kind.SAME)
_MEANINGS = {
    0: "Everything that counts is the same or better.",
    1: "Something drifted or got slower.",
    3: "Something could not be measured or compared, so that nobody can say that all is well.",
}


@dataclass(frozen=True)
class Row:
    """A verdict as people read it; texts are empty where there is nothing to tell. `arrow` says
    which way is better, if either is."""

    verdict: Verdict
    model: str
    metric: str
    arrow: str
    old: str
    new: str
    change: str
    interval: str
    tolerance: str

    @property
    def ratio(self) -> bool:
        """Whether its change is a ratio rather than a difference."""
        return self.verdict.metric in COSTS


def rows_of(outcome: Outcome, recording: Recording) -> list[Row]:
    """All rows: what fails first, what counts before what does not, else as recorded."""
    ordered = sorted(
        outcome.verdicts, key=lambda verdict: (not verdict.counts, _FIRST.index(verdict.kind))
    )
    return [_row(verdict, recording) for verdict in ordered]


def headline(outcome: Outcome) -> str:
    """``drifted``, ``drifted and slower``, ``not measured``, ``same or better`` ...: the verdict on
    the whole run."""
    found = {verdict.kind for verdict in outcome.verdicts if verdict.counts}
    if not found:
        return "nothing compared"
    wanted = {0: PASSES, 1: FAILS}.get(outcome.exit_code, MISSING)
    return (" or " if outcome.exit_code == 0 else " and ").join(
        kind for kind in wanted if kind in found
    )


def counts(outcome: Outcome) -> dict[Kind, int]:
    """Kind -> number of rows that count, the worst kind first; those without any are left out."""
    found = Counter(verdict.kind for verdict in outcome.verdicts if verdict.counts)
    return {kind: found[kind] for kind in _FIRST if found[kind]}


def counts_in_words(outcome: Outcome) -> str:
    """``Of 30 rows 2 drifted, 28 same. 10 more do not count.``"""
    found = counts(outcome)
    total, others = sum(found.values()), sum(not verdict.counts for verdict in outcome.verdicts)
    told = ", ".join(f"{number} {kind}" for kind, number in found.items())
    told = f"Of {formatting.count(total, 'row')}: {told}." if total else ""
    return " ".join(
        filter(
            None,
            [told, f"{others} more {'does' if others == 1 else 'do'} not count." if others else ""],
        )
    )


def meaning(exit_code: int) -> str:
    """What an exit code of the gate says, in a sentence."""
    return _MEANINGS[exit_code]


def metric_title(metric: str, recording: Recording) -> str:
    """A metric's or cost's name for people."""
    return COSTS.get(metric) or recording.metrics[metric].title


def value_text(metric: str, value: float | None) -> str:
    """A score, seconds or megabytes."""
    if value is None:
        return ""
    if metric == "seconds":
        return f"{formatting.seconds(value)} s"
    return (
        f"{formatting.megabytes(value)} MB"
        if metric == "memory"
        else formatting.number(value, DECIMALS)
    )


def signed(value: float) -> str:
    """``+0.0123``; without a sign where it rounds to zero."""
    return formatting.number(value, DECIMALS, signed=round(value, DECIMALS) != 0).replace(
        f"{formatting.MINUS}0.0000", "0.0000"
    )


def fine(value: float | None) -> str:
    """A small number, rounded at its first digit: ``0.000273`` -> ``0.0003``; at most nine
    decimals."""
    if value is None:
        return ""
    return formatting.number(
        value, 3 if value == 0 else min(9, max(3, math.ceil(-math.log10(abs(value)))))
    )


def exact(value: float) -> str:
    """A number that someone chose, as it was chosen: ``0.0025``; at most nine decimals."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def numbers_in_words(row: Row) -> str:
    """Then, now, change and what it was held against, as one line; empty where nothing was
    compared."""
    if not row.old:
        return ""
    change = f"change {row.change}" + (f" [{row.interval}]" if row.interval else "")
    noise = f"noise {fine(row.verdict.noise)}" if row.verdict.noise is not None else ""
    return ", ".join(
        filter(
            None,
            [
                f"then {row.old}, now {row.new}",
                change,
                f"tolerance {row.tolerance}" if row.tolerance else "",
                noise,
            ],
        )
    )


def moved_in_words(verdict: Verdict, most: int) -> list[str]:
    """``item 0.5000 -> 0.4000`` of the items that moved most, at most so many."""
    text = partial(value_text, verdict.metric)
    return [
        f"{moved.item} {text(moved.old)} \N{RIGHTWARDS ARROW} {text(moved.new)}"
        for moved in verdict.moved[:most]
    ]


def _row(verdict: Verdict, recording: Recording) -> Row:
    known = recording.models.get(verdict.model)
    change, interval, tolerance = (
        _cost_change(verdict) if verdict.metric in COSTS else _change(verdict)
    )
    old, new = (value_text(verdict.metric, value) for value in (verdict.old, verdict.new))
    return Row(
        verdict,
        known.title if known else verdict.model,
        metric_title(verdict.metric, recording),
        _arrow(verdict.metric, recording),
        old,
        new,
        change,
        interval,
        tolerance,
    )


def _arrow(metric: str, recording: Recording) -> str:
    spec = recording.metrics.get(metric)
    if metric in COSTS:
        return "\N{DOWNWARDS ARROW}"
    return formatting.arrow(spec) if spec else ""


def _change(verdict: Verdict) -> tuple[str, str, str]:
    found: Estimate | None = verdict.change
    tolerance = f"± {exact(verdict.tolerance)}" if verdict.tolerance is not None else ""
    if found is None or found.mean is None:
        return "", "", tolerance
    ends = [signed(end) for end in (found.low, found.high) if end is not None]
    return (
        signed(found.mean),
        " to ".join(ends) if len(ends) == 2 and set(ends) != {"0.0000"} else "",
        tolerance,
    )


def _cost_change(verdict: Verdict) -> tuple[str, str, str]:
    tolerance = f"{TIMES} {exact(verdict.tolerance)}" if verdict.tolerance is not None else ""
    return (
        (f"{TIMES} {verdict.new / verdict.old:.2f}" if verdict.old and verdict.new else ""),
        "",
        tolerance,
    )
