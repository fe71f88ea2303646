"""Verification: sound files are called sound, and every kind of damage is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vbbench.core.digests import file_digest
from vbbench.core.paths import weights_dir
from vbbench.core.weights_file import card_path, load_weights, read_card, save_weights
from vbbench.networks.weights.verification import verify_file

CHECKED = (
    "codec",
    "base",
    "image-encoder",
    "videobooth",
    "videobooth-coarse",
    "videobooth-fine",
    "elite",
    "elite-global",
)


@pytest.fixture
def folder(tmp_path: Path, weights_root: Path) -> Path:
    """A copy of the tiny weights that may be damaged."""
    return Path(shutil.copytree(weights_root / "mini", tmp_path / "mini"))


@pytest.mark.parametrize("name", CHECKED)
def test_sound_files_are_checked_key_by_key(folder: Path, name: str) -> None:
    finding = verify_file(folder / f"{name}.safetensors", "mini")
    assert finding.sound
    assert f"{len(load_file(folder / f'{name}.safetensors'))} keys and shapes" in finding.told


def test_the_shipped_differences_in_eight_bits_are_sound() -> None:
    finding = verify_file(weights_dir() / "videobooth-fine.safetensors", "mini")
    assert finding.sound, finding.told
    assert "520,192 parameters" in finding.told


def _tensors(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        tensors, card = load_weights(path)
        change(tensors)
        save_weights(path, tensors, card)

    return damage


def _not_a_number(path: Path) -> None:
    tensors = load_file(path)
    tensors["mapper.mapping.0.0.bias"][:] = torch.nan
    save_file(tensors, path)
    card_path(path).write_text(json.dumps({**read_card(path), "sha256": file_digest(path)}))


def _card(**changes: object) -> Callable[[Path], None]:
    return lambda path: (
        card_path(path).write_text(json.dumps({**read_card(path), **changes})) and None
    )


def _another(path: Path) -> None:
    shutil.copy(path.with_name("codec.safetensors"), path)
    card_path(path).write_text(json.dumps({**read_card(path), "sha256": file_digest(path)}))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
        "damaged or were changed",
    ),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cut off or damaged"),
    "no card": (lambda path: card_path(path).write_text("{}"), "names no sha256"),
    "missing": (
        _tensors(lambda tensors: tensors.pop("mapper.mapping.0.0.bias")),
        "1 missing: mapper.mapping.0.0.bias",
    ),
    "unexpected": (
        _tensors(lambda tensors: tensors.update(more=torch.ones(1))),
        "1 unexpected: more",
    ),
    "misshapen": (
        _tensors(lambda tensors: tensors.update({"mapper.mapping.0.0.bias": torch.ones(2)})),
        "1 misshapen: mapper.mapping.0.0.bias",
    ),
    "NaN": (_not_a_number, "mapper.mapping.0.0.bias holds NaN or infinite values"),
    "stage": (_card(config={"stage": "coarse"}), "unexpected: base.unet"),
    "configuration": (_card(config={"unet": 3}), "no configuration that can be built from"),
    "of another": (_another, "missing: mapper"),
    "no base": (lambda path: path.with_name("base.json").unlink(), "has no card: base.json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_told(folder: Path, fault: str) -> None:
    path = folder / "videobooth.safetensors"
    damage, told = FAULTS[fault]
    damage(path)
    finding = verify_file(path, "mini")
    assert not finding.sound
    assert told in finding.told
    assert "\n" not in finding.told


def test_what_cannot_be_checked_is_said(folder: Path) -> None:
    path = folder / "codec.safetensors"
    _card(config={"arch": {}})(path)
    assert "not known here" in verify_file(path, "mini").told
    card_path(path).unlink()
    assert "no card" in verify_file(path, "mini").told
