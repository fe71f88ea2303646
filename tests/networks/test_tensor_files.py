"""Files are opened without running them, and written tensor by tensor."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vbbench.core.digests import file_digest
from vbbench.core.weights_file import read_card, verified_digest
from vbbench.errors import WeightsError
from vbbench.networks.weights import tensor_files
from vbbench.networks.weights.tensor_files import open_tensors, write_pickle, write_safetensors

TENSORS = {"a": torch.ones(2), "b": torch.zeros(2, 3)}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_tables_are_found_under_any_key(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    torch.save(
        {
            "unet": {"a": torch.zeros(2)},
            "ema_unet": TENSORS,
            "epoch": 3,
            "args": argparse.Namespace(lr=1e-4),
        },
        path,
    )
    file = open_tensors(path)
    assert file.key == "ema_unet"
    assert torch.equal(file.tensors["a"], torch.ones(2))
    torch.save({"a": TENSORS, "b": TENSORS}, path)
    with pytest.raises(WeightsError, match="no table of tensors: at its top it has a, b"):
        open_tensors(path)


def test_parameters_and_old_files_are_read(tmp_path: Path) -> None:
    torch.save(
        {"a": torch.nn.Parameter(torch.ones(2))},
        tmp_path / "x.pt",
        _use_new_zipfile_serialization=False,
    )
    file = open_tensors(tmp_path / "x.pt")
    assert file.key is None
    assert not file.tensors["a"].requires_grad


def test_tensors_stay_in_the_file_until_they_are_read(tmp_path: Path) -> None:
    torch.save({"ema": TENSORS}, tmp_path / "x.pt")
    save_file(TENSORS, tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        file = open_tensors(tmp_path / name)
        places = {each.split()[-1] for each in Path("/proc/self/maps").read_text().splitlines()}
        assert str(tmp_path / name) in places
        assert file.tensors["b"].untyped_storage().nbytes() == 24


def test_what_is_written_is_read_by_safetensors_itself(tmp_path: Path) -> None:
    tensors = {
        "number": torch.tensor(3.5),
        "turned": torch.arange(6.0).view(2, 3).T,
        "half": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float16),
        "brain": torch.tensor([[1.5]], dtype=torch.bfloat16),
        "repeated": torch.ones(1).expand(3, 2),
        "none": torch.empty(0, 4),
    }
    path = tmp_path / "new" / "x.safetensors"
    write_safetensors(path, tensors, {"config": {}}, source="a test")
    read = load_file(path)
    assert read.keys() == tensors.keys()
    for key, value in tensors.items():
        assert read[key].dtype == value.dtype
        assert torch.equal(read[key], value), key
    assert verified_digest(path) == file_digest(path) == read_card(path)["sha256"]
    assert sorted(each.name for each in path.parent.iterdir()) == ["x.json", "x.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused_and_nothing_is_left(
    tmp_path: Path, value: float
) -> None:
    with pytest.raises(WeightsError, match="b of a test holds NaN or infinite"):
        write_safetensors(
            tmp_path / "x.safetensors", {**TENSORS, "b": torch.tensor([value])}, {}, source="a test"
        )
    assert list(tmp_path.iterdir()) == []


def test_pickles_are_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pt"
    write_pickle(path, TENSORS, "ema")
    assert torch.equal(torch.load(path, weights_only=True)["ema"]["a"], TENSORS["a"])
    write_pickle(path, TENSORS, None)
    assert open_tensors(path).key is None

    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_files, "_flush", full)
    with pytest.raises(OSError, match="No space"):
        write_pickle(path, {}, "ema")
    assert open_tensors(path).tensors.keys() == TENSORS.keys()
    assert list(tmp_path.iterdir()) == [path]
