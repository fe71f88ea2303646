"""A metric of one's own, as README.md shows it: by its folder and from an installed package it
stands in the table, on the pages and in the gate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_new import shown
from tests.conftest import Package
from vbbench import cli
from vbbench.metrics import ENTRY_POINT_GROUP
from vbbench.types import PromptSuite

MOST_LINES = 20
FILES = ("metric.toml", "metric.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metric that README.md shows, in an empty folder to work in."""
    folder = tmp_path / "here" / "my-metric"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(shown(f"own-metric: {name}"), "utf-8")
    monkeypatch.chdir(folder.parent)
    return folder


def test_readme_shows_what_the_command_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new", str(tmp_path / "my-metric"), "--metric"]) == 0
    assert "vbbench run --metrics dino," in capsys.readouterr().out
    for name in FILES:
        assert shown(f"own-metric: {name}") == (tmp_path / "my-metric" / name).read_text("utf-8")
    code = [line for line in shown("own-metric: metric.py").splitlines() if line.strip()]
    assert len(code) <= MOST_LINES


@pytest.mark.parametrize("name", ["dino", "My metric", "my-metric"])
def test_a_metric_that_cannot_be_called_so(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new", name, "--metric"]) == 2
    told = capsys.readouterr().err
    assert "already" in told or "cannot be called" in told


@pytest.fixture(params=["folder", "package"])
def word(request: pytest.FixtureRequest, folder: Path, package: Package) -> str:
    """What is said after --metrics."""
    if request.param == "folder":
        return "./my-metric"
    package(ENTRY_POINT_GROUP, folder)
    package(ENTRY_POINT_GROUP, code="raise RuntimeError('out of order')")
    return "my-metric"


def test_it_stands_in_table_pages_and_gate(
    word: str,
    tiny_suite: PromptSuite,
    recipe_folder: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Path("run")
    command = [
        "run",
        "--models",
        str(recipe_folder("noise")),
        "--suite",
        str(tiny_suite.root),
        "--out",
        str(run),
        "--no-references",
        "--threads",
        "1",
    ]
    assert cli.main([*command, "--metrics", f"{word},motion"]) == 0
    told = capsys.readouterr()
    assert "metric" in told.out
    assert told.err.count("is left out") == (word == "my-metric")  # the other package, once

    spec = json.loads((run / "manifest.json").read_text())["metrics"]["my-metric"]
    assert (spec["kind"], spec["title"], spec["direction"]) == ("quality", "My metric", "higher")

    report = run / "report"
    page = (report / "index.html").read_text("utf-8")
    assert "My metric" in page
    assert "higher is better" in page
    assert "<small>by <span" in page  # ranks are by it: motion has no direction
    table = json.loads((report / "leaderboard.json").read_text())["leaderboard"]
    assert 0 < table[0]["my-metric"] < 1

    recorded = ["--who", "Ada", "--why", "first", "--out", "scores.json"]
    assert cli.main(["gate", "record", str(run), *recorded]) == 0
    assert cli.main(["gate", str(run), "--against", "scores.json"]) == 0
    assert "My metric" in (run / "gate" / "index.html").read_text("utf-8")
    verdicts = json.loads((run / "gate" / "gate.json").read_text())["verdicts"]
    assert [v["kind"] for v in verdicts if v["metric"] == "my-metric"] == ["same"]


def test_a_broken_package_is_one_sentence_on_stderr(
    package: Package, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    package("vbbench.models", code="raise RuntimeError('out of order')")
    (site,) = (path.parent for path in tmp_path.glob("*/their_package_*.py"))
    where = f"{site}{os.pathsep}{subprocess_environment['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "vbbench", "models"],
        env={**subprocess_environment, "PYTHONPATH": where},
        capture_output=True,
        text=True,
        check=True,
    )
    (told,) = done.stderr.splitlines()
    assert told.startswith(
        "vbbench: the entry point 'their_package_1' of vbbench.models is left out"
    )
    assert "real-video" in done.stdout


def test_a_suite_of_a_package_is_known_by_name(
    package: Package, tiny_suite: PromptSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    package("vbbench.suites", tiny_suite.root)
    assert cli.main(["suites"]) == 0
    assert "tiny" in capsys.readouterr().out
