"""Stored scores: all that claims need of a run, small enough to publish. A table, `scores.csv`, and
what its numbers are, `scores.json`.

The table has a row for each model and item: model, recipe, training_seed, item_id, subject_id,
class; status (done, failed, missing); fit_seconds and fit_memory_mb of the item's subject,
sample_seconds and peak_memory_mb of the clip; a column for each metric, empty where there is no
value; and reason: why there is no clip, or, as JSON, why metrics have no value.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vbbench.core.digests import sha256_of
from vbbench.core.schema import NewerFormatError
from vbbench.errors import RunFolderError
from vbbench.metrics.spec import spec_from_json
from vbbench.results.run_data import Clip, ItemFacts, Result, RunData, SuiteFacts
from vbbench.results.run_folder import read_json, read_model
from vbbench.runner.records import STORED_FORMAT, StoredScores, header_of

DECIMALS = 6
NAME = "scores.csv"
IDENTITY = ("model", "recipe", "training_seed", "item_id", "subject_id", "class", "status")
COSTS = ("fit_seconds", "fit_memory_mb", "sample_seconds", "peak_memory_mb")
STATUSES = ("done", "failed", "missing")
OF_RUN = ("vbbench", "commit", "created", "environment")
"""What is kept of a run's manifest; its command names folders of the machine, which are nobody's
business."""
_Row = Mapping[str, str]


def write_scores(run: RunData, folder: Path) -> Path:
    """Write a run's scores, rounded to 6 decimals.

    Returns:
        The path of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = io.StringIO()
    table = csv.DictWriter(
        file,
        [*IDENTITY, *COSTS, *(spec.name for spec in run.metrics), "reason"],
        lineterminator="\n",
    )
    table.writeheader()
    table.writerows(_rows(run))
    content = file.getvalue()
    record = {
        "format": STORED_FORMAT,
        "table": {"file": NAME, "sha256": _digest(content)},
        "suite": asdict(run.suite),
        "prompts_per_subject": run.prompts_per_subject,
        "models": {model.name: asdict(model) for model in run.models},
        "metrics": {spec.name: asdict(spec) for spec in run.metrics},
        "runs": [
            {key: manifest[key] for key in OF_RUN if key in manifest} for manifest in run.manifests
        ],
    }
    path = folder / NAME
    path.write_bytes(content.encode("utf-8"))
    path.with_suffix(".json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
    )
    return path


def read_scores(path: Path | str) -> RunData:
    """Stored scores as a run without videos, texts or pictures.

    Raises:
        RunFolderError: the table or the record beside it is missing, damaged, changed, or of
            another version of vbbench.
    """
    table = Path(path)
    record = read_json(table.with_suffix(".json"))
    try:
        content = table.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{table} cannot be read: {error}.") from error
    try:
        header_of(StoredScores, record, STORED_FORMAT, "the record")
        if record["table"]["sha256"] != _digest(content):
            raise ValueError(f"it is not the table that {table.with_suffix('.json').name} tells of")
        return _run_data(record, list(_parsed(content)))
    except NewerFormatError as error:
        raise RunFolderError(f"{table.with_suffix('.json')} {error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"the stored scores {table} are damaged or from another version of vbbench: {what}."
        ) from error


def _rows(run: RunData) -> Iterator[dict[str, Any]]:
    fits = {
        name: {subject: (seconds, memory) for subject, seconds, memory in own}
        for name, own in run.fits.items()
    }
    for model in run.models:
        for item in run.items:
            clip = run.clips[model.name, item.id]
            fit_seconds, fit_memory = fits[model.name].get(item.subject_id, (None, None))
            results = {
                spec.name: run.results[model.name, item.id, spec.name] for spec in run.metrics
            }
            costs = (fit_seconds, fit_memory, clip.seconds, clip.peak_memory_mb)
            seed = "" if model.training_seed is None else model.training_seed
            identity = (
                model.name,
                model.recipe,
                seed,
                item.id,
                item.subject_id,
                item.class_name,
                clip.status,
            )
            yield {
                **dict(zip(IDENTITY, identity, strict=True)),
                **{name: _written(value) for name, value in zip(COSTS, costs, strict=True)},
                **{name: _written(result.value) for name, result in results.items()},
                "reason": _reason(clip, results),
            }


def _reason(clip: Clip, results: Mapping[str, Result]) -> str:
    if clip.status != "done":
        return clip.reason or ""
    reasons = {name: result.reason for name, result in results.items() if result.value is None}
    return json.dumps(reasons, ensure_ascii=False) if reasons else ""


def _run_data(record: Mapping[str, Any], rows: Sequence[_Row]) -> RunData:
    models = tuple(read_model(name, facts) for name, facts in record["models"].items())
    specs = tuple(spec_from_json(spec) for spec in record["metrics"].values())
    items = {
        row["item_id"]: ItemFacts(row["item_id"], row["subject_id"], row["class"], "", "", Path())
        for row in rows
    }
    by_key = {(row["model"], row["item_id"]): row for row in rows}
    expected = [(model.name, item) for model in models for item in items]
    if not rows or len(rows) != len(by_key) or by_key.keys() != set(expected):
        raise ValueError("it does not hold each model and item once")
    clips = {key: _clip(by_key[key]) for key in expected}
    results = {
        (*key, spec.name): _result(by_key[key], clips[key], reasons, spec.name)
        for key in expected
        for reasons in [_reasons(by_key[key])]
        for spec in specs
    }
    fits = {model.name: _fits([by_key[model.name, item] for item in items]) for model in models}
    suite, runs = SuiteFacts(**record["suite"]), tuple(record["runs"])
    return RunData(
        suite,
        tuple(items.values()),
        models,
        specs,
        clips,
        results,
        fits,
        runs,
        prompts_per_subject=record["prompts_per_subject"],
    )


def _clip(row: _Row) -> Clip:
    if row["status"] not in STATUSES:
        raise ValueError(f"{row['status']!r} is no status")
    reason = None if row["status"] == "done" else row["reason"]
    return Clip(
        row["status"],
        reason,
        seconds=_number(row["sample_seconds"]),
        peak_memory_mb=_number(row["peak_memory_mb"]),
    )


def _reasons(row: _Row) -> Mapping[str, str]:
    return json.loads(row["reason"]) if row["status"] == "done" and row["reason"] else {}


def _result(row: _Row, clip: Clip, reasons: Mapping[str, str], metric: str) -> Result:
    value = _number(row[metric]) if clip.status == "done" else None
    if value is not None:
        return Result(value)
    return Result(
        None, clip.reason if clip.status != "done" else str(reasons.get(metric, "no reason given"))
    )


def _fits(rows: Sequence[_Row]) -> tuple[tuple[str, float, float | None], ...]:
    fits = {
        row["subject_id"]: (_number(row["fit_seconds"]), _number(row["fit_memory_mb"]))
        for row in rows
    }
    return tuple(
        (subject, seconds, memory)
        for subject, (seconds, memory) in fits.items()
        if seconds is not None
    )


def _parsed(content: str) -> Iterator[_Row]:
    table = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    for row in table:
        if None in row or None in row.values():
            raise ValueError(f"line {table.line_num} does not have as many fields as the head")
        yield row


def _written(value: float | None) -> str:
    return "" if value is None else repr(round(value, DECIMALS) + 0.0)


def _number(text: str) -> float | None:
    if not text:
        return None
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"{text} is no number")
    return value


def _digest(content: str) -> str:
    """SHA-256 that line ends, which git may change, have no part in."""
    return sha256_of(content.replace("\r\n", "\n"))
