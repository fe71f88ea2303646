"""A run of 20 models and 1,000 items made from the published scores, and what its report costs to
build and to use.

``python -m tests.report.made_large FOLDER`` makes the run, builds its report in a fresh process and
prints seconds, memory and sizes; with ``--browser`` also how long Chromium takes to show, to sort
and to filter the page.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.results.synthetic import FPS, FRAMES, SIZE, FakeRun, Item, build, spec
from vbbench.core.paths import data_root

METRICS = ("true-identity", "dino", "clip-image", "clip-text", "temporal-consistency", "motion")
REFERENCES = ("real-video", "other-individual", "still-image", "shuffled-frames", "flicker")
PROMPTS = 4
"""Prompts of each individual."""
PLACES = (
    "on the beach",
    "in deep snow",
    "beside a road at night",
    "in a field of tall grass, seen from far away",
)
FAILED, UNSCORED = 97, 61
"""One in so many clips of a competitor failed; one in so many of the others has no DINO."""
REPORT = "from vbbench.report.leaderboard import write_report; import sys; write_report([sys.argv[1]], sys.argv[2])"


def large_run(models: int = 20, items: int = 1000) -> FakeRun:
    """The first models of the published scores, on as many items as wanted: each new individual is
    a published one, moved a little.

    What is drawn comes from the names alone, so the same numbers give the same run.
    """
    stored, titles = _published()
    names = [name for name in stored if name not in REFERENCES][: models - len(REFERENCES)] + list(
        REFERENCES
    )
    base = {name: list(stored[name].values()) for name in names}
    made = [_item(number) for number in range(items)]
    places = {item.id: number for number, item in enumerate(made)}

    def value(model: str, item: str, metric: str) -> float | str:
        row = base[model][(places[item] // PROMPTS) % len(base[model])]
        if metric == "dino" and _draw(model, item, "unscored").randrange(UNSCORED) == 0:
            return "the frames' embedding has no length"
        moved = _draw(item, metric).gauss(0, 0.02) + _draw(model, item, metric).gauss(0, 0.01)
        return round(row[metric] + moved, 6)

    competitors = [name for name in names if name not in REFERENCES]
    failed = {
        (name, item.id): ("out of memory", "the sampler gave numbers that are not finite")[
            _draw(name, item.id).randrange(2)
        ]
        for name in competitors
        for item in made
        if _draw(name, item.id, "failed").randrange(FAILED) == 0
    }
    groups = {name: ("references",) if name in REFERENCES else () for name in names}
    return FakeRun(
        made,
        value,
        models={name: (titles[name], groups[name]) for name in names},
        metrics=[spec(name) for name in METRICS],
        failed=failed,
        suite={"name": "made-large", "version": "1", "digest": "1a" * 32},
    )


def build_large(root: Path, models: int = 20, items: int = 1000, videos: int = 0) -> Path:
    """Write `large_run` as a run folder; with ``videos``, every clip is one of so many small
    ones."""
    build(root, large_run(models, items), videos=False)
    if videos:
        _share_videos(root, videos)
    return root


def _published() -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, str]]:
    """Model -> item -> metric -> score, and the models' titles."""
    folder = data_root() / "reports" / "mini"
    record = json.loads((folder / "scores.json").read_text("utf-8"))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            scores.setdefault(row["model"], {})[row["item_id"]] = {
                name: float(row[name]) for name in METRICS
            }
    return scores, {
        name: str(model.get("title") or name) for name, model in record["models"].items()
    }


def _item(number: int) -> Item:
    classes = ("bear", "car", "cat", "dog", "elephant", "horse", "lion", "panda", "tiger")
    individual, prompt = divmod(number, PROMPTS)
    name = classes[individual % len(classes)]
    subject = f"{name}-{individual // len(classes):04}"
    return Item(
        f"{subject}-{prompt}", subject, f"a {name} walks slowly {PLACES[prompt]}", name, name
    )


def _draw(*names: str) -> random.Random:
    return random.Random("/".join(names))


def _share_videos(root: Path, count: int) -> None:
    """Give every clip one of a few videos, that decoding does not hide what pages cost."""
    import numpy as np

    from vbbench.media.video import video_digest, write_video_lossless
    from vbbench.types import Video

    shared = []
    for number in range(count):
        frames = np.random.default_rng(number).integers(0, 256, (FRAMES, SIZE, SIZE, 3), np.uint8)
        file = f"videos/shared/{number}.mkv"
        write_video_lossless(root / file, Video(frames, FPS))
        shared.append((file, video_digest(Video(frames, FPS))))
    digests: dict[tuple[str, str], str] = {}

    def job(record: dict[str, Any]) -> dict[str, Any]:
        if record["status"] == "done" and record["kind"] == "sample":
            record["file"], record["digest"] = shared[len(digests) % count]
            digests[record["model"], record["item_id"]] = record["digest"]
        return record

    _rewrite(root / "jobs.jsonl", job)
    _rewrite(
        root / "scores.jsonl",
        lambda record: record | {"video_digest": digests[record["model"], record["item_id"]]},
    )


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    lines = path.read_text("utf-8").splitlines()
    path.write_text("".join(json.dumps(change(json.loads(line))) + "\n" for line in lines), "utf-8")


def measure_build(run: Path, out: Path) -> dict[str, float]:
    """Build the report in a fresh process: ``seconds`` on the wall, ``cpu_seconds`` and
    ``memory_mb`` at its peak, sizes in KB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", REPORT + TELL, str(run), str(out)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "memory_mb": float(told.stdout.split()[-1]),
        **sizes(out),
    }


TELL = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


def sizes(report: Path) -> dict[str, float]:
    """Sizes in KB: of the table page, of the heaviest other page, of the scores that filters read,
    of everything."""
    files = {
        path.relative_to(report).as_posix(): path.stat().st_size / 1000
        for path in report.rglob("*")
        if path.is_file()
    }
    pages = {name: size for name, size in files.items() if name.endswith(".html")}
    others = {name: size for name, size in pages.items() if name != "index.html"}
    return {
        "index_kb": pages["index.html"],
        "heaviest_other_kb": max(others.values(), default=0.0),
        "scores_js_kb": files.get("scores.js", 0.0),
        "pages": float(len(pages)),
        "all_kb": sum(files.values()),
    }


def print_numbers(numbers: Mapping[str, float | tuple[float, ...]]) -> None:
    """One name a line; several numbers beside each other."""
    for name, found in numbers.items():
        print(
            f"{name:30}"
            + "".join(
                f"{number:12,.1f}" for number in (found if isinstance(found, tuple) else (found,))
            )
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument(
        "--videos", type=int, default=0, help="give the clips so many shared videos (default: none)"
    )
    parser.add_argument("--browser", action="store_true", help="time Chromium as well")
    options = parser.parse_args()
    run = options.folder / f"run-{options.models}x{options.items}-{options.videos}"
    if not run.is_dir():
        build_large(run, options.models, options.items, options.videos)
    report = options.folder / f"report-{options.models}x{options.items}-{options.videos}"
    print_numbers(measure_build(run, report))
    if options.browser:
        from tests.report.timings import browser_timings, headless_chromium

        print("\nIn Chromium: the best and the worst of three")
        with headless_chromium() as browser:
            print_numbers(browser_timings(browser, report / "index.html"))


if __name__ == "__main__":
    main()
