"""``vbbench tune`` from end to end, with models of the tests and a metric that needs no encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from vbbench import cli
from vbbench.cli import run as run_command
from vbbench.runner.tune import trial_name
from vbbench.types import PromptSuite

Folder = Callable[[str], Path]


@pytest.fixture
def noise(recipe_folder: Folder) -> Path:
    return recipe_folder("noise")


@pytest.fixture
def command(tiny_suite: PromptSuite, noise: Path, tmp_path: Path) -> list[str]:
    words = [
        "tune",
        str(noise),
        "--suite",
        str(tiny_suite.root),
        "--metric",
        "motion",
        "--set",
        "strength=0,40,20",
        "--trials",
        "3",
    ]
    return [*words, "--work", str(tmp_path / "work"), "--threads", "1"]


def record_of(noise: Path) -> dict:
    return json.loads((noise / "tuning.json").read_text())


def scores_below(work: Path, record: dict) -> list[list[float]]:
    """The scores of each trial, from its run folder."""
    files = [work / trial_name(trial["settings"]) / "scores.jsonl" for trial in record["trials"]]
    return [[json.loads(line)["value"] for line in file.read_text().splitlines()] for file in files]


def test_every_trial_is_recorded_and_the_best_is_chosen(
    command: list[str], noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (noise / "recipe.toml").read_bytes()
    assert cli.main(command) == 0
    record = record_of(noise)
    assert [trial["settings"] for trial in record["trials"]] == [
        {"strength": 0},
        {"strength": 40},
        {"strength": 20},
    ]
    means = [trial["means"]["motion"] for trial in record["trials"]]
    assert means == pytest.approx(
        [fmean(values) for values in scores_below(tmp_path / "work", record)], abs=1e-5
    )
    assert means[0] == 0 < min(means[1:])  # a still picture does not move
    best = (0, 40, 20)[means.index(max(means))]
    assert record["chosen"] == {"strength": best}
    assert (
        f"Chosen: strength = {best}. Record: {noise / 'tuning.json'}"
        in capsys.readouterr().out.replace("\n", "")
    )
    assert all(
        trial["scored"]["motion"] == 6 and trial["sample_seconds"] > 0 for trial in record["trials"]
    )
    assert record["budget"] == {"trials": 3, "combinations": 3, "seed": 0}
    assert record["model"] == "noise"
    assert record["commit"] is None or len(record["commit"]) >= 40
    assert (noise / "recipe.toml").read_bytes() == before


def test_again_does_nothing_twice(
    command: list[str],
    noise: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(command) == 0
    record = record_of(noise)
    capsys.readouterr()
    assert cli.main(command) == 0
    assert capsys.readouterr().err.count("All 6 jobs of this plan are done") == 3
    assert record_of(noise) == record


def test_what_was_done_before_an_interruption_is_kept(
    command: list[str], noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = run_command.execute_plan, []

    def stops_at_the_second(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        return None if len(calls) == 2 else original(*arguments, **named)

    monkeypatch.setattr(run_command, "execute_plan", stops_at_the_second)
    assert cli.main(command) == 130
    assert [trial["settings"] for trial in record_of(noise)["trials"]] == [{"strength": 0}]
    assert cli.main(command) == 0
    assert len(record_of(noise)["trials"]) == 3
    calls.clear()
    assert cli.main(command) == 130  # and nothing of it goes when a later time is interrupted
    assert len(record_of(noise)["trials"]) == 3


def test_a_trial_that_failed_is_recorded_and_not_chosen(
    command: list[str],
    noise: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NOISE_FAILS", "cat-0-road")
    assert cli.main(command) == 3
    captured = capsys.readouterr()
    assert "Chosen: nothing: no trial scored every item." in captured.out
    assert "3 of 3 trials are incomplete" in captured.err
    record = record_of(noise)
    assert record["chosen"] is None
    assert all(trial["scored"]["motion"] == 5 and trial["failures"] for trial in record["trials"])


def test_wrong_command_lines_are_told_before_anything_is_done(
    command: list[str], noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_at, suite_at = command.index("--set") + 1, command.index("--suite") + 1
    swap = lambda at, word: [*command[:at], word, *command[at + 1 :]]  # noqa: E731
    for words, sentence in (
        (swap(1, "references"), "one model is tuned at a time"),
        (swap(set_at, "loudness=1"), "has no setting 'loudness' to tune"),
        (swap(set_at, "strength"), "--set takes a setting and its values"),
        ([*command, "--set", "strength=5"], "--set names 'strength' twice"),
        (
            [*command[: set_at - 1], *command[set_at + 1 :]],
            "nothing to tune: name settings and their values",
        ),
        (swap(suite_at, "mini"), "holds individuals of the split 'test'"),
        (swap(command.index("--metric") + 1, "moton"), "there is no metric 'moton'"),
        ([*command, "--metrics", "clip-text"], "'motion' decides, but --metrics leaves it out"),
        ([*command, "--trials", "0"], "must be at least 1, not 0"),
    ):
        assert cli.main(words) == 2, words
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
    assert not (noise / "tuning.json").exists()


def test_another_tuning_is_not_written_over(
    command: list[str], noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 0
    before = (noise / "tuning.json").read_bytes()
    assert cli.main([*command, "--seed", "5"]) == 2
    assert "records another tuning, which is kept" in capsys.readouterr().err
    assert (noise / "tuning.json").read_bytes() == before
    assert cli.main([*command, "--seed", "5", "--out", str(tmp_path / "second.json")]) == 0
    assert json.loads((tmp_path / "second.json").read_text())["budget"]["seed"] == 5
