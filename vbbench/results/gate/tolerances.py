"""How much may change before it matters: read from a file, where each number has its reason."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbbench.errors import InputError

BUNDLED = Path(__file__).parent / "tolerances.toml"
DEFAULT = "default"


@dataclass(frozen=True)
class Tolerance:
    """The largest change that does not matter, and why."""

    value: float
    reason: str


@dataclass(frozen=True)
class Tolerances:
    """Of metrics (change of the mean, in the metric's unit), speed and memory (ratio, above 1)."""

    metrics: Mapping[str, Tolerance]
    speed: Tolerance
    memory: Tolerance

    def of(self, metric: str) -> Tolerance:
        """A metric's own, or the one for metrics that are not named."""
        return self.metrics.get(metric) or self.metrics[DEFAULT]


def read_tolerances(path: Path = BUNDLED) -> Tolerances:
    """Read a file of tolerances.

    Raises:
        InputError: it is missing or not understood; a tolerance without a reason is not understood.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        metrics = {
            name: _tolerance(record, f"metrics.{name}", above=0.0)
            for name, record in table["metrics"].items()
        }
        if DEFAULT not in metrics:
            raise ValueError(f"metrics.{DEFAULT} is missing")
        return Tolerances(
            metrics, *(_tolerance(table[name], name, above=1.0) for name in ("speed", "memory"))
        )
    except FileNotFoundError:
        raise InputError(f"there is no file of tolerances {path}.") from None
    except KeyError as error:
        raise InputError(f"the tolerances {path} are not understood: {error} is missing.") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the tolerances {path} are not understood: {error}.") from None


def _tolerance(record: Mapping[str, Any], name: str, *, above: float) -> Tolerance:
    value, reason = record["tolerance"], record["reason"]
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= above
    ):
        raise ValueError(f"the tolerance of {name} must be a number above {above:g}, not {value!r}")
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError(f"the tolerance of {name} has no reason")
    return Tolerance(float(value), reason.strip())
