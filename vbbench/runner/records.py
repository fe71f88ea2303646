"""The files of a run folder and of recorded scores: what each holds, in one place.

Headers (manifest.json, recorded and stored scores) are checked by pydantic. Rows (jobs.jsonl,
scores.jsonl) are too many for that: a chunk of them is checked a column at a time, and pydantic
only says what is wrong with a row that did not pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, TypeVar, get_args, get_origin

import numpy as np
from pydantic import Field, ValidationError, field_validator

from vbbench.core.schema import (
    Header,
    Migration,
    NewerFormatError,
    brief,
    complaints,
    migrate,
    validate,
)
from vbbench.core.strict_json import LineError, parse, read_chunks
from vbbench.errors import RunFolderError
from vbbench.runner.run_folder_files import MANIFEST, may_lie_in_new, spec_ids

JOBS = "jobs.jsonl"
SCORES = "scores.jsonl"
MANIFEST_FORMAT = 2
RECORDING_FORMAT = 1
STORED_FORMAT = 1
Record = dict[str, Any]
Table = dict[str, Any]


class SuiteRecord(Header):
    """Which suite a run is of."""

    name: str
    version: str
    digest: str


class ModelRecord(Header):
    """What a manifest says of a model."""

    digest: str | None = None
    recipe: str | None = None
    training_seed: int | None = None
    trained: dict[str, float] | None = None
    title: str | None = None
    description: str = ""
    citation: str = ""
    groups: tuple[str, ...] = ()
    role: str | None = None
    fitted: bool = False
    weights: dict[str, str] = Field(default_factory=dict)
    settings: Table = Field(default_factory=dict)
    params: Table = Field(default_factory=dict)

    @field_validator("training_seed", mode="before")
    @classmethod
    def _is_seed(cls, value: Any) -> Any:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{value!r} is no training seed")
        return value


class Manifest(Header):
    """manifest.json: how a run was made.

    Attributes:
        format: of this file; files without one are of format 1.
        prompts_per_subject: the run is restricted to the first so many items of each subject; None
            where it is not.
        models: name -> what is said of it.
        metrics: name -> its spec.
        environment: machine, versions, threads.
        created: of the folder's first run, ISO 8601.
    """

    format: int
    vbbench: str | None = None
    suite: SuiteRecord
    scale: str
    prompts_per_subject: int | None = None
    models: dict[str, ModelRecord]
    params: Table = Field(default_factory=dict)
    metrics: dict[str, Table] = Field(default_factory=dict)
    environment: Table = Field(default_factory=dict)
    commit: str | None = None
    created: str | None = None
    command: str | None = None

    @field_validator("prompts_per_subject", mode="before")
    @classmethod
    def _is_count(cls, value: Any) -> Any:
        return check_prompts(value)


class RecordRow(Header):
    """Base of what stands on one line.

    Attributes:
        repeats: columns whose texts many rows share, so that each is kept once.
    """

    repeats: ClassVar[tuple[str, ...]] = ()


class JobRow(RecordRow):
    """A line of jobs.jsonl: what became of a job. Of several lines of one job the last counts.

    Attributes:
        hash: of everything that decides the result.
        kind: ``fit`` or ``sample``.
        item_id: None for a fit.
        status: ``done`` or ``failed``; `reason` says why.
        seconds, peak_memory_mb: what it took; MB are 10^6 bytes.
        file, file_sha256, bytes: the result, relative to the run folder.
        digest: of a video's pixels, or of an adapter's file.
        facts: what the model said of it.
    """

    repeats = ("kind", "model", "subject_id", "item_id", "status")

    hash: str
    kind: str
    model: str
    subject_id: str
    item_id: str | None = None
    status: str
    reason: str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    file: str | None = None
    file_sha256: str | None = None
    bytes: int | None = None
    digest: str | None = None
    facts: Table = Field(default_factory=dict)


class ScoreRow(RecordRow):
    """A line of scores.jsonl: one metric's value of one video, or the reason why there is none.

    Attributes:
        spec_id: of the metric spec by which it was measured.
        per_frame: of metrics that have a value of each frame; None where one is not finite.
        video_digest: of the pixels that were measured.
    """

    repeats = ("model", "item_id", "metric", "spec_id", "video_digest", "reason")

    model: str
    item_id: str
    metric: str
    spec_id: str
    value: float | None
    reason: str | None = None
    per_frame: list[float | None] | None = None
    video_digest: str | None = None


class CostRecord(Header):
    """What a recorded model took (`vbbench.results.gate.scores.Cost`)."""

    machine: str
    slowness: float | None = Field(ge=0)
    resident_mb: float | None = Field(ge=0)
    sample_seconds: float | None = Field(ge=0)
    fit_seconds: float | None = Field(ge=0)
    peak_memory_mb: float | None = Field(ge=0)


class RecordedScores(Header):
    """A model's recorded scores: metric -> item id -> value, and what it took."""

    title: str
    digest: str
    weights: dict[str, str]
    params: Table
    scores: dict[str, dict[str, float | None]]
    cost: CostRecord


class NoiseRecord(Header):
    """How far a metric's value of one item moves by itself."""

    sd: float = Field(ge=0)
    largest: float = Field(ge=0)
    pairs: int = Field(ge=0)


class NoiseTable(Header):
    """Noise of each metric, and what differed between the runs that it was measured on."""

    conditions: list[str]
    metrics: dict[str, NoiseRecord]


class QuickRecord(Header):
    """What ``gate --quick`` runs again."""

    models: list[str]
    items: list[str]


class RecordingFile(Header):
    """Recorded scores, baselines/scores/<suite>.json: what the gate compares with.

    Attributes:
        recorded: who, why, when, commit, vbbench, environment.
        items: item id -> subject id.
    """

    format: int
    recorded: Table
    suite: SuiteRecord
    scale: str
    noise: NoiseTable
    quick: QuickRecord
    metrics: dict[str, Table]
    items: dict[str, str]
    models: dict[str, RecordedScores]


class TableRecord(Header):
    """The table beside stored scores."""

    file: str
    sha256: str


class StoredSuite(SuiteRecord):
    """The suite of stored scores."""

    description: str
    scale: str
    num_frames: int = Field(ge=1)
    size: int = Field(ge=1)
    fps: int = Field(ge=1)


class StoredModel(ModelRecord):
    """A model of stored scores."""

    name: str


class StoredRun(Header):
    """What is kept of a run's manifest."""

    vbbench: str | None = None
    commit: str | None = None
    created: str | None = None
    environment: Table = Field(default_factory=dict)


class StoredScores(Header):
    """Stored scores, scores.json: what the numbers of the table beside it are."""

    format: int
    table: TableRecord
    suite: StoredSuite
    prompts_per_subject: int | None = None
    models: dict[str, StoredModel]
    metrics: dict[str, Table]
    runs: list[StoredRun]

    @field_validator("prompts_per_subject", mode="before")
    @classmethod
    def _is_count(cls, value: Any) -> Any:
        return check_prompts(value)


RowKind = type[RecordRow]
HeaderKind = TypeVar("HeaderKind", bound=Header)


def check_prompts(value: Any) -> int | None:
    """A restriction to so many prompts of each subject as it stands in a file; None for all.

    Raises:
        ValueError: it is no whole number above 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no number of prompts")
    return value


def read_manifest(root: Path) -> Record:
    """The manifest of a run folder in today's format, checked against `Manifest`.

    Raises:
        RunFolderError: there is none, or it cannot be understood; the sentence names the file.
    """
    path = root / MANIFEST
    try:
        content = migrate(
            parse(path.read_text(encoding="utf-8")), _MIGRATIONS, MANIFEST_FORMAT, without=1
        )
        validate(Manifest, content, "the manifest")
        spec_ids(content.get("metrics", {}))
    except NewerFormatError as error:
        raise RunFolderError(f"the run folder {root} {error}.") from None
    except KeyError as error:
        raise _damaged_manifest(root, f"a metric lacks {error}") from None
    except (OSError, ValueError) as error:
        raise _damaged_manifest(root, str(error)) from None
    return content


def read_manifest_or_none(root: Path) -> Record:
    """The manifest of a run folder; empty where a new run may be.

    Raises:
        RunFolderError: it is no run folder and not empty, or its manifest is damaged.
    """
    if root.exists() and not root.is_dir():
        raise RunFolderError(f"{root} is a file, not a run folder.")
    if (root / MANIFEST).is_file():
        return read_manifest(root)
    entries = root.iterdir() if root.is_dir() else ()
    others = sorted(entry.name for entry in entries if not may_lie_in_new(entry))
    if others:
        raise RunFolderError(
            f"{root} is not a run folder and not empty: it holds {others[0]}. "
            "Name another one with --out."
        )
    return {}


def _damaged_manifest(root: Path, what: str) -> RunFolderError:
    return RunFolderError(
        f"the run folder {root} is damaged: {MANIFEST} cannot be read: {what.rstrip('.')}."
    )


def _manifest_from_1(content: Record) -> Record:
    """Files without a format: those from before recipes were trained more than once do not name a
    model's recipe."""
    models = content.get("models")
    if not isinstance(models, dict):
        return content
    named = {
        name: {"recipe": name.partition("@")[0], **model} if isinstance(model, dict) else model
        for name, model in models.items()
    }
    return {**content, "models": named}


_MIGRATIONS: Mapping[int, Migration] = {1: _manifest_from_1}
"""Format of a manifest -> how it becomes one of the next."""


def header_of(kind: type[HeaderKind], content: Any, newest: int, where: str) -> HeaderKind:
    """A header whose every file says its format, and has had one format so far.

    Raises:
        NewerFormatError: it is of a newer format.
        ValueError: half a sentence about what is wrong.
    """
    return validate(kind, migrate(content, {}, newest), where)


def read_rows(path: Path, kind: RowKind, *, whole_lines: bool = False) -> list[Record]:
    """All rows of a file, with every key of their kind; none where there is no file.

    A last line that a kill cut off is passed over.

    Args:
        whole_lines: pass over a last line without its end even if it is a row.
    Raises:
        RunFolderError: a line is no such row; the sentence says which and what is wrong.
    """
    known: dict[str | None, str | None] = {}
    found: list[Record] = []
    for rows in _checked_chunks(path, kind, whole_lines):
        for name in kind.repeats:
            for row in rows:
                row[name] = known.setdefault(row[name], row[name])
        found += rows
    return found


def read_columns(path: Path, kind: RowKind, names: Sequence[str]) -> dict[str, list[Any]]:
    """Some columns of a file's rows, each as long as there are rows; as `read_rows`, in a tenth of
    the memory."""
    known: dict[str | None, str | None] = {}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for rows in _checked_chunks(path, kind, whole_lines=False):
        for name, values in columns.items():
            if name in kind.repeats:
                values += [known.setdefault(row[name], row[name]) for row in rows]
            else:
                values += [row[name] for row in rows]
    return columns


def rows_text(rows: Sequence[Record], kind: RowKind) -> str:
    """Rows as lines of JSON; keys that a row may lack are added to it.

    Raises:
        ValueError: a row is not of its kind, or holds a number that is not finite.
    """
    if wrong := _wrong_columns(rows, kind):
        number, what = _first_wrong(rows, kind, wrong)
        raise ValueError(f"row {number + 1} to be written {what}")
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    # a reason may quote a file name that is no UTF-8
    return text.encode("utf-8", "replace").decode("utf-8")


def _checked_chunks(path: Path, kind: RowKind, whole_lines: bool) -> Iterator[list[Record]]:
    count = 0
    try:
        for chunk in read_chunks(path, whole_lines=whole_lines):
            if wrong := _wrong_columns(chunk.records, kind):
                number, what = _first_wrong(chunk.records, kind, wrong)
                raise RunFolderError(
                    f"{path} is damaged: its record {count + number + 1} {what} "
                    f"(line {chunk.lines[number]})."
                )
            count += len(chunk.records)
            yield chunk.records
    except LineError as error:
        raise RunFolderError(f"{path} is damaged: {error}.") from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error}.") from None


@dataclass(frozen=True)
class ColumnRule:
    """What the values of one key may be.

    Attributes:
        types: of the values.
        inner: of what is in the lists, where the values are lists.
        optional: rows may lack it.
    """

    name: str
    types: frozenset[type]
    inner: frozenset[type]
    optional: bool

    def is_good(self, values: Sequence[Any]) -> bool:
        """Whether all values are of the column's types, and all numbers finite."""
        if not self.types.issuperset(map(type, values)):
            return False
        if dict in self.types:
            return _can_be_written(values)
        if list in self.types:
            values = list(chain.from_iterable(value for value in values if value is not None))
            if not self.inner.issuperset(map(type, values)):
                return False
        numbers = float in self.types | self.inner
        return not numbers or _are_finite([value for value in values if value is not None])


@lru_cache(maxsize=8)
def columns_of(kind: RowKind) -> tuple[ColumnRule, ...]:
    """The columns of a kind of row, from the annotations of its fields."""
    return tuple(
        ColumnRule(
            name,
            _types(field.annotation),
            _inner_types(field.annotation),
            optional=not field.is_required(),
        )
        for name, field in kind.model_fields.items()
    )


def _types(annotation: Any) -> frozenset[type]:
    """``float | None`` -> float, int, NoneType."""
    if annotation in (None, NoneType):
        return frozenset({NoneType})
    if annotation is float:
        return frozenset({float, int})
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return frozenset({annotation})
    if get_origin(annotation) in (list, dict):
        return frozenset({get_origin(annotation)})
    return frozenset().union(*map(_types, get_args(annotation)))


def _inner_types(annotation: Any) -> frozenset[type]:
    """``list[float] | None`` -> float, int."""
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is list:
            return frozenset().union(*map(_types, get_args(part)))
    return frozenset()


def _wrong_columns(rows: Sequence[Any], kind: RowKind) -> list[str]:
    """Names of columns that some rows lack or in which some value is wrong, and ``""`` for rows
    that are none or have more keys than they may; adds what rows may lack."""
    columns = columns_of(kind)
    if not {dict}.issuperset(map(type, rows)):
        return [""]
    if any(len(row) < len(columns) for row in rows):
        _add_defaults(rows, kind)
    wrong = []
    for column in columns:
        try:
            values = [row[column.name] for row in rows]
        except KeyError:
            wrong.append(column.name)
            continue
        if not column.is_good(values):
            wrong.append(column.name)
    if any(len(row) > len(columns) for row in rows):
        wrong.append("")
    return wrong


def _add_defaults(rows: Iterable[Record], kind: RowKind) -> None:
    for name, field in kind.model_fields.items():
        if field.is_required():
            continue
        for row in rows:
            if name not in row:
                row[name] = field.get_default(call_default_factory=True)


def _are_finite(values: Sequence[float]) -> bool:
    try:
        return bool(np.isfinite(np.array(values, dtype=np.float64)).all())
    except OverflowError:  # a whole number beyond what a float can hold
        return False


def _can_be_written(tables: Sequence[Any]) -> bool:
    try:
        json.dumps([table for table in tables if table], allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def _first_wrong(rows: Sequence[Any], kind: RowKind, wrong: Sequence[str]) -> tuple[int, str]:
    """Index of the first row that is wrong, and what is: ``has no good value``."""
    names = {column.name for column in columns_of(kind)}
    for number, row in enumerate(rows):
        content = row if isinstance(row, dict) else {}
        try:
            kind.model_validate(content)
            if all(_are_good(content, column) for column in columns_of(kind)):
                continue
            return number, f"has a number that is not finite in {', '.join(filter(None, wrong))}"
        except ValidationError as error:
            found = complaints(error, kind)
        unknown = [each for each in found if each.kind == "unknown"]
        if unknown:
            return number, f"has the unknown {unknown[0].key!r}: {unknown[0].text.rstrip('.')}"
        keys = dict.fromkeys(str([*each.table, each.key][0]) for each in found)
        good = [key for key in keys if key in names]
        first = found[0]
        shown = "" if first.kind == "missing" else f": {brief(first.value)} is not {first.text}"
        return number, f"has no good {', '.join(good)}{shown}"
    return 0, f"has no good {', '.join(wrong)}"


def _are_good(row: Record, column: ColumnRule) -> bool:
    return column.name not in row or column.is_good([row[column.name]])
