"""A run folder, and the only code that writes one.

Every result is on the disk before it is counted: files are written beside their place and renamed,
records are appended and synced. So a run that is killed at any moment loses at most the job it was
at. Of several records of one job or score the last counts; the records are put in order, one a job,
when a run ends.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vbbench.core.digests import file_digest
from vbbench.core.files import atomic_file, copy_whole, write_atomic
from vbbench.errors import RunFolderError
from vbbench.metrics.spec import is_untrained, under_one_setting
from vbbench.runner.records import (
    JOBS,
    MANIFEST_FORMAT,
    SCORES,
    JobRow,
    Record,
    RowKind,
    ScoreRow,
    read_manifest_or_none,
    read_rows,
    rows_text,
)
from vbbench.runner.run_folder_files import MANIFEST, spec_ids, take_lock
from vbbench.types import Adapter, Job, MetricSpec, PromptSuite, Video

_TAIL_BYTES = 1 << 16
JobKey = tuple[str, str, str]  # kind, model, id of the item or the subject
ScoreKey = tuple[str, str, str]  # model, item id, spec id


class RunStore:
    """A run folder that is open for writing; at most one process has it open.

    Attributes:
        jobs: the latest record of each job, by (kind, model, item id or subject id).
        scores: the latest record of each score, by (model, item id, spec id).
    """

    def __init__(
        self,
        root: Path,
        suite: PromptSuite,
        scale: str,
        *,
        read_only: bool = False,
        own_suite: bool = False,
        lock: int | None = None,
    ) -> None:
        """Open a run folder, or make it.

        Args:
            read_only: only look at what is there, and touch nothing.
            own_suite: the suite was made for this folder alone, and may have changed since: what is
                of items that are gone is dropped.
            lock: what `take_lock` gave for this folder; closed with the store, or if it cannot be
                opened.
        Raises:
            RunFolderError: another suite's or scale's, no run folder at all, damaged, or open in
                another process.
        """
        self.root = root
        self._read_only, self._own_suite, self._lock = read_only, own_suite, lock
        try:
            self.manifest: Record = self._check(suite, scale)
            if not read_only and lock is None:
                self._lock = take_lock(root)
            self._read(suite)
        except BaseException:
            self.close()
            raise

    def _read(self, suite: PromptSuite) -> None:
        """The records that are there, and a copy of the suite for those that read the folder
        alone."""
        self.jobs: dict[JobKey, Record] = {
            (r["kind"], r["model"], r["item_id"] or r["subject_id"]): r
            for r in self._load(JOBS, JobRow)
        }
        self.scores: dict[ScoreKey, Record] = {
            (r["model"], r["item_id"], r["spec_id"]): r for r in self._load(SCORES, ScoreRow)
        }
        strangers = {item_id for kind, _, item_id in self.jobs if kind == "sample"} - {
            item.id for item in suite.items
        }
        if self._own_suite:
            self.jobs = {
                key: record for key, record in self.jobs.items() if key[2] not in strangers
            }
            self.scores = {key: row for key, row in self.scores.items() if key[1] not in strangers}
        elif strangers:
            raise RunFolderError(
                f"{self.root / JOBS} is damaged: it holds {min(strangers)!r}, "
                f"which is no item of the suite {suite.name}."
            )
        if not self._read_only:
            self._copy_suite(suite)

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_done(self, job: Job) -> bool:
        """Whether the job's result is there, whole, and made by the very same code, weights, item
        and parameters."""
        record = self.jobs.get(job_key(job))
        if (
            record is None
            or record["hash"] != job.hash
            or record["status"] != "done"
            or record["file"] is None
        ):
            return False
        path = self.root / record["file"]
        return path.is_file() and file_digest(path) == record["file_sha256"]

    def video_path(self, job: Job) -> Path:
        """Where a sample job's video lies."""
        return self.root / "videos" / job.model / f"{job.item_id}.mkv"

    def adapter_path(self, job: Job) -> Path:
        """Where a fit job's adapter lies."""
        return self.root / "adapters" / job.model / f"{job.subject_id}.safetensors"

    def keep_video(
        self, job: Job, video: Video, facts: Mapping[str, Any], *, seconds: float, memory_mb: float
    ) -> None:
        """Store a sample job's video, without loss, and its record."""
        from vbbench.media.video import video_digest, write_video_lossless

        path = self.video_path(job)
        write_video_lossless(path, video)
        self._keep(job, path, video_digest(video), facts, seconds, memory_mb)

    def keep_given(self, job: Job, source: Path, video: Video, facts: Mapping[str, Any]) -> None:
        """Store a copy of somebody's video, byte for byte (a folder of pictures without loss, as
        one file), and its record.

        Args:
            source: the file or folder; ``video`` is what it holds.
            facts: what is known of it; ``content`` is its `content_digest`.
        Raises:
            InputError: the file was changed in the meantime.
        """
        from vbbench.media.video import SUFFIXES, video_digest, write_video_lossless

        path = self.video_path(job)
        if source.is_dir():
            write_video_lossless(path, video)
        else:
            suffix = source.suffix.lower()
            path = path.with_name(f"{job.item_id}{suffix if suffix in SUFFIXES else '.video'}")
            copy_whole(source, path, facts["content"])
        self._record(job, "done", None, path, video_digest(video), facts, None, None)

    def forget(self, job: Job) -> None:
        """Make room for another result of a job: its scores count no more, and its video goes."""
        record = self.jobs.get(job_key(job))
        if record is None or record["hash"] == job.hash:
            return
        of_job = [
            row
            for (model, item, _), row in self.scores.items()
            if (model, item) == (job.model, job.item_id)
        ]
        void = {
            "value": None,
            "reason": "it has changed since it was scored",
            "per_frame": None,
            "video_digest": None,
        }
        self.keep_scores([{**row, **void} for row in of_job if row["value"] is not None])
        path = self.root / (record["file"] or "")
        if path.is_file() and path.resolve().is_relative_to((self.root / "videos").resolve()):
            path.unlink()

    def keep_adapter(self, job: Job, adapter: Adapter, *, seconds: float, memory_mb: float) -> None:
        """Store a fit job's adapter and its record."""
        from safetensors.torch import save_file

        path = self.adapter_path(job)
        tensors = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in adapter.tensors.items()
        }
        with atomic_file(path) as partial:
            save_file(tensors, partial)
        self._keep(job, path, file_digest(path), adapter.facts, seconds, memory_mb)

    def load_adapter(self, job: Job) -> Adapter:
        """The adapter that a fit job left behind."""
        from safetensors.torch import load_file

        return Adapter(
            job.subject_id, load_file(self.adapter_path(job)), self.jobs[job_key(job)]["facts"]
        )

    def keep_failure(
        self,
        job: Job,
        reason: str,
        *,
        seconds: float | None,
        memory_mb: float | None,
        details: str | None = None,
    ) -> None:
        """Record that a job failed, and why in one line; the traceback, if any, goes to a file
        under ``errors/``."""
        facts: Record = {}
        if details:
            path = self.root / "errors" / f"{job.model}-{job.item_id or job.subject_id}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(details, encoding="utf-8", errors="replace")
            facts["details"] = path.relative_to(self.root).as_posix()
        self._record(job, "failed", reason, None, None, facts, seconds, memory_mb)

    def keep_scores(self, rows: Sequence[Record]) -> None:
        """Record the scores of one video, all at once."""
        self._append(SCORES, rows, ScoreRow)
        self.scores.update({(row["model"], row["item_id"], row["spec_id"]): row for row in rows})

    def write_manifest(self, manifest: Mapping[str, Any]) -> list[str]:
        """Write the manifest. Models of earlier runs into this folder stay in it, and their metrics
        as far as one setting holds for all.

        Of two restrictions to the first items of each subject the wider stays: nothing that was
        planned is forgotten.

        Returns:
            Names of the metrics that were measured under another setting and do not stay.
        Raises:
            RunFolderError: scores of trained encoders would come to stand beside scores of random
                ones.
        """
        merged = {"format": MANIFEST_FORMAT, **manifest}
        merged["models"] = {**self.manifest.get("models", {}), **manifest["models"]}
        earlier, new = self.manifest.get("metrics", {}), manifest["metrics"]
        encoded = [spec for spec in (*earlier.values(), *new.values()) if spec.get("encoder")]
        if new and len({is_untrained(spec) for spec in encoded}) > 1:
            raise RunFolderError(
                f"{self.root} would hold scores of trained encoders and of random ones: "
                "name another folder with --out."
            )
        stay = {
            name: spec
            for name, spec in earlier.items()
            if all(under_one_setting(spec, other) for other in new.values())
        }
        merged["metrics"] = {**stay, **new}
        if self.manifest:
            merged["prompts_per_subject"] = _wider(
                self.manifest.get("prompts_per_subject"), manifest.get("prompts_per_subject")
            )
        merged["created"] = self.manifest.get("created", manifest["created"])
        self.manifest = _plain(merged)
        write_atomic(
            self.root / MANIFEST,
            json.dumps(self.manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        )
        return [name for name in earlier if name not in merged["metrics"]]

    def tidy(self, specs: Iterable[MetricSpec]) -> None:
        """Leave one record a job and score, in the order of the manifest's models and the suite's
        items.

        Scores by specs that are neither given nor in the manifest any more are dropped: nobody
        reads them.
        """
        models = {name: place for place, name in enumerate(self.manifest["models"])}
        wanted = {spec.id for spec in specs} | spec_ids(self.manifest["metrics"])
        last = len(models)
        jobs = sorted(self.jobs.values(), key=lambda r: (models.get(r["model"], last), r["kind"]))
        scores = [row for row in self.scores.values() if row["spec_id"] in wanted]
        scores.sort(key=lambda r: (models.get(r["model"], last), r["item_id"], r["metric"]))
        write_atomic(self.root / JOBS, rows_text(jobs, JobRow))
        write_atomic(self.root / SCORES, rows_text(scores, ScoreRow))

    def _check(self, suite: PromptSuite, scale: str) -> Record:
        """The manifest of an existing run; empty for a new one."""
        manifest = read_manifest_or_none(self.root)
        if not manifest:
            return {}
        theirs = (
            manifest["suite"]["name"],
            manifest["suite"]["version"],
            manifest["suite"]["digest"],
            manifest["scale"],
        )
        ours = (suite.name, suite.version, theirs[2] if self._own_suite else suite.digest, scale)
        if theirs != ours:
            raise RunFolderError(
                f"the run folder {self.root} belongs to suite {theirs[0]} {theirs[1]} "
                f"({theirs[2][:12]}) at scale {theirs[3]}, not to {suite.name} {suite.version} "
                f"({suite.digest[:12]}) at {scale}. Name another one with --out."
            )
        return manifest

    def _load(self, name: str, kind: RowKind) -> list[Record]:
        """The rows of a file.

        What a kill cut off in the last line is taken away, so that the next row starts afresh.
        """
        path = self.root / name
        if not self._read_only:
            _cut_torn_line(path)
        return read_rows(path, kind, whole_lines=True)

    def _copy_suite(self, suite: PromptSuite) -> None:
        """What a report needs of the suite, so that the run can be read alone."""
        names = {"suite.toml", "subjects.jsonl", "items.jsonl"} | {
            item.image.relative_to(suite.root).as_posix() for item in suite.items
        }
        for name in sorted(names):
            target = self.root / "suite" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (
                target.resolve() != (suite.root / name).resolve()
            ):  # a run folder's own copy may be run again
                shutil.copyfile(suite.root / name, target)

    def _keep(
        self,
        job: Job,
        path: Path,
        digest: str,
        facts: Mapping[str, Any],
        seconds: float,
        memory_mb: float,
    ) -> None:
        self._record(job, "done", None, path, digest, facts, seconds, memory_mb)

    def _record(
        self,
        job: Job,
        status: str,
        reason: str | None,
        path: Path | None,
        digest: str | None,
        facts: Mapping[str, Any],
        seconds: float | None,
        memory_mb: float | None,
    ) -> None:
        record = {
            "hash": job.hash,
            "kind": job.kind,
            "model": job.model,
            "subject_id": job.subject_id,
            "item_id": job.item_id,
            "status": status,
            "reason": reason,
            "seconds": None if seconds is None else round(seconds, 4),
            "peak_memory_mb": None if memory_mb is None else round(memory_mb, 1),
            "file": path.relative_to(self.root).as_posix() if path else None,
            "file_sha256": file_digest(path) if path else None,
            "bytes": path.stat().st_size if path else None,
            "digest": digest,
            "facts": _plain(facts),
        }
        self._append(JOBS, [record], JobRow)
        self.jobs[job_key(job)] = record

    def _append(self, name: str, rows: Sequence[Record], kind: RowKind) -> None:
        text = rows_text(rows, kind)
        with (self.root / name).open("ab") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())


def _cut_torn_line(path: Path) -> None:
    """Take away what stands behind the last line's end."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _TAIL_BYTES)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _wider(earlier: int | None, new: int | None) -> int | None:
    """The wider of two restrictions; None is none at all."""
    return None if earlier is None or new is None else max(earlier, new)


def job_key(job: Job) -> JobKey:
    """What a job makes, whatever its hash: a later record with the same key replaces an earlier
    one."""
    return (job.kind, job.model, job.item_id or job.subject_id)


def _plain(value: Any) -> Any:
    """Facts and settings as JSON can hold them: numbers of numpy or torch as numbers, anything
    strange (NaN too) as its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "size", None) in (1, ()):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
