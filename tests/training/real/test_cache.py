"""What is kept is bit for bit what was computed, whatever happens to the files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from vbbench.training.real.cache import TensorCache


def tensor(seed: int = 0, *shape: int) -> torch.Tensor:
    return torch.randn(shape or (4, 5, 6), generator=torch.Generator().manual_seed(seed))


class Counted:
    """A computation that counts its calls."""

    def __init__(self, result: torch.Tensor) -> None:
        self.result, self.calls = result, 0

    def __call__(self) -> torch.Tensor:
        self.calls += 1
        return self.result.clone()


def refuse() -> torch.Tensor:
    raise AssertionError("must be read, not computed")


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8]
)
def test_what_is_read_is_what_was_computed(tmp_path: Path, dtype: torch.dtype) -> None:
    made = (tensor() * 50).abs().to(dtype)
    first = TensorCache(tmp_path).get("key", lambda: made)
    again = TensorCache(tmp_path).get("key", refuse)
    for got in (first, again):
        assert got.dtype == dtype
        assert torch.equal(got.view(torch.uint8), made.view(torch.uint8))


def test_odd_tensors_come_back_as_they_are_given_the_first_time(tmp_path: Path) -> None:
    odd = {
        "turned": tensor(1, 3, 4).T,
        "expanded": tensor(2, 1, 4).expand(3, 4),
        "one": torch.empty_strided((1, 4, 1), (99, 1, 7)).copy_(tensor(5, 1, 4, 1)),
        "scalar": tensor(3)[0, 0, 0],
        "empty": torch.zeros(0, 3),
        "nan": torch.tensor([float("nan"), float("-inf"), -0.0]),
        "gradient": tensor(4).requires_grad_(),
    }
    kept = TensorCache(tmp_path)
    for key, made in odd.items():
        first, again = kept.get(key, lambda made=made: made), kept.get(key, refuse)
        assert first.shape == again.shape == made.shape
        assert first.stride() == again.stride()
        assert (first.requires_grad, again.requires_grad) == (False, False)
        assert (
            first.numpy().tobytes()
            == again.numpy().tobytes()
            == made.detach().contiguous().numpy().tobytes()
        )


def test_keys_have_their_own_tensors_in_folders_of_two_levels(tmp_path: Path) -> None:
    kept = TensorCache(tmp_path / "not" / "yet")
    names = [f"clip-cpu-{number}/../x" for number in range(20)]
    assert not any(map(kept.has, names))
    for number, name in enumerate(names):
        kept.get(name, lambda number=number: tensor(number))
    assert all(map(kept.has, names))
    assert all(
        torch.equal(kept.get(name, refuse), tensor(number)) for number, name in enumerate(names)
    )
    files = [
        path.relative_to(tmp_path / "not" / "yet")
        for path in (tmp_path / "not" / "yet").rglob("*")
        if path.is_file()
    ]
    assert len(files) == 20
    assert all(len(path.parts) == 2 and path.parts[0] == path.name[:2] for path in files)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def other(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"something": tensor()}, path)


@pytest.mark.parametrize("damage", [cut, flip, zero, other, lambda path: path.write_bytes(b"")])
def test_damaged_files_are_computed_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    kept, compute = TensorCache(tmp_path), Counted(tensor())
    kept.get("key", compute)
    damage(kept.path("key"))
    assert torch.equal(kept.get("key", compute), tensor())
    assert compute.calls == 2
    assert torch.equal(kept.get("key", refuse), tensor())


def test_a_full_disk_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    kept, compute = TensorCache(tmp_path, told.append), Counted(tensor(1, 3000))
    kept.get("small", tensor)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        got = [kept.get(key, compute) for key in ("a", "b", "a")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert all(torch.equal(each, tensor(1, 3000)) for each in got)
    assert compute.calls == 3
    assert len(told) == 1
    assert told[0].startswith(f"the cache {tmp_path} cannot be written to (File too large)")
    assert torch.equal(kept.get("small", refuse), tensor())
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".safetensors"]


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "file").write_text("x")
    kept = TensorCache(tmp_path / "file" / "cache", told.append)
    assert torch.equal(kept.get("a", tensor), tensor())
    assert torch.equal(kept.get("b", tensor), tensor())
    assert not kept.has("a")
    assert len(told) == 1


def test_what_fails_to_be_computed_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> torch.Tensor:
        raise ValueError("no frames")

    kept = TensorCache(tmp_path)
    with pytest.raises(ValueError, match="no frames"):
        kept.get("key", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_while_it_writes_leaves_no_file_under_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Killed

    kept = TensorCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop)
        with pytest.raises(Killed):
            kept.get("key", tensor)
    assert not kept.has("key")
    assert torch.equal(kept.get("key", tensor), tensor())


SCRIPT = """
import sys, torch
from pathlib import Path
from vbbench.training.real.cache import TensorCache
kept = TensorCache(Path(sys.argv[1]))
make = lambda seed: torch.randn(20000, generator=torch.Generator().manual_seed(seed))
for turn in range(5):
    for seed in range(20):
        assert torch.equal(kept.get(str(seed), lambda: make(seed)), make(seed))
        if turn == 2:
            kept.path(str(seed)).unlink(missing_ok=True)
print("good")
"""


def test_processes_and_threads_share_a_folder(
    tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    run = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    running = [
        subprocess.Popen(run, env=subprocess_environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["good"] * 3
    kept = TensorCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        got = list(
            pool.map(
                lambda number: kept.get(f"t{number % 5}", lambda: tensor(number % 5)), range(100)
            )
        )
    assert all(torch.equal(each, tensor(number % 5)) for number, each in enumerate(got))
    assert not [
        name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".tmp")
    ]
