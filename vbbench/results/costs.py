"""What models cost: to make one ready for a new subject, to keep that, and to make a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbbench.results import formatting
from vbbench.results.run_data import ModelFacts, RunData

if TYPE_CHECKING:
    import pandas as pd

NONE = "none"  # of a model that is not fitted: no steps, no seconds, nothing to store


@dataclass(frozen=True)
class CostColumn:
    """A column of costs; ``of_fits``: a model that is not fitted has none of it."""

    name: str
    title: str
    unit: str
    write: Callable[[float | None], str]
    of_fits: bool = False


COST_COLUMNS = (
    CostColumn("trained_steps", "Trained", "steps", formatting.amount),
    CostColumn("trained_parameters", "Trained", "parameters", formatting.amount),
    CostColumn("fit_steps", "Fit", "steps / subject", formatting.amount, of_fits=True),
    CostColumn("fit_seconds", "Fit", "s / subject", formatting.seconds, of_fits=True),
    CostColumn("fit_memory_mb", "Fit", "MB, peak", formatting.megabytes, of_fits=True),
    CostColumn("stored_bytes", "Stored", "per subject", formatting.file_size, of_fits=True),
    CostColumn("sample_seconds", "Sample", "s / clip", formatting.seconds),
    CostColumn("sample_memory_mb", "Sample", "MB, peak", formatting.megabytes),
    CostColumn("first_clip_seconds", "First clip", "s, of a new subject", formatting.seconds),
)


@dataclass(frozen=True)
class CostCell:
    """A cost as it is shown; the note says of how many subjects it is, where it is not of all."""

    value: float | None
    text: str
    note: str = ""


@dataclass(frozen=True)
class CostRow:
    """A competitor's costs, one cell a column."""

    model: str
    title: str
    cells: tuple[CostCell, ...]


def costs_of(run: RunData, model: ModelFacts) -> dict[str, float | None]:
    """A model's costs as columns of the leaderboard; None where nothing is known, or there is
    nothing.

    Columns:
        fits, fitted: subjects the model is to be fitted to, and those it could be; None for a model
            that is not fitted.
        fit_steps, fit_seconds, stored_bytes: means over the fitted subjects; fit_memory_mb: the
            largest.
        sample_seconds: mean over clips; sample_memory_mb: the largest.
        first_clip_seconds: fit_seconds + sample_seconds, from a new subject to its first clip.
        peak_memory_mb: the larger of the two.
        trained_steps, trained_parameters: of the model's own training, where the run says.
    """
    clips = [run.clips[model.name, item.id] for item in run.items]
    made = [clip for clip in clips if clip.status == "done"]
    fits, facts = run.fits[model.name], run.fit_facts.get(model.name, ())
    is_fitted = model.fitted or bool(fits or facts)
    done = [fact for fact in facts if fact.done]
    fit_seconds = _mean(seconds for _, seconds, _ in fits)
    sample_seconds = _mean(clip.seconds for clip in made)
    fit_memory, sample_memory = (
        _largest(memory for _, _, memory in fits),
        _largest(clip.peak_memory_mb for clip in made),
    )
    ready = fit_seconds if is_fitted else 0.0
    return {
        "fits": len(set(run.subject_of.values())) if is_fitted else None,
        "fitted": len(fits) if is_fitted else None,
        "fit_steps": _mean(fact.steps for fact in done),
        "fit_seconds": fit_seconds,
        "fit_memory_mb": fit_memory,
        "stored_bytes": _mean(fact.stored_bytes for fact in done),
        "sample_seconds": sample_seconds,
        "sample_memory_mb": sample_memory,
        "first_clip_seconds": None
        if ready is None or sample_seconds is None
        else ready + sample_seconds,
        "peak_memory_mb": _largest([fit_memory, sample_memory]),
        "trained_steps": model.trained.get("steps"),
        "trained_parameters": model.trained.get("parameters"),
    }


def _mean(numbers: Iterable[float | None]) -> float | None:
    known = [float(number) for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


def _largest(numbers: Iterable[float | None]) -> float | None:
    return max((float(number) for number in numbers if number is not None), default=None)


def cost_columns(table: pd.DataFrame) -> tuple[CostColumn, ...]:
    """The columns of which a competitor's cost is known."""
    rows = table[~table["reference"]]
    return tuple(column for column in COST_COLUMNS if rows[column.name].notna().any())


def cost_rows(table: pd.DataFrame, columns: Sequence[CostColumn]) -> list[CostRow]:
    """The competitors' costs, in the order of the table."""
    return [_row(record, columns) for record in table.to_dict("records") if not record["reference"]]


def _row(record: Mapping[Any, Any], columns: Sequence[CostColumn]) -> CostRow:
    return CostRow(
        str(record["model"]),
        str(record["title"]),
        tuple(_cell(record, column) for column in columns),
    )


def _cell(record: Mapping[Any, Any], column: CostColumn) -> CostCell:
    value, fits, fitted = (known(record[name]) for name in (column.name, "fits", "fitted"))
    if column.of_fits and fits is None:
        return CostCell(0.0, NONE)
    note = (
        f"{fitted:.0f} of {fits:.0f} fitted"
        if fits is not None and fitted != fits and column.name in _SHORT_OF_FITS
        else ""
    )
    return CostCell(value, column.write(value), note)


_SHORT_OF_FITS = ("fit_seconds", "first_clip_seconds")


def known(value: Any) -> float | None:
    """A number of a table, or None for any of pandas' ways to say that there is none."""
    import pandas as pd

    return None if value is None or pd.isna(value) else float(value)


def cost_note(manifests: Sequence[Mapping[str, Any]]) -> str:
    """On which machines the costs were measured, and that only those of one can be compared."""
    machines = list(
        dict.fromkeys(
            filter(None, (_machine(manifest.get("environment") or {}) for manifest in manifests))
        )
    )
    where = f" These were measured on {formatting.listed(machines)}." if machines else ""
    mixed = (
        " The runs were made on different machines or at different speeds: compare costs within one run alone."
        if len(machines) > 1
        else ""
    )
    return f"Seconds and memory can be compared on one machine alone; steps and bytes anywhere.{where}{mixed}"


def _machine(environment: Mapping[str, Any]) -> str:
    name = environment.get("gpu") if environment.get("device") == "cuda" else environment.get("cpu")
    if not name:
        return ""
    threads = environment.get("threads")
    slowness = environment.get("slowness")
    told = (
        [formatting.count(threads, "thread")]
        if isinstance(threads, int) and environment.get("device") != "cuda"
        else []
    )
    told += (
        [f"{slowness:.2g} times as slow as the reference machine"]
        if isinstance(slowness, int | float)
        else []
    )
    return f"{name} ({', '.join(told)})" if told else str(name)
