"""The shipped selection of golden files, and what the comparison says when something is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tests.parity.run import main

GOLDEN = Path(__file__).parents[1] / "files" / "golden"


@pytest.mark.parametrize("backend", [None, "reference", "released", "plain", "concat", "merge"])
def test_golden_files_are_matched(backend: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(GOLDEN)] if backend is None else [str(GOLDEN), "--backend", backend])
    output = capsys.readouterr().out
    assert code == 0, output
    assert "26 of 26 cases within tolerance" in output


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_golden_files_are_matched_within_the_stated_bounds_in_half_precision(
    dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(GOLDEN), "--dtype", dtype]) == 0
    output = capsys.readouterr().out
    assert "26 of 26 cases within tolerance" in output
    assert (
        output.count("of the root mean square") == 26 - 3
    )  # two tables and a toy process evaluate no network


@pytest.mark.parametrize(
    "key",
    [
        "up_blocks.1.attentions.0.transformer_blocks.0.attn_temp.to_out.0.weight",
        "watermark_zero_out.bias",
    ],
)
def test_disturbed_weight_is_a_miss(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("unet_exemplar_oneframe", "weights_A_mapper"):
        shutil.copy(GOLDEN / f"{name}.safetensors", tmp_path)
    with safe_open(GOLDEN / "weights_A_unet.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = file.metadata()
    tensors[key].view(-1)[0] += 0.1
    save_file(tensors, tmp_path / "weights_A_unet.safetensors", metadata)
    assert main([str(tmp_path)]) == 1
    assert "MISS" in capsys.readouterr().out


def test_a_disturbed_weight_is_a_miss_in_half_precision_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with safe_open(GOLDEN / "sca_f3_t20_c24_h2_te7.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = file.metadata()
    tensors["w.to_out.0.weight"] *= 1.05
    save_file(tensors, tmp_path / "sca_disturbed.safetensors", metadata)
    assert main([str(tmp_path), "--dtype", "bfloat16"]) == 1
    assert "MISS" in capsys.readouterr().out


def test_missing_weights_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(GOLDEN / "text_none.safetensors", tmp_path)
    assert main([str(tmp_path)]) == 1
    assert "weights_clip_text_small.safetensors is needed and not there" in capsys.readouterr().out


def test_damaged_case_is_a_miss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (GOLDEN / "p_sample_toy.safetensors").read_bytes()
    (tmp_path / "p_sample_toy.safetensors").write_bytes(whole[:-5])
    (tmp_path / "notes.txt").write_text("")
    assert main([str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "p_sample_toy.safetensors cannot be read" in output
    assert "notes.txt" in output


def test_folder_without_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(GOLDEN / "weights_A_mapper.safetensors", tmp_path)
    shutil.copy(GOLDEN / "text_none.safetensors", tmp_path / "something_else.safetensors")
    assert main([str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert "holds no case" in printed.err
    assert "something_else" in printed.out
    assert main([str(tmp_path / "missing")]) == 2
    assert main([]) == 2
    assert main([str(tmp_path), "--backend", "fastest"]) == 2
    assert main([str(tmp_path), "merge"]) == 2
    assert main([str(tmp_path), "--dtype", "float8"]) == 2
