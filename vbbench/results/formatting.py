"""How names and numbers are written for people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from vbbench.core.digests import sha256_of
from vbbench.metrics.explain import better, untrained_note
from vbbench.metrics.explain import rows as spec_words
from vbbench.metrics.explain import title as metric_title
from vbbench.types import MetricSpec

__all__ = [
    "DASH", "MINUS", "NOTHING", "amount", "arrow", "better", "clipped", "count", "decimals_for", "effect_size", "file_name", "file_size", "interval", "listed",
    "megabytes", "metric_title", "number", "reference_role", "restriction", "seconds", "spec_words", "untrained_note",
]  # fmt: skip

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
NOTHING = "\N{EM DASH}"

_ROLES = {
    "ceiling": "ceiling: the subject itself",
    "floor": "floor: another of its class",
    "copy": "what copying scores",
    "shuffled": "right pictures, wrong order",
    "flicker": "right pictures, unsteady",
}


def reference_role(role: str) -> str:
    """What a reference row is there for, by its role."""
    return _ROLES.get(role, "reference")


def arrow(spec: MetricSpec) -> str:
    """Which way is better, as a sign; empty where neither is."""
    if spec.sign == 0:
        return ""
    return "\N{UPWARDS ARROW}" if spec.sign > 0 else "\N{DOWNWARDS ARROW}"


def decimals_for(values: Iterable[float]) -> int:
    """Decimals for a column, so that its largest number shows about three digits."""
    largest = max((abs(value) for value in values), default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1


def number(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """``-0.1234`` -> ``−0.123``; a dash where there is no number."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{abs(value):.{decimals}f}"
    negative = value < 0 and float(text) != 0
    return f"{MINUS if negative else '+' if signed else ''}{text}"


def interval(low: float | None, high: float | None, decimals: int, *, signed: bool = False) -> str:
    """``0.312 to 0.341``; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"{number(low, decimals, signed=signed)} to {number(high, decimals, signed=signed)}"


def effect_size(value: float | None) -> str:
    """``-0.814`` -> ``g −0.81``, of Hedges' g; empty where there is none."""
    if value is None:
        return ""
    if abs(value) >= 100:  # differences that hardly vary: the number says no more than that
        return "g > 100" if value > 0 else f"g < {MINUS}100"
    return f"g {number(value, 2, signed=True)}"


def seconds(value: float | None) -> str:
    """``0.0412`` -> ``0.041``, ``41.2`` -> ``41``: two digits that matter."""
    if value is None:
        return NOTHING
    return (
        f"{value:.3f}"
        if value < 0.1
        else f"{value:.2f}"
        if value < 1
        else f"{value:.1f}"
        if value < 10
        else f"{value:.0f}"
    )


def megabytes(value: float | None) -> str:
    """Whole megabytes, thousands set apart."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\N{THIN SPACE}")


def amount(value: float | None) -> str:
    """``1800`` -> ``1 800``, ``12.5`` -> ``12.5``, ``2_300_000`` -> ``2.3 million``: steps and
    parameters."""
    if value is None:
        return NOTHING
    if value >= 1e6:
        return f"{value / 1e6:.3g} million"
    return (f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.1f}").replace(
        ",", "\N{THIN SPACE}"
    )


def file_size(value: float | None) -> str:
    """``512`` -> ``512 B``, ``13_400`` -> ``13 kB``, ``2_100_000`` -> ``2.1 MB``."""
    if value is None:
        return NOTHING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return (
                f"{value / size:.1f} {unit}" if value < 10 * size else f"{value / size:.0f} {unit}"
            )
    return f"{value:.0f} B"


def count(number_of: int, noun: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def restriction(prompts_per_subject: int | None) -> str:
    """What part of its suite a run is of, in words; empty where it is of all."""
    return (
        f"first {count(prompts_per_subject, 'prompt')} of each individual only"
        if prompts_per_subject
        else ""
    )


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = list(names) or [""]
    return f"{', '.join(most)} and {last}" if most else last


_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


def file_name(name: str) -> str:
    """A file's name, without its end, for anything that has a name: the same where it is plain,
    else a plain part of it and a digest.

    No two names share one, on systems that tell a from A and on those that do not.
    """
    if _SAFE_NAME.fullmatch(name) and name not in _RESERVED:
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"{plain or 'model'}.{sha256_of(name)[:10]}"


_RESERVED = frozenset(
    [
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
    ]
)


def clipped(text: str, length: int) -> str:
    """The text in one line, and an ellipsis where it is longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"
