"""Checkpoints are whole or passed over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vbbench.errors import UsageError
from vbbench.training import checkpoint


def write(work: Path, step: int) -> Path:
    folder = checkpoint.begin(work, step)
    checkpoint.write_tensors(
        folder / checkpoint.MODEL, {"param/w": torch.full((1000,), float(step))}
    )
    checkpoint.write_tensors(
        folder / checkpoint.optimizer_name(0), {"step/w": torch.tensor(float(step))}
    )
    return checkpoint.commit(
        work,
        folder,
        {"name": "toy", "seed": 0, "step": step, "seconds": 1.0, "history": [], "sums": {}},
    )


def found(work: Path) -> checkpoint.Checkpoint:
    newest = checkpoint.latest(work)
    assert newest is not None
    return newest


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None


def test_newest_is_found_and_the_one_before_is_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        write(tmp_path, step)
    assert found(tmp_path).step == 15
    assert found(tmp_path).model()["param/w"][0] == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-00000010",
        "checkpoint-00000015",
    ]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer-0.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "bit flipped", "missing"])
def test_torn_checkpoint_falls_back_to_the_one_before(tmp_path: Path, name: str, damage) -> None:
    write(tmp_path, 10)
    damage(write(tmp_path, 20) / name)
    assert found(tmp_path).step == 10
    write(tmp_path, 15)  # the torn one, though of a later step, is no longer in the way
    assert found(tmp_path).step == 15
    write(tmp_path, 20)
    assert found(tmp_path).step == 20


def test_where_all_are_torn_nothing_begins_anew_by_itself(tmp_path: Path) -> None:
    cut(write(tmp_path, 10) / checkpoint.MODEL)
    (write(tmp_path, 20) / "state.json").write_text('["not", "a", "state"]')
    told: list[str] = []
    with pytest.raises(
        UsageError, match=r"none of the checkpoints in .* is whole: remove them \(checkpoint-\*\)"
    ):
        checkpoint.latest(tmp_path, told.append)
    assert [line.split("/")[-1] for line in told] == [
        f"checkpoint-000000{step} is damaged, and passed over" for step in (20, 10)
    ]


@pytest.mark.parametrize(
    "change", [{"history": "none"}, {"files": {}}, {"step": -1}, {"step": "3"}, {"sums": None}]
)
def test_state_that_means_nothing_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    write(tmp_path, 10)
    state = write(tmp_path, 20) / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), **change}))
    assert found(tmp_path).step == 10


def test_unfinished_writing_is_never_read_and_is_cleared(tmp_path: Path) -> None:
    write(tmp_path, 10)
    checkpoint.write_tensors(
        checkpoint.begin(tmp_path, 20) / checkpoint.MODEL, {"param/w": torch.zeros(3)}
    )
    assert found(tmp_path).step == 10
    checkpoint.clear_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000010"]


def test_new_worker_starts_from_worker_zeros_optimizer(tmp_path: Path) -> None:
    write(tmp_path, 10)
    assert found(tmp_path).optimizer(1)["step/w"] == 10
