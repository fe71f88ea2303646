"""Weights: stored in half precision, verified when read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vbbench.core import weights_file
from vbbench.core.digests import file_digest
from vbbench.core.paths import weights_dir, weights_path
from vbbench.core.weights_file import load_weights, save_weights, verified_digest
from vbbench.errors import WeightsError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "mini" / "net.safetensors"
    tensors = {
        "w": torch.tensor([[0.1, -2.0]]).t(),
        "n": torch.tensor([1, 2]),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    save_weights(path, tensors, {"recipe": "net", "steps": 3, "config": {"width": 2}})
    return path


def test_tensors_come_back_as_float32_with_their_card(saved: Path) -> None:
    tensors, card = load_weights(saved)
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {
        "w": torch.float32,
        "n": torch.int64,
        "half": torch.float32,
    }
    torch.testing.assert_close(tensors["w"], torch.tensor([[0.1], [-2.0]]), atol=1e-4, rtol=0)
    assert (card["recipe"], card["steps"], card["config"]) == ("net", 3, {"width": 2})
    assert card["sha256"] == file_digest(saved) == verified_digest(saved)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["net.json", "net.safetensors"]
    assert saved.stat().st_mode & 0o044 == 0o044  # others may read what a wheel brings along


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 70_000.0])
def test_values_that_half_precision_cannot_hold_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="w holds values that float16 cannot"):
        save_weights(tmp_path / "a.safetensors", {"w": torch.tensor([value])}, {})
    assert not list(tmp_path.iterdir())


def test_flipped_bit_is_noticed(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 4
    saved.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.safetensors are damaged or were changed"):
        load_weights(saved)
    load_weights(saved, verify=False)


def test_cut_file_is_told_even_unverified(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(saved, verify=False)


def test_missing_file_and_card_are_told(saved: Path) -> None:
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_weights(saved.with_name("none.safetensors"))
    card = saved.with_suffix(".json")
    card.write_text(json.dumps({"steps": 3}))
    with pytest.raises(WeightsError, match="names no sha256"):
        load_weights(saved)
    card.write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(saved)
    card.unlink()
    with pytest.raises(WeightsError, match=r"has no card: net\.json"):
        load_weights(saved)
    assert load_weights(saved, verify=False)[1] == {}


def test_weights_are_found_where_the_variable_says(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(saved.parent.parent))
    assert weights_path("net") == saved
    with pytest.raises(
        WeightsError,
        match="'base' of scale mini are not at .*`vbbench train base --scale mini` makes it",
    ):
        weights_path("base")
    with pytest.raises(WeightsError, match="set VBBENCH_WEIGHTS"):
        weights_path("unet", "sd14")
    monkeypatch.delenv("VBBENCH_WEIGHTS")
    assert weights_dir().parts[-3:] == ("vbbench", "weights", "mini")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_in_the_dtype_that_is_asked_for(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    """Rounded once, whatever is stored: differences in eight bits are put together in float32."""
    made = {
        "matrix": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
        "index": torch.arange(4),
    }
    for name, eight_bit in (("half", False), ("eight", True)):
        save_weights(tmp_path / f"{name}.safetensors", made, {}, eight_bit=eight_bit)
        whole, _ = load_weights(tmp_path / f"{name}.safetensors")
        found, _ = load_weights(tmp_path / f"{name}.safetensors", dtype=dtype)
        assert torch.equal(found["matrix"], whole["matrix"].to(dtype))
        assert found["matrix"].dtype == dtype
        assert torch.equal(found["index"], made["index"])
        assert found.keys() == made.keys()


def test_a_large_file_is_mapped_piece_by_piece(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pieces of one tensor each the same is read; what is read does not hang on to the
    file."""
    whole, _ = load_weights(saved)
    monkeypatch.setattr(weights_file, "_MAPPED_BYTES", 1)
    pieces, _ = load_weights(saved)
    saved.write_bytes(bytes(saved.stat().st_size))
    assert pieces.keys() == whole.keys()
    assert all(torch.equal(pieces[name], whole[name]) for name in whole)
