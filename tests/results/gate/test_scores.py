"""Recorded scores: written, read back, explained, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.results.synthetic import METRICS, FakeRun, build, items, spec
from vbbench.errors import InputError
from vbbench.metrics import METRICS as ALL_METRICS
from vbbench.results.gate.compare import changes
from vbbench.results.gate.scores import Recording, read_recording, recording_of, write_recording
from vbbench.results.gate.tolerances import BUNDLED, read_tolerances
from vbbench.results.run_data import RunData
from vbbench.results.run_folder import load_run

FACTS = {
    "who": "Ada",
    "why": "first <scores>",
    "when": "2026-01-01T00:00:00+00:00",
    "commit": "abc",
    "vbbench": "0.1",
    "environment": {"torch": "2"},
}


def a_run(root: Path, shift: float = 0.0, **known: object) -> RunData:
    return load_run(
        build(
            root,
            FakeRun(items(6, each=2), lambda m, i, k: 0.5 + shift + int(i[1:]) / 100, **known),
            videos=False,
        )
    )


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return recording_of(a_run(tmp_path / "a"), FACTS, [a_run(tmp_path / "b", shift=0.25)])


def test_a_recording_survives_its_file_and_equal_ones_give_equal_bytes(
    recording: Recording, tmp_path: Path
) -> None:
    for name in ("one.json", "two.json"):
        write_recording(tmp_path / name, recording)
    assert read_recording(tmp_path / "one.json") == recording
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_noise_is_the_difference_of_reruns(recording: Recording) -> None:
    assert recording.noise["dino"].largest == recording.noise["dino"].sd == 0.25
    assert recording.noise["dino"].pairs == 12 * len(recording.models)


def test_quick_takes_one_item_a_subject_and_no_model_that_is_fitted(recording: Recording) -> None:
    assert recording.quick.items == tuple(f"i{number}" for number in range(6))
    assert recording.quick.models == ("videobooth", "text-to-video")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda record: record.pop("models"), "lacks 'models'"),
        (lambda record: record.update(format=2), "format 2"),
        (lambda record: record["metrics"]["dino"].update(crop="none"), "does not follow"),
        (
            lambda record: record["models"]["videobooth"]["scores"]["dino"].update(i0="high"),
            "is 'high', not a number",
        ),
        (lambda record: record.update(items=None), "damaged"),
        (
            lambda record: record["models"]["videobooth"]["scores"].pop("dino"),
            "not of every metric and item",
        ),
        (
            lambda record: record["models"]["videobooth"]["scores"]["dino"].pop("i3"),
            "not of every metric and item",
        ),
        (lambda record: record["items"].pop("i3"), "not of every metric and item"),
        (lambda record: record.update(models={}), "no model"),
        (
            lambda record: record["noise"]["metrics"]["dino"].update(largest=float("inf")),
            "Infinity is no number",
        ),
        (lambda record: record["noise"]["metrics"]["dino"].update(sd=-1), "'sd' of 'dino' .*is -1"),
        (
            lambda record: record["models"]["videobooth"]["cost"].update(slowness="x"),
            "of 'cost' of 'videobooth' of .* is 'x'",
        ),
    ],
)
def test_damaged_recordings_are_refused_in_a_sentence(
    recording: Recording, tmp_path: Path, damage, words: str
) -> None:
    path = tmp_path / "scores.json"
    write_recording(path, recording)
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=words):
        read_recording(path)


@pytest.mark.parametrize(
    "other",
    [
        {"suite": {"name": "tiny", "version": "1.0", "digest": "d2" * 32}},
        {"metrics": (spec("dino", version="2"),)},
        {"models": {"elite": ("ELITE", ())}},
    ],
)
def test_runs_of_other_things_tell_no_noise(tmp_path: Path, other: dict[str, object]) -> None:
    with pytest.raises(InputError, match="its differences are no noise"):
        recording_of(a_run(tmp_path / "a"), FACTS, [a_run(tmp_path / "b", **other)])


def test_missing_and_unreadable_recordings_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gate record"):
        read_recording(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("scores")
    with pytest.raises(InputError, match="cannot be read"):
        read_recording(tmp_path / "text.json")


def test_changes_are_told_in_sentences(recording: Recording, tmp_path: Path) -> None:
    assert changes(recording, recording) == []
    metrics = (METRICS[0], spec("dino", version="2"), METRICS[2])
    run = a_run(
        tmp_path / "c",
        shift=0.125,
        metrics=metrics,
        settings={"steps": 5},
        suite={"name": "tiny", "version": "2", "digest": "d1" * 32},
    )
    told = changes(
        recording, recording_of(run, {**FACTS, "why": "other steps", "environment": {"torch": "3"}})
    )
    assert told[0].endswith("by Ada: other steps")
    for words in (
        "environment: torch: 2 -> 3",
        "suite: version: 1.0 -> 2",
        "dino: version: 1 -> 2",
    ):
        assert words in told
    assert any(
        line.startswith("videobooth: clip-text moved on 12 of 12 items, by +0.1250")
        for line in told
    )


def test_the_bundled_tolerances_have_reasons_and_real_metrics() -> None:
    tolerances = read_tolerances(BUNDLED)
    assert set(tolerances.metrics) - {"default"} <= set(ALL_METRICS)
    assert all(
        len(tolerance.reason) > 10
        for tolerance in (*tolerances.metrics.values(), tolerances.speed, tolerances.memory)
    )
    assert tolerances.of("clip-image-masked") == tolerances.metrics["default"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tolerance = 0.005", "tolerance = -1", "above 0"),
        ("tolerance = 3.0", "tolerance = 0.9", "speed must be a number above 1"),
        ("[metrics.default]", "[metrics.other]", "default is missing"),
        ("[memory]", "[disk]", "'memory' is missing"),
        ('reason = "for metrics that are not named here"', 'reason = " "', "no reason"),
        ("tolerance = 0.01", "tolerance = nan", "must be a number"),
        ("[speed]", "[speed", "not understood"),
    ],
)
def test_bad_tolerances_are_refused_in_a_sentence(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    text = BUNDLED.read_text("utf-8")
    assert old in text
    (tmp_path / "t.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        read_tolerances(tmp_path / "t.toml")
    with pytest.raises(InputError, match="no file of tolerances"):
        read_tolerances(tmp_path / "none.toml")
