"""A run that is killed, or stopped by Ctrl-C, in the middle; and what another process may do
meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vbbench.errors import RunFolderError
from vbbench.runner.store import RunStore
from vbbench.types import PromptSuite

DRIVER = Path(__file__).parent / "driver.py"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(
    tiny_suite: PromptSuite,
    recipe_folder: Callable[[str], Path],
    subprocess_environment: dict[str, str],
) -> Start:
    """Starts a run of two models into a folder, in a process of its own."""
    recipes = [str(recipe_folder(name)) for name in ("tinted", "noise")]

    def start(out: Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(DRIVER), str(tiny_suite.root), str(out), *recipes],
            env={**subprocess_environment, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def wait_for(file: Path, lines: int) -> None:
    """Until a run in another process has got so far."""
    for _ in range(1200):
        if file.is_file() and file.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.05)
    raise AssertionError(f"{file} never had {lines} lines")


def scores(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def test_killed_run_goes_on_and_ends_as_an_undisturbed_one(start: Start, tmp_path: Path) -> None:
    assert finish(start(tmp_path / "whole"))[0] == 0
    process = start(tmp_path / "killed", NOISE_PAUSE="0.2")
    wait_for(
        tmp_path / "killed" / "jobs.jsonl", 3 + 6 + 2
    )  # all of tinted, the first batch of noise
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    with (tmp_path / "killed" / "jobs.jsonl").open("a") as file:
        file.write('{"hash": "torn')  # what a kill in the middle of a write leaves

    log = tmp_path / "log"
    code, errors = finish(start(tmp_path / "killed", NOISE_LOG=str(log)))
    assert (code, "kept" in errors) == (0, True)
    drawn = {item for line in log.read_text().splitlines() for item in line.split()[1:]}
    assert drawn  # something was left to do, and the first batch was not it
    assert "cat-0-beach" not in drawn
    assert scores(tmp_path / "killed") == scores(tmp_path / "whole")


def test_ctrl_c_ends_with_130_a_sentence_and_nothing_lost(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, NOISE_PAUSE="0.3")
    wait_for(out / "jobs.jsonl", 3 + 6 + 2)
    process.send_signal(signal.SIGINT)
    code, errors = finish(process)
    assert code == 130
    assert "Traceback" not in errors
    sentence = errors.splitlines()[-1]
    assert sentence.startswith("vbbench: stopped; 1")
    assert sentence.endswith(
        "of 15 jobs are done and kept in " + str(out) + ". Run the same command again to go on."
    )
    code, errors = finish(start(out))
    assert code == 0
    assert "kept" in errors
    assert len(scores(out)) == 24


def test_failed_item_ends_with_3(start: Start, tmp_path: Path) -> None:
    assert finish(start(tmp_path / "run", NOISE_FAILS="cat-0-road"))[0] == 3


def test_two_processes_cannot_write_one_run(
    start: Start, tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    process = start(tmp_path / "run", NOISE_PAUSE="5")
    wait_for(tmp_path / "run" / "jobs.jsonl", 1)
    with pytest.raises(RunFolderError, match="another process"):
        RunStore(tmp_path / "run", tiny_suite, "mini")
    RunStore(tmp_path / "run", tiny_suite, "mini", read_only=True)
    process.kill()
    finish(process)
    with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
        assert store.jobs
