"""How long many rows take to be read, and how much memory.

By hand, in a process of its own: ``taskset -c 0 python -m tests.benchmarks.test_rows 1200000``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vbbench.runner.records import SCORES, ScoreRow, read_columns, read_rows

METRICS = 6
ITEMS = 10_000
FRAMES = 8
MOST_SECONDS, MOST_MEGABYTES, WANTED_ROWS = 10.0, 1000.0, 1_200_000
COLUMNS = ("model", "item_id", "metric", "spec_id", "value", "reason", "video_digest")
WAYS: dict[str, Callable[[Path], Any]] = {
    "columns": lambda path: read_columns(path, ScoreRow, COLUMNS),
    "rows": lambda path: read_rows(path, ScoreRow),
}


def write_scores(path: Path, rows: int) -> Path:
    """Rows as a run writes them: every metric of every item of as many models as it takes."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            video, metric = divmod(number, METRICS)
            value = 0.5 + (number % 9973) / 19946
            row = {
                "model": f"model-{video // ITEMS}",
                "item_id": f"individual-{video % ITEMS // 4:05}-{video % 4}",
                "metric": f"metric-{metric}",
                "spec_id": f"{metric:012x}",
                "value": value,
                "reason": None,
                "per_frame": [value + frame / 1e3 for frame in range(FRAMES)],
                "video_digest": f"{video:064x}",
            }
            file.write(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize("way", list(WAYS))
def test_reading_scores(benchmark: Any, tmp_path: Path, way: str) -> None:
    path = write_scores(tmp_path / SCORES, 12_000)
    found = benchmark(WAYS[way], path)
    assert len(found["value"] if way == "columns" else found) == 12_000


def main(rows: int, ways: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_scores(Path(folder) / SCORES, rows)
        print(f"{rows} rows, {path.stat().st_size / 1e6:.0f} MB; limit for {WANTED_ROWS} rows: ")
        for way in ways:
            before = time.perf_counter(), time.process_time()
            found = WAYS[way](path)
            wall, processor = time.perf_counter() - before[0], time.process_time() - before[1]
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(f"{way}: {wall:.1f} s, {processor:.1f} s of processor, {most:.0f} MB at most")
            del found


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] or list(WAYS))
