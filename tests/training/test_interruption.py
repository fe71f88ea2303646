"""A training that is killed or stopped by Ctrl-C in the middle."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.training.toy import SETTINGS, fingerprint, train
from vbbench.training import checkpoint

TOY = Path(__file__).parent / "toy.py"


def start(
    work: Path, environment: dict[str, str], workers: int = 1, pause: float = 0.0
) -> subprocess.Popen[str]:
    command = [sys.executable, str(TOY), str(work), "24", str(workers), str(pause)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    """The fingerprint that the program printed."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.splitlines()[-1]


def wait_for_checkpoint(work: Path, step: int) -> None:
    for _ in range(2400):
        if (newest := checkpoint.latest(work)) is not None and newest.step >= step:
            return
        time.sleep(0.025)
    raise AssertionError(f"no checkpoint of step {step} in {work}")


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_training_ends_as_an_undisturbed_one(
    tmp_path: Path, subprocess_environment: dict[str, str], workers: int
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the other processes
    whole = fingerprint(
        train(tmp_path / "whole", dataclasses.replace(SETTINGS, steps=24), workers=workers).module
    )
    torch.set_num_threads(threads)
    process = start(tmp_path / "killed", subprocess_environment, workers, pause=0.05)
    wait_for_checkpoint(tmp_path / "killed", 8)
    process.kill()
    process.communicate()
    assert checkpoint.latest(tmp_path / "killed").step < 24
    assert finish(start(tmp_path / "killed", subprocess_environment, workers)) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_training_leaves_a_checkpoint_of_its_last_step(
    tmp_path: Path, subprocess_environment: dict[str, str], number: signal.Signals
) -> None:
    process = start(tmp_path, subprocess_environment, pause=0.1)
    wait_for_checkpoint(tmp_path, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert 2 <= checkpoint.latest(tmp_path).step < 24
