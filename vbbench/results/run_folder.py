"""Reads a run folder."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vbbench.core.strict_json import LineError, parse, read_chunks
from vbbench.errors import RunFolderError
from vbbench.metrics.spec import spec_from_json
from vbbench.models.registry import bundled_role
from vbbench.results.run_data import (
    REFERENCES,
    Clip,
    FitFacts,
    ItemFacts,
    ModelFacts,
    Result,
    RunData,
    SuiteFacts,
)
from vbbench.runner.records import (
    JOBS,
    SCORES,
    JobRow,
    ScoreRow,
    read_columns,
    read_manifest,
    read_rows,
)
from vbbench.types import MetricSpec

# Paths that a run folder names: a run folder from elsewhere must not make a report read, and copy,
# other files.


class Inside:
    """Paths inside of a folder. Links are followed; what a folder of files is, is looked up once
    for all of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._real: dict[Path, str] = {}

    def path(self, relative: str) -> Path:
        """A path of the folder.

        Raises:
            RunFolderError: it lies outside.
        """
        path = self._folder / relative
        if not f"{self._real_path(path)}{os.sep}".startswith(self._root.rstrip(os.sep) + os.sep):
            raise RunFolderError(f"{self._folder} names a file outside itself: {relative}.")
        return path

    def _real_path(self, path: Path) -> str:
        if path.name in ("", ".."):
            return os.path.realpath(path)
        parent = path.parent
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        end = os.path.join(self._real[parent], path.name)
        return os.path.realpath(end) if os.path.islink(end) else end


NOT_RUN = "not run yet"
NOT_SCORED = "not scored yet"
LARGEST = 1e100
"""Numbers beyond it would overflow in sums of squares."""


def load_run(path: Path | str) -> RunData:
    """Read a run folder.

    Raises:
        RunFolderError: it is none, or damaged; the sentence names the file.
    """
    root = Path(path)
    if not (root / "manifest.json").is_file():
        raise RunFolderError(f"{root} is not a run folder: it has no manifest.json.")
    manifest = read_manifest(root)
    try:
        suite, items = _read_suite(root, manifest)
        models = tuple(read_model(name, record) for name, record in manifest["models"].items())
        if not models:
            raise ValueError("it names no model")
        metrics = tuple(spec_from_json(record) for record in manifest["metrics"].values())
        jobs = read_rows(root / JOBS, JobRow)
        clips = _clips(root, models, items, jobs)
        results = _results(clips, metrics, _read_scores(root / SCORES))
        run = RunData(
            suite,
            items,
            models,
            metrics,
            clips,
            results,
            _fits(models, jobs),
            (manifest,),
            _fit_facts(models, jobs),
        )
        count = manifest.get("prompts_per_subject")
        return run if count is None else run.first_prompts(count)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RunFolderError(
            f"the run folder {root} is damaged or from another version of vbbench: {what}."
        ) from error


def _read_suite(
    root: Path, manifest: Mapping[str, Any]
) -> tuple[SuiteFacts, tuple[ItemFacts, ...]]:
    folder = root / "suite"
    try:
        table = tomllib.loads((folder / "suite.toml").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder / 'suite.toml'} cannot be read: {error}.") from error
    named = manifest["suite"]
    if table["name"] != named["name"]:
        raise RunFolderError(
            f"{root} says it is a run of suite {named['name']} but holds suite {table['name']}."
        )
    suite = SuiteFacts(
        name=str(named["name"]),
        version=str(named["version"]),
        digest=str(named["digest"]),
        description=str(table.get("description", "")),
        scale=str(manifest.get("scale", table["scale"])),
        num_frames=int(table["num_frames"]),
        size=int(table["size"]),
        fps=int(table["fps"]),
    )
    if min(suite.num_frames, suite.size, suite.fps) < 1:
        raise ValueError("its suite has no frame, no pixel or no frame a second")
    inside = Inside(folder)
    items = tuple(
        ItemFacts(
            id=_text(row, "id"),
            subject_id=_text(row, "subject"),
            class_name=_text(row, "class"),
            text=_text(row, "text"),
            subject_word=_text(row, "subject_word"),
            image=inside.path(row["image"]),
        )
        for row in _read_items(folder / "items.jsonl")
    )
    if len({item.id for item in items}) < len(items):
        raise ValueError("two of its items have one id")
    return suite, items


def _text(row: Mapping[str, Any], key: str) -> str:
    if not isinstance(row[key], str):
        raise TypeError(f"{key} of an item is {row[key]!r}, no text")
    return row[key]


def read_model(name: str, record: Mapping[str, Any]) -> ModelFacts:
    """A model as a manifest's record tells of it.

    A record from before recipes were trained more than once names neither recipe nor seed; one from
    before roles gets its bundled recipe's.

    Raises:
        KeyError, TypeError, ValueError: the record is damaged.
    """
    seed = record.get("training_seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f"{seed!r} is no training seed")
    return ModelFacts(
        name=name,
        groups=tuple(record["groups"]),
        digest=str(record["digest"]),
        weights=dict(record["weights"]),
        settings=dict(record["settings"]),
        params=dict(record.get("params", {})),
        title=str(record.get("title") or name),
        recipe=str(record.get("recipe") or name.partition("@")[0]),
        training_seed=seed,
        description=str(record.get("description", "")),
        citation=str(record.get("citation", "")),
        fitted=bool(record.get("fitted", False)),
        trained={
            key: float(value)
            for key, value in dict(record.get("trained") or {}).items()
            if key in ("steps", "parameters")
        },
        role=_role(name, record),
    )


def _role(name: str, record: Mapping[str, Any]) -> str:
    told = record.get("role")
    if told is not None:
        return str(told)
    return bundled_role(name) if REFERENCES in record["groups"] else ""


def _clips(
    root: Path,
    models: Iterable[ModelFacts],
    items: Sequence[ItemFacts],
    jobs: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str], Clip]:
    """One clip a model and item; of several records of a job the last counts."""
    sampled = {(job["model"], job["item_id"]): job for job in jobs if job["kind"] == "sample"}
    fits = {(job["model"], job["subject_id"]): job for job in jobs if job["kind"] == "fit"}
    clips, inside = {}, Inside(root)
    for model in models:
        for item in items:
            fit = fits.get((model.name, item.subject_id))
            clips[model.name, item.id] = _clip(inside, sampled.get((model.name, item.id)), fit)
    return clips


def _clip(inside: Inside, job: Mapping[str, Any] | None, fit: Mapping[str, Any] | None) -> Clip:
    if job is None:
        if fit is not None and fit["status"] == "failed":
            return Clip("failed", f"fitting failed: {fit.get('reason') or 'no reason given'}")
        return Clip("missing", NOT_RUN)
    seconds = _number(job.get("seconds"))
    memory_mb = _number(job.get("peak_memory_mb"))
    if job["status"] != "done":
        reason = str(job.get("reason") or "no reason given")
        return Clip("failed", reason, seconds=seconds, peak_memory_mb=memory_mb)
    video = inside.path(job["file"]) if job.get("file") else None
    return Clip("done", None, video, job.get("digest"), seconds, memory_mb)


class _Scored(NamedTuple):
    value: float | None
    reason: str | None
    video_digest: str | None


_ScoreKey = tuple[str, str, str, str]  # model, item id, metric, spec id


def _read_scores(path: Path) -> dict[_ScoreKey, _Scored]:
    """The last score of each model, item, metric and spec."""
    columns = read_columns(
        path, ScoreRow, ("model", "item_id", "metric", "spec_id", *_Scored._fields)
    )
    *keys, values, reasons, digests = columns.values()
    scores = map(_Scored, values, reasons, digests)
    return dict(zip(zip(*keys, strict=True), scores, strict=True))


def _results(
    clips: Mapping[tuple[str, str], Clip],
    metrics: Sequence[MetricSpec],
    scored: Mapping[_ScoreKey, _Scored],
) -> dict[tuple[str, str, str], Result]:
    """One result a model, item and metric. A score of another spec or of other pixels is none."""
    results = {}
    for (model, item), clip in clips.items():
        for spec in metrics:
            score = scored.get((model, item, spec.name, spec.id))
            results[model, item, spec.name] = _result(clip, score)
    return results


def _result(clip: Clip, score: _Scored | None) -> Result:
    if clip.status != "done":
        return Result(None, clip.reason)
    if score is None:
        return Result(None, NOT_SCORED)
    if clip.digest and score.video_digest and score.video_digest != clip.digest:
        return Result(None, "the video has changed since it was scored")
    if score.value is None:
        return Result(None, score.reason or "no reason given")
    value = float(score.value)
    return (
        Result(value)
        if abs(value) < LARGEST
        else Result(None, "the value is not a finite number, or none that means something")
    )


def _fits(
    models: Iterable[ModelFacts], jobs: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[tuple[str, float, float | None], ...]]:
    last = {(job["model"], job["subject_id"]): job for job in jobs if job["kind"] == "fit"}
    return {
        model.name: tuple(
            (subject, _number(job["seconds"]) or 0.0, _number(job.get("peak_memory_mb")))
            for (name, subject), job in last.items()
            if name == model.name and job["status"] == "done"
        )
        for model in models
    }


def _fit_facts(
    models: Iterable[ModelFacts], jobs: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[FitFacts, ...]]:
    last = {(job["model"], job["subject_id"]): job for job in jobs if job["kind"] == "fit"}
    return {
        model.name: tuple(
            FitFacts(
                subject,
                job["status"] == "done",
                _known_number(dict(job.get("facts") or {}).get("steps")),
                job.get("bytes"),
            )
            for (name, subject), job in last.items()
            if name == model.name
        )
        for model in models
    }


def _known_number(value: Any) -> float | None:
    """A fact as a number; a method may state its facts in words, which are no number."""
    return (
        float(value)
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < float("inf")
        else None
    )


def _number(value: Any) -> float | None:
    """As it stands in a job's record.

    Raises:
        ValueError: it is not finite.
    """
    if value is None:
        return None
    number = float(value)
    if not abs(number) < LARGEST:
        raise ValueError(f"{number} is no number of seconds or megabytes")
    return number


def read_json(path: Path) -> dict[str, Any]:
    """A file's record.

    Raises:
        RunFolderError: it cannot be read, or its texts cannot be written to a page.
    """
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}.") from error


def _read_items(path: Path) -> list[dict[str, Any]]:
    """The rows of a suite's copy, whose files may be gone; none if the file is not there."""
    try:
        return [record for chunk in read_chunks(path) for record in chunk.records]
    except LineError as error:
        raise RunFolderError(f"{path} is damaged: {error}.") from error
