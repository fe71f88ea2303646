"""Builds small run folders, as `vbbench run` writes them, from plain descriptions: no model is
run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vbbench.media.video import video_digest, write_video_lossless
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.spec import make_spec
from vbbench.results.formatting import file_name
from vbbench.types import MetricSpec, Video

FRAMES, SIZE, FPS = 4, 16, 8
MODELS = {
    "videobooth": ("VideoBooth", ("videobooth-family",)),
    "text-to-video": ("Text to video", ("baselines",)),
    "textual-inversion": ("Textual Inversion", ("baselines",)),
    "real-video": ("Real video", ("references",)),
    "other-individual": ("Other individual", ("references",)),
    "still-image": ("Still image", ("references",)),
    "shuffled-frames": ("Shuffled frames", ("references",)),
}


def spec(
    name: str,
    *,
    version: str = "1",
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> MetricSpec:
    """A metric spec with plain contents."""
    return make_spec(
        Setting(),
        name=name,
        version=version,
        formula="mean of cosines",
        unit="cosine",
        higher_is_better=higher_is_better,
        bounds=bounds,
        reads_text=name == "clip-text",
    )


METRICS = (spec("clip-text"), spec("dino"), spec("temporal-consistency"))


@dataclass
class Item:
    """A prompt item; `subject` is also the individual that the bootstrap draws."""

    id: str
    subject: str
    text: str = "a dog runs on the beach"
    subject_word: str = "dog"
    class_name: str = "dog"


@dataclass
class FakeRun:
    """What a run folder is to hold.

    `value(model, item, metric)` gives a score, a reason (str), or None for a score that was never
    written; `failed` maps (model, item id) to the reason why there is no video; `missing` are jobs
    that were not done yet.
    """

    items: Sequence[Item]
    value: Callable[[str, str, str], float | str | None]
    models: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=lambda: MODELS)
    metrics: Sequence[MetricSpec] = METRICS
    failed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    missing: frozenset[tuple[str, str]] = frozenset()
    suite: Mapping[str, Any] = field(
        default_factory=lambda: {"name": "tiny", "version": "1.0", "digest": "d1" * 32}
    )
    settings: Mapping[str, Any] = field(default_factory=lambda: {"steps": 4})


def items(individuals: int, each: int = 1) -> list[Item]:
    """Items ``i0``, ``i1`` ... of the individuals ``dog-0``, ``dog-1`` ..., in turn."""
    return [
        Item(f"i{number}", f"dog-{number % individuals}") for number in range(individuals * each)
    ]


def build(root: Path, run: FakeRun, *, videos: bool = True) -> Path:
    """Write the run folder; returns its path."""
    root.mkdir(parents=True)
    _write_suite(root / "suite", run)
    manifest = {
        "vbbench": "0.1.0",
        "suite": dict(run.suite),
        "scale": "mini",
        "models": {
            name: {
                "digest": "c" * 64,
                "weights": {"base": "e" * 64},
                "settings": dict(run.settings),
                "params": {"num_inference_steps": 4},
                "title": title,
                "groups": list(groups),
            }
            for name, (title, groups) in run.models.items()
        },
        "metrics": {metric.name: asdict(metric) for metric in run.metrics},
        "environment": {"python": "3.11", "torch": "2.15", "device": "cpu"},
        "commit": "0123abc",
        "created": "2025-01-02T03:04:05+00:00",
        "command": "vbbench run --suite tiny",
    }
    (root / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    jobs, scores = [], []
    for model in run.models:
        for number, item in enumerate(run.items):
            job = _job(root, run, model, item, number, videos=videos)
            if job is None:
                continue
            jobs.append(job)
            if job["status"] == "done":
                scores += [
                    row
                    for metric in run.metrics
                    if (row := _score(run, model, item, metric, job["digest"]))
                ]
    if "textual-inversion" in run.models:
        jobs += [
            {
                "hash": f"fit-{subject}",
                "kind": "fit",
                "model": "textual-inversion",
                "subject_id": subject,
                "item_id": None,
            }
            | {"status": "done", "reason": None, "seconds": 10.0 + number, "peak_memory_mb": 900.0}
            for number, subject in enumerate(sorted({item.subject for item in run.items}))
        ]
    _write_jsonl(root / "jobs.jsonl", jobs)
    _write_jsonl(root / "scores.jsonl", scores)
    return root


def _write_suite(folder: Path, run: FakeRun) -> None:
    (folder / "images").mkdir(parents=True)
    lines = [
        f'name = "{run.suite["name"]}"',
        f'version = "{run.suite["version"]}"',
        'description = "A suite for tests."',
        'scale = "mini"',
    ]
    lines += [f"num_frames = {FRAMES}", f"size = {SIZE}", f"fps = {FPS}", "seed = 0"]
    (folder / "suite.toml").write_text("\n".join(lines) + "\n", "utf-8")
    subjects = sorted({item.subject for item in run.items})
    for number, subject in enumerate(subjects):
        picture = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
        picture[4:12, 4:12] = (40 * number % 256, 90, 160)
        Image.fromarray(picture).save(folder / "images" / f"{subject}.png")
    _write_jsonl(
        folder / "items.jsonl",
        [
            {
                "id": item.id,
                "subject": item.subject,
                "class": item.class_name,
                "text": item.text,
                "subject_word": item.subject_word,
            }
            | {"image": f"images/{item.subject}.png"}
            for item in run.items
        ],
    )
    _write_jsonl(
        folder / "subjects.jsonl",
        [{"id": subject, "class": "dog", "image": f"images/{subject}.png"} for subject in subjects],
    )


def _job(
    root: Path, run: FakeRun, model: str, item: Item, number: int, *, videos: bool
) -> dict[str, Any] | None:
    key = (model, item.id)
    if key in run.missing:
        return None
    job: dict[str, Any] = {
        "hash": f"{model}-{item.id}",
        "kind": "sample",
        "model": model,
        "subject_id": item.subject,
        "item_id": item.id,
    }
    if key in run.failed:
        return job | {
            "status": "failed",
            "reason": run.failed[key],
            "seconds": 0.1,
            "peak_memory_mb": None,
            "file": None,
            "digest": None,
        }
    video = Video(_frames(model, number), FPS)
    file = f"videos/{file_name(model)}/{number}.mkv"
    if videos:
        write_video_lossless(root / file, video)
    return job | {
        "status": "done",
        "reason": None,
        "seconds": 0.5 + number,
        "peak_memory_mb": 700.0,
        "file": file,
        "digest": video_digest(video),
    }


def _frames(model: str, number: int) -> np.ndarray:
    """A square that moves over a background of the model's own colour."""
    colour = np.frombuffer(model.encode()[:3], dtype=np.uint8)
    frames = np.tile(colour, (FRAMES, SIZE, SIZE, 1))
    for t in range(FRAMES):
        frames[t, 4:8, t * 4 : t * 4 + 4] = (255, 10 * number % 256, 0)
    return frames


def _score(
    run: FakeRun, model: str, item: Item, metric: MetricSpec, digest: str
) -> dict[str, Any] | None:
    value = run.value(model, item.id, metric.name)
    if value is None:
        return None
    reason = value if isinstance(value, str) else None
    return {
        "model": model,
        "item_id": item.id,
        "metric": metric.name,
        "spec_id": metric.id,
        "value": None if reason else value,
        "reason": reason,
        "per_frame": None,
        "video_digest": digest,
    }


def _write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
