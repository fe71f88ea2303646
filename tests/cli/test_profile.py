"""``vbbench profile``: exit codes of measurements that were made up, and sentences for what cannot
be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.profiling.made import good_rows, record
from vbbench import cli
from vbbench.profiling import attention
from vbbench.profiling.options import Options
from vbbench.profiling.record import Record
from vbbench.profiling.record_json import read_record


def pretend(monkeypatch: pytest.MonkeyPatch, made: Record) -> list[Options]:
    asked: list[Options] = []
    monkeypatch.setattr(attention, "profile", lambda options: (asked.append(options), made)[1])
    return asked


@pytest.mark.parametrize(
    ("rows", "code", "verdict"),
    [
        (good_rows(), 0, "met"),
        ([replace(row, median_seconds=1.0) for row in good_rows()], 1, "missed"),
        (good_rows()[:3], 3, "not measured"),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows,
    code: int,
    verdict: str,
) -> None:
    pretend(monkeypatch, record(rows))
    assert cli.main(["profile", "attention", "--quick", "--out", str(tmp_path / "p")]) == code
    out = capsys.readouterr().out
    assert verdict in out
    assert "at least 2.30 x" in out
    assert "Not measured: triton, float32: it needs a GPU." in out
    assert read_record(tmp_path / "p" / "profile.json").exit_code == code
    assert (tmp_path / "p" / "index.html").is_file()


def test_what_is_asked_for_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = pretend(monkeypatch, record())
    lists = [
        "--dtype",
        "bfloat16,float32",
        "--backends",
        "merge,concat,merge",
        "--frames",
        "2,4",
        "--sizes",
        "64",
    ]
    assert (
        cli.main(
            [
                "profile",
                "attention",
                *lists,
                "--threads",
                "2",
                "--backward",
                "--out",
                str(tmp_path / "p"),
            ]
        )
        == 0
    )
    (options,) = asked
    assert options.dtypes == ("bfloat16", "float32")
    assert options.backends == ("merge", "concat")
    assert (options.frames, options.sizes, options.threads) == ((2, 4), (64,), 2)
    assert (options.backward, options.quick, options.device, options.further) == (
        True,
        False,
        "cpu",
        {},
    )
    assert options.narrowed


def test_the_folder_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, record())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["profile", "attention"]) == 0
    assert (tmp_path / "runs" / "profile-attention" / "profile.json").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["profile"], "needs a part: attention"),
        (["profile", "weather"], "invalid choice: 'weather'"),
        (
            ["profile", "attention", "--backends", "mergee"],
            "there is no attention backend 'mergee'",
        ),
        (["profile", "attention", "--backends", ","], "nothing is named"),
        (
            ["profile", "attention", "--dtype", "float33"],
            "there is no 'float33': known are float32, bfloat16, float16",
        ),
        (["profile", "attention", "--device", "tpu"], "there is no device 'tpu'"),
        (["profile", "attention", "--sizes", "0"], "must be at least 1, not 0"),
        (["profile", "attention", "--sizes", "100"], "multiples of 64 pixels, not 100"),
        (["profile", "attention", "--sizes", "large"], "invalid int value: 'large'"),
        (["profile", "attention", "--frames", "-2"], "must be at least 1, not -2"),
        (["profile", "attention", "--frames", "2,four"], "invalid int value: 'four'"),
        (["profile", "attention", "--threads", "0"], "must be at least 1, not 0"),
        (
            ["profile", "attention", "--quick", "--frames", "2"],
            "takes neither --frames nor --sizes",
        ),
    ],
)
def test_bad_input_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    out = ["--out", str(tmp_path / "p")] if len(words) > 2 else []
    assert cli.main([*words, *out]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.startswith("vbbench: ")
    assert "Traceback" not in told
    assert not (tmp_path / "p").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profile", "attention", "--device", "cuda"]) == 2
    assert "PyTorch finds no NVIDIA GPU here" in capsys.readouterr().err


def test_a_foreign_folder_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = pretend(monkeypatch, record())
    (tmp_path / "thesis.txt").write_text("all of it")
    assert cli.main(["profile", "attention", "--out", str(tmp_path)]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert not asked


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = pretend(monkeypatch, record())
    assert cli.main(["profile", "attention", "--out", "/proc/no-profile"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not asked
