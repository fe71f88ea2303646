"""``vbbench gate`` from the command line: exit codes, sentences, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.results.synthetic import METRICS, FakeRun, build, items, spec
from vbbench import cli
from vbbench.cli import gate as cli_gate
from vbbench.cli import metrics as cli_metrics
from vbbench.data import suites

MODELS = {"videobooth": ("VideoBooth", ()), "text-to-video": ("Text to video", ())}


def a_run(root: Path, lost: float = 0.0, **known: object) -> Path:
    def value(model: str, item: str, metric: str) -> float:
        return (
            0.5
            + 0.001 * int(item[1:])
            - (lost if (model, metric) == ("videobooth", "dino") else 0.0)
        )

    return build(root, FakeRun(items(9), value, **{"models": MODELS, **known}), videos=False)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "scores.json"
    reruns = ["--reruns", str(a_run(tmp_path / "rerun"))]
    recorded = str(a_run(tmp_path / "recorded"))
    assert (
        cli.main(
            [
                "gate",
                "record",
                recorded,
                *reruns,
                "--who",
                "Ada",
                "--why",
                "first",
                "--out",
                str(path),
            ]
        )
        == 0
    )
    return path


def gate(run: Path, scores: Path, *more: str) -> int:
    return cli.main(["gate", str(run), "--against", str(scores), *more])


def test_an_unchanged_run_passes_and_writes_its_files(
    tmp_path: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_run(tmp_path / "new")
    assert gate(run, scores) == 0
    assert "nothing drifted" in capsys.readouterr().out
    assert {path.name for path in (run / "gate").iterdir()} >= {
        "index.html",
        "gate.json",
        "gate.xml",
        "gate.md",
    }
    assert json.loads((run / "gate" / "gate.json").read_text())["exit_code"] == 0


def test_a_worse_run_names_model_metric_and_items(
    tmp_path: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(a_run(tmp_path / "new", lost=0.05), scores) == 1
    told = capsys.readouterr().err
    assert "videobooth dino drifted" in told
    assert "i0 0.500 to 0.450" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"models": {"text-to-video": ("Text to video", ())}}, "videobooth is not in the run"),
        ({"failed": {("videobooth", "i4"): "no memory"}}, "no memory"),
        (
            {"metrics": (*METRICS[:2], spec("temporal-consistency", version="2"))},
            "they differ in version",
        ),
        ({"suite": {"name": "tiny", "version": "2.0", "digest": "d1" * 32}}, "of suite tiny 2.0"),
        ({"missing": frozenset((m, f"i{n}") for m in MODELS for n in range(9))}, "empty"),
    ],
)
def test_what_cannot_be_told_is_three_and_one_sentence(
    tmp_path: Path,
    scores: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, object],
    words: str,
) -> None:
    assert gate(a_run(tmp_path / "new", **changed), scores) == 3
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["gate"], "needs a run folder", 2),
        (["gate", "nowhere"], "no manifest.json", 2),
        (["gate", "record"], "needs a run folder", 2),
        (["gate", "record", "RUN"], "--who NAME --why TEXT", 2),
        (["gate", "RUN", "--against", "none.json"], "gate record", 2),
        (
            ["gate", "RUN", "--against", "SCORES", "--models", "videoboth"],
            "did you mean 'videobooth'",
            2,
        ),
        (
            ["gate", "RUN", "--against", "SCORES", "--tolerances", "none.toml"],
            "no file of tolerances",
            2,
        ),
        (["gate", "RUN", "--against", "SCORES", "--old", "nowhere"], "no manifest.json", 2),
        (["gate", "--workflow", "gitlub"], "did you mean", 2),
        (["gate", "RUN", "--workflow", "github"], "--workflow takes no run folder", 2),
        (["gate", "RUN", "--quick"], "--quick takes no run folder", 2),
        (["gate", "RUN", "RUN"], "one run is held at a time", 2),
        (
            ["gate", "record", "RUN", "--who", "A", "--why", "b", "--reruns", "RUN"],
            "no rerun of itself",
            2,
        ),
        (["gate", "--explain", "a.json", "b.json"], "gate record", 2),
    ],
)
def test_bad_input_gets_a_sentence(
    tmp_path: Path,
    scores: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
    code: int,
) -> None:
    names = {"RUN": str(a_run(tmp_path / "new")), "SCORES": str(scores)}
    capsys.readouterr()
    assert cli.main([names.get(word, word) for word in arguments]) == code
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) == 1


def test_recordings_explain_themselves(
    tmp_path: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.json"
    worse = a_run(tmp_path / "worse", lost=0.05)
    assert (
        cli.main(
            [
                "gate",
                "record",
                str(worse),
                "--who",
                "Bob",
                "--why",
                "other weights",
                "--out",
                str(new),
            ]
        )
        == 0
    )
    assert cli.main(["gate", "--explain", str(scores), str(new)]) == 0
    told = capsys.readouterr().out
    assert "by Bob: other weights" in told
    assert "videobooth: dino moved on 9 of 9 items, by -0.0500" in told
    assert cli.main(["gate", "--explain", str(scores), str(scores)]) == 0
    assert "hold the same" in capsys.readouterr().out


def test_quick_checks_the_encoders_first_and_compares_the_recorded_part(
    tmp_path: Path,
    scores: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it runs is run for real by tox; here, what it does with it."""
    calls: list[str] = []
    run = a_run(
        tmp_path / "quick",
        lost=0.05,
        missing=frozenset(("text-to-video", f"i{number}") for number in range(3)),
    )
    monkeypatch.setattr(cli_metrics, "check_canary", lambda setting, device: calls.append("canary"))
    monkeypatch.setattr(suites, "load_suite", calls.append)
    monkeypatch.setattr(
        cli_gate,
        "_run_quick",
        lambda recording, suite, models, options: calls.append(",".join(models)) or run,
    )
    assert cli.main(["gate", "--quick", "--against", str(scores), "--models", "videobooth"]) == 1
    assert calls == ["canary", "tiny", "videobooth"]
    assert "videobooth dino drifted" in capsys.readouterr().err
    assert (run / "gate" / "index.html").is_file()
