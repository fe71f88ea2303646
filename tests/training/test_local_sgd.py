"""Two workers: they agree whenever they have met, and give the same every time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.training.toy import SETTINGS, fingerprint, train
from vbbench.errors import VBBenchError
from vbbench.training import checkpoint
from vbbench.training.loop import Group

STEPS = dataclasses.replace(SETTINGS, steps=18)  # not a multiple of average_every


def traces(folder: Path) -> list[dict[int, tuple[str, str]]]:
    """For each worker, step -> (seed, fingerprint of the weights before the step)."""
    rows = [
        [line.split() for line in file.read_text().splitlines()]
        for file in sorted(folder.iterdir())
    ]
    return [{int(step): (seed, print_) for step, seed, print_ in worker} for worker in rows]


def test_two_workers_agree_after_averaging_and_repeat_themselves(tmp_path: Path) -> None:
    prints = []
    for name in ("first", "again"):
        (tmp_path / f"{name}-trace").mkdir()
        prints.append(
            fingerprint(
                train(tmp_path / name, STEPS, workers=2, trace=tmp_path / f"{name}-trace").module
            )
        )
    one, other = traces(tmp_path / "first-trace")
    assert set(one) == set(other) == set(range(18))
    assert [step for step in range(18) if one[step][1] == other[step][1]] == [
        0,
        4,
        8,
        12,
        16,
    ]  # where they have just met
    assert all(one[step][0] != other[step][0] for step in range(18))  # never the same batch
    assert prints[0] == prints[1]
    newest = checkpoint.latest(tmp_path / "first")
    assert newest.step == 18
    assert not torch.equal(
        newest.optimizer(0)["exp_avg/0.weight"], newest.optimizer(1)["exp_avg/0.weight"]
    )  # each has its own
    assert newest.state["workers"] == 2


def test_resumed_pair_ends_with_the_very_same_weights(tmp_path: Path) -> None:
    straight = train(
        tmp_path / "straight", dataclasses.replace(STEPS, checkpoint_every_seconds=0.0), workers=2
    )
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    kept = tmp_path / "straight" / "checkpoint-00000016"
    kept.rename(resumed / kept.name)
    assert fingerprint(train(resumed, STEPS, workers=2).module) == fingerprint(straight.module)


def test_number_of_workers_may_change_at_a_resume(tmp_path: Path) -> None:
    train(tmp_path, SETTINGS)
    result = train(tmp_path, dataclasses.replace(SETTINGS, steps=24), workers=2)
    assert result.steps == 24
    assert [entry["workers"] for entry in result.facts["earlier"]] == [1]


def test_worker_that_cannot_start_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VBBenchError, match="could not be started"):
        train(tmp_path, SETTINGS, workers=2, width=Unpicklable())


def test_worker_that_dies_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VBBenchError, match="ended before its time; run the same command"):
        train(
            tmp_path,
            dataclasses.replace(SETTINGS, checkpoint_every_seconds=0.0),
            workers=2,
            dies_at=10,
        )
    assert checkpoint.latest(tmp_path).step == 8


class Unpicklable(int):
    """Good for this process, but breaks in another."""

    def __new__(cls, value: int = 16) -> Unpicklable:
        return super().__new__(cls, value)

    def __reduce__(self) -> tuple:
        return _break, ()


def _break() -> int:
    raise SystemExit(1)


def test_meetings_are_every_few_steps_and_at_the_end() -> None:
    group = Group(0, 2, every=4)
    assert [done for done in range(1, 11) if group.due(done, 10)] == [4, 8, 10]
    assert [group.previous(done) for done in (4, 8, 10)] == [0, 4, 8]
