"""What a run folder accepts and refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from vbbench.errors import RunFolderError
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.spec import make_spec
from vbbench.runner.store import RunStore
from vbbench.types import Job, PromptSuite

MANIFEST = {"scale": "mini", "models": {}, "metrics": {}, "created": "then"}


def manifest_of(suite: PromptSuite) -> dict:
    return {
        **MANIFEST,
        "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest},
    }


def test_run_of_another_suite_is_refused(
    make_suite: Callable[..., PromptSuite], tmp_path: Path
) -> None:
    first, second = make_suite("a"), make_suite("b", seed=8)
    with RunStore(tmp_path / "run", first, "mini") as store:
        store.write_manifest(manifest_of(first))
    with pytest.raises(RunFolderError, match=f"belongs to suite tiny 1 .{first.digest[:12]}"):
        RunStore(tmp_path / "run", second, "mini")
    with pytest.raises(RunFolderError, match="at scale mini, not to tiny 1 .* at sd14"):
        RunStore(tmp_path / "run", first, "sd14")
    RunStore(tmp_path / "run", first, "mini").close()


def test_folder_that_is_no_run_is_refused_and_left_alone(
    tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("all of it")
    with pytest.raises(RunFolderError, match="holds thesis.txt"):
        RunStore(tmp_path / "home", tiny_suite, "mini")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]
    with pytest.raises(RunFolderError, match="is a file"):
        RunStore(tmp_path / "home" / "thesis.txt", tiny_suite, "mini")


@pytest.mark.parametrize("text", ["", "[]", '{"suite": 3}', '{"suite": {"name": "tiny"}}'])
def test_damaged_manifest_is_told(tiny_suite: PromptSuite, tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"manifest\.json cannot be read"):
        RunStore(tmp_path, tiny_suite, "mini")


def test_damaged_line_is_told_but_a_torn_last_one_is_cut(
    tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    row = {
        "model": "m",
        "item_id": "i",
        "spec_id": "s",
        "metric": "x",
        "value": 1.0,
        "reason": None,
        "per_frame": None,
        "video_digest": None,
    }
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        store.write_manifest(manifest_of(tiny_suite))
        store.keep_scores([row])
    with (tmp_path / "scores.jsonl").open("a") as file:
        file.write('{"model": "m", "item')
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        assert store.scores == {("m", "i", "s"): row}
        store.keep_scores([{**row, "value": 2.0}])
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        assert store.scores["m", "i", "s"]["value"] == 2.0
    text = (tmp_path / "scores.jsonl").read_text()
    (tmp_path / "scores.jsonl").write_text("{broken}\n" + text)
    with pytest.raises(RunFolderError, match=r"scores\.jsonl is damaged"):
        RunStore(tmp_path, tiny_suite, "mini")


SCORE = '{"model": "m", "item_id": "i", "metric": "x", "spec_id": "s", "reason": null, "video_digest": null, "value": %s}'
JOB = (
    '{"hash": "h", "kind": "sample", "model": "m", "subject_id": "dog-0", "item_id": %s, "status": "done", "reason": null, '
    '"seconds": 1.0, "file": %s, "file_sha256": null, "digest": null, "facts": {}}'
)


@pytest.mark.parametrize(
    ("name", "line", "sentence"),
    [
        ("jobs.jsonl", "3", "its record 1 has no good hash, "),
        ("jobs.jsonl", "{}", "its record 1 has no good hash, "),
        ("jobs.jsonl", JOB % ('"dog-0-road"', "3"), "its record 1 has no good file"),
        ("jobs.jsonl", JOB % ("[1]", "null"), "its record 1 has no good item_id"),
        (
            "jobs.jsonl",
            JOB % ('"nobody"', "null"),
            "it holds 'nobody', which is no item of the suite tiny",
        ),
        ("scores.jsonl", "{}", "its record 1 has no good model, "),
        ("scores.jsonl", SCORE % '"x"', "its record 1 has no good value"),
        ("scores.jsonl", SCORE % "NaN", "NaN is no number"),
    ],
)
def test_records_that_cannot_be_understood_are_told(
    tiny_suite: PromptSuite, tmp_path: Path, name: str, line: str, sentence: str
) -> None:
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        store.write_manifest(manifest_of(tiny_suite))
    (tmp_path / name).write_text(line + "\n")
    for _ in range(2):  # the lock is given back, so the second sentence is the same
        with pytest.raises(RunFolderError, match=re.escape(f"{name} is damaged: {sentence}")):
            RunStore(tmp_path, tiny_suite, "mini")
    assert (tmp_path / name).read_text() == line + "\n"


def test_line_separators_inside_of_a_text_end_no_record(
    tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    row = {
        "model": "m",
        "item_id": "i",
        "spec_id": "s",
        "metric": "x",
        "value": None,
        "reason": "a\u2028b\x85c",
        "per_frame": None,
        "video_digest": None,
    }
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        store.write_manifest(manifest_of(tiny_suite))
        store.keep_scores([row])
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        assert list(store.scores.values()) == [row]


def test_looking_changes_nothing(tiny_suite: PromptSuite, tmp_path: Path) -> None:
    RunStore(tmp_path / "none", tiny_suite, "mini", read_only=True)
    assert not (tmp_path / "none").exists()


def test_manifest_keeps_earlier_models_and_its_first_date(
    tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        store.write_manifest({**manifest_of(tiny_suite), "models": {"a": {"title": "A"}}})
        store.write_manifest(
            {**manifest_of(tiny_suite), "models": {"b": {"title": "B"}}, "created": "now"}
        )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (list(manifest["models"]), manifest["created"]) == (["a", "b"], "then")


@pytest.mark.parametrize(
    "damage", [{"models": [1]}, {"environment": None}, {"metrics": {"motion": 3}}]
)
def test_manifest_of_the_wrong_kinds_is_told(
    tiny_suite: PromptSuite, tmp_path: Path, damage: dict
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest_of(tiny_suite), **damage}))
    with pytest.raises(RunFolderError, match=r"manifest\.json cannot be read"):
        RunStore(tmp_path, tiny_suite, "mini")


def test_reason_that_is_no_unicode_is_kept(tiny_suite: PromptSuite, tmp_path: Path) -> None:
    """An error that quotes a strange file name is a failure of its item, not of the run."""
    item = tiny_suite.items[0]
    job = Job("sample", "m", item.subject.id, item.id, "h")
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        store.write_manifest(manifest_of(tiny_suite))
        store.keep_failure(
            job, "no \udcff.png", seconds=1, memory_mb=1, details="Traceback: \udcff"
        )
    with RunStore(tmp_path, tiny_suite, "mini") as store:
        assert [record["reason"] for record in store.jobs.values()] == ["no ?.png"]
    assert (tmp_path / "errors" / f"m-{item.id}.txt").read_text() == "Traceback: ?"


def spec_record(name: str, setting: Setting, **known: object) -> dict:
    facts = {
        "version": "1",
        "formula": "f",
        "unit": "u",
        "higher_is_better": True,
        "bounds": (0, 1),
        "reads_text": False,
    }
    return asdict(make_spec(setting, **{**facts, "name": name, **known}))


@pytest.mark.parametrize("other", [{"num_frames": 16}, {"fps": 12}, {"storage": "lossy"}])
def test_metrics_of_another_setting_leave_and_are_told(
    tiny_suite: PromptSuite, tmp_path: Path, other: dict
) -> None:
    first, second = Setting(num_frames=8, fps=8), Setting(**{"num_frames": 8, "fps": 8, **other})
    manifest = manifest_of(tiny_suite)
    with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
        assert (
            store.write_manifest(
                {
                    **manifest,
                    "metrics": {name: spec_record(name, first) for name in ("dino", "motion")},
                }
            )
            == []
        )
        assert (
            store.write_manifest({**manifest, "metrics": {"motion": spec_record("motion", first)}})
            == []
        )
        assert set(store.manifest["metrics"]) == {"dino", "motion"}
        assert store.write_manifest(
            {**manifest, "metrics": {"motion": spec_record("motion", second)}}
        ) == ["dino"]
        assert set(store.manifest["metrics"]) == {"motion"}


def test_trained_and_random_encoders_share_no_folder(
    tiny_suite: PromptSuite, tmp_path: Path
) -> None:
    def manifest(name: str, digest: str) -> dict:
        spec = spec_record(name, Setting(), encoder="clip", encoder_digest=digest)
        return {**manifest_of(tiny_suite), "metrics": {name: spec}}

    with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
        store.write_manifest(manifest("dino", "ab" * 32))
        with pytest.raises(RunFolderError, match="trained encoders and of random ones"):
            store.write_manifest(manifest("clip-image", "random weights, seed 0"))
        assert set(store.manifest["metrics"]) == {"dino"}
