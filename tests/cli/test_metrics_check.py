"""`vbbench metrics --check`: what is printed, and the exit codes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from vbbench.cli import main
from vbbench.core import paths
from vbbench.metrics.encoder_check import record as canary_noise
from vbbench.metrics.encoder_check.record import Way
from vbbench.metrics.encoders import encoders


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    yield
    encoders.forget_encoders()


@pytest.fixture
def own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights" / "mini"
    folder.mkdir(parents=True)
    for name in ("dino", "segmenter"):
        for suffix in (".safetensors", ".json"):
            shutil.copy(paths.weights_dir("mini") / f"{name}{suffix}", folder)
    monkeypatch.setenv(paths.WEIGHTS_VARIABLE, str(folder.parent))
    encoders.forget_encoders()
    return folder


def test_the_shipped_encoders_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--check"]) == 0
    out = capsys.readouterr().out
    assert "Encoders at scale mini in float32" in out
    assert out.count("within noise") == 7
    assert "drifted" not in out


def test_a_drift_ends_with_1_even_where_something_is_missing(
    own_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_weights / "dino.safetensors"
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    assert main(["metrics", "--check"]) == 1
    told = capsys.readouterr()
    assert "vbbench train clip" in " ".join(told.out.split())
    assert told.err.startswith("vbbench: dino, weights: ")
    assert "damaged or were changed" in told.err


def test_what_was_not_measured_ends_with_3(
    own_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", "--check"]) == 3
    assert capsys.readouterr().err == "vbbench: not measured, for the reasons in the table: clip.\n"


def test_without_any_real_weights_nothing_is_measured(
    own_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VBBENCH_OFFLINE", "1")
    assert main(["metrics", "--check", "--scale", "sd14", "--dino", "dinov2-vit-s-14"]) == 3
    told = capsys.readouterr()
    assert told.out.count("not measured") == 2
    assert "clip-vit-b-32, dinov2-vit-s-14" in told.err


def test_recording_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(canary_noise, "THOROUGH", (Way(None, 7),))
    assert main(["metrics", "--check", "--record", str(tmp_path / "here")]) == 0
    assert capsys.readouterr().out.count("recorded now") == 3
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert names == [
        f"{name}.{suffix}"
        for name in ("clip", "dino", "segmenter")
        for suffix in ("json", "safetensors")
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--record"],
        ["--check", "--precision", "int8"],
        ["--check", "--scale", "huge"],
        ["--check", "--clip", "x"],
    ],
)
def test_wrong_options_are_sentences(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1
