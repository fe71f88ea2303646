"""A report made again from the same run is the same to the byte, whatever may differ around it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.report.hostile import hostile_run
from tests.results.synthetic import build

WRITE = "import sys; from vbbench.report.leaderboard import write_report; write_report([sys.argv[1]], sys.argv[2])"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def made(run: Path, out: Path, environment: dict[str, str], **changes: str) -> dict[str, bytes]:
    """The report that a fresh process writes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**environment, **changes}
    subprocess.run(
        [sys.executable, "-c", WRITE, str(run), str(out)],
        check=True,
        env=environment,
        cwd=out.parent,
        timeout=200,
    )
    return contents(out)


def test_a_report_made_again_is_the_same_to_the_byte(
    tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """Another process, hash seed, zone, language, folder, number of threads and time of the files;
    and nothing of the folder is told."""
    run = build(tmp_path / "run", hostile_run(2))
    moved = Path(shutil.copytree(run, tmp_path / "elsewhere" / "moved run"))
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
    first = made(
        run, tmp_path / "a", subprocess_environment, PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C"
    )
    changes = {
        "PYTHONHASHSEED": "2",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "2",
        "SOURCE_DATE_EPOCH": "9",
    }
    again = made(moved, tmp_path / "other" / "b", subprocess_environment, **changes)
    assert sorted(first) == sorted(again)
    assert [name for name in first if first[name] != again[name]] == []
    assert [name for name, data in first.items() if str(tmp_path).encode() in data] == []
    kinds = {Path(name).suffix for name in first}
    assert {
        ".html",
        ".css",
        ".js",
        ".csv",
        ".json",
        ".md",
        ".tex",
        ".svg",
        ".pdf",
        ".webp",
        ".png",
    } <= kinds


def test_over_an_earlier_report_the_bytes_are_the_same_too(
    tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """What the larger report before it had is gone: pages of items and models, pictures,
    figures."""
    large, small = (
        build(tmp_path / "large", hostile_run(2)),
        build(tmp_path / "small", hostile_run()),
    )
    made(large, tmp_path / "over", subprocess_environment)
    assert made(small, tmp_path / "over", subprocess_environment) == made(
        small, tmp_path / "fresh", subprocess_environment
    )
