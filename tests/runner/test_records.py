"""Files of runs: read in bulk, refused in a sentence, and those of earlier formats still read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vbbench.core.paths import data_root
from vbbench.core.strict_json import CHUNK_LINES, parse, read_chunks
from vbbench.data.suites import load_suite
from vbbench.errors import RunFolderError
from vbbench.results.claims.stored import read_scores
from vbbench.results.gate.scores import read_recording
from vbbench.results.run_folder import load_run
from vbbench.runner.records import (
    JOBS,
    MANIFEST_FORMAT,
    SCORES,
    JobRow,
    ScoreRow,
    read_columns,
    read_manifest,
    read_rows,
    rows_text,
)
from vbbench.runner.store import RunStore
from vbbench.types import Job

FORMAT_1 = Path(__file__).parents[1] / "files" / "run-format-1"
SCORE: dict[str, Any] = {
    "model": "m",
    "item_id": "i",
    "metric": "dino",
    "spec_id": "s",
    "value": 0.5,
    "reason": None,
    "per_frame": [0.5, None],
    "video_digest": "d",
}
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def scores(tmp_path: Path) -> Callable[..., Path]:
    """A file of lines; what is no text is written as JSON."""

    def write(*lines: object, end: str = "\n") -> Path:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / SCORES).write_text("\n".join(texts) + end, "utf-8")
        return tmp_path / SCORES

    return write


def test_rows_survive_their_file(tmp_path: Path) -> None:
    rows = [SCORE | {"item_id": f"i{n}", "value": n / 7} for n in range(2 * CHUNK_LINES + 3)]
    path = tmp_path / SCORES
    path.write_text(rows_text(rows, ScoreRow), "utf-8")
    assert read_rows(path, ScoreRow) == rows
    columns = read_columns(path, ScoreRow, ("item_id", "value"))
    assert columns == {key: [row[key] for row in rows] for key in ("item_id", "value")}
    assert read_rows(tmp_path / "none.jsonl", ScoreRow) == []


def test_texts_of_many_rows_are_kept_once(scores: Callable[..., Path]) -> None:
    one, *others = read_rows(scores(*[SCORE] * (CHUNK_LINES + 1)), ScoreRow)
    assert all(row["video_digest"] is one["video_digest"] for row in others)


def test_what_a_row_may_lack_is_added(scores: Callable[..., Path]) -> None:
    short = {key: SCORE[key] for key in ("model", "item_id", "metric", "spec_id", "value")}
    assert read_rows(scores(short), ScoreRow) == [
        short | {"reason": None, "per_frame": None, "video_digest": None}
    ]


def test_a_torn_last_line_is_passed_over(scores: Callable[..., Path]) -> None:
    assert read_rows(scores(SCORE, '{"model": "m", "it', end=""), ScoreRow) == [SCORE]
    assert len(read_rows(scores(SCORE, SCORE, end=""), ScoreRow)) == 2
    assert len(read_rows(scores(SCORE, SCORE, end=""), ScoreRow, whole_lines=True)) == 1
    assert read_rows(scores("", SCORE, "  ", SCORE), ScoreRow) == [SCORE, SCORE]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (SCORE | {"value": "high"}, "has no good value: 'high' is not a number"),
        (SCORE | {"value": True}, "has no good value: True is not a number"),
        (SCORE | {"value": 10**400}, "value"),
        (SCORE | {"per_frame": [0.5, "x"]}, "has no good per_frame: 'x' is not a number"),
        (SCORE | {"metrik": 1}, "has the unknown 'metrik': did you mean 'metric'?"),
        ({"model": "m"}, "has no good item_id, metric, spec_id, value"),
        (json.dumps(SCORE).replace("0.5,", "1e999,", 1), "has no good value: inf is not a finite"),
        (json.dumps(SCORE).replace("[0.5", "[-1e999"), "has no good per_frame: -inf"),
        (json.dumps(SCORE).replace("0.5,", "NaN,"), "NaN is no number"),
        (json.dumps(SCORE).replace('"d"', '"\\ud800"'), "half of a surrogate pair"),
        (json.dumps(SCORE).replace("0.5,", f"{DEEP},"), "it is nested too deeply"),
        ("[1", "line 3"),
        ("3", "has no good model"),
        (f"{json.dumps(SCORE)}, {json.dumps(SCORE)}", "Extra data"),
    ],
)
def test_damage_is_a_sentence_with_file_and_line(
    scores: Callable[..., Path], line: object, sentence: str
) -> None:
    path = scores(SCORE, SCORE, line, SCORE)
    for read in (
        lambda: read_rows(path, ScoreRow),
        lambda: read_columns(path, ScoreRow, ("value",)),
    ):
        with pytest.raises(RunFolderError, match=re.escape(sentence)) as caught:
            read()
        assert str(caught.value).startswith(f"{path} is damaged: ")
        assert "(line 3)" in str(caught.value)


def test_facts_are_finite_too(tmp_path: Path) -> None:
    job = {"hash": "h", "kind": "fit", "model": "m", "subject_id": "s", "status": "done"}
    path = tmp_path / JOBS
    path.write_text(json.dumps(job)[:-1] + ', "facts": {"loss": [1e999]}}\n')
    with pytest.raises(RunFolderError, match=r"not finite in facts \(line 1\)"):
        read_rows(path, JobRow)
    with pytest.raises(ValueError, match="not finite in facts"):
        rows_text([job | {"facts": {"loss": float("nan")}}], JobRow)


def test_a_line_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / SCORES
    path.write_bytes(json.dumps(SCORE).encode() + b'\n{"model": "\xff"}\n')
    with pytest.raises(RunFolderError, match=r"can't decode byte 0xff .*\(line 2\)"):
        read_rows(path, ScoreRow)


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", "1e999", DEEP, '"\\ud800"', "{"])
def test_json_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_chunks_know_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(["{}", "", '{"a": 1}'] + ["{}"] * CHUNK_LINES) + "\n")
    first, second = read_chunks(path)
    assert list(first.lines)[:3] == [1, 3, 4]
    assert list(second.lines) == [CHUNK_LINES + 1, CHUNK_LINES + 2, CHUNK_LINES + 3]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"modls": {}}, "has an unknown 'modls': did you mean 'models'?"),
        ({"format": "x"}, "'x' is no format"),
        ({"format": 0}, "0 is no format"),
        ({"scale": 3}, "'scale' of the manifest is 3, not a text"),
        ({"models": {"m": {"titel": "M"}}}, "has an unknown 'titel': did you mean 'title'?"),
        ({"models": {"m": {"training_seed": "zero"}}}, "'zero' is no training seed"),
        ({"environment": None}, "'environment' of the manifest is no object"),
        ({"prompts_per_subject": True}, "True is no number of prompts"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_told(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    manifest = json.loads((FORMAT_1 / "manifest.json").read_text("utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(RunFolderError, match=re.escape(sentence)) as caught:
        read_manifest(tmp_path)
    assert f"the run folder {tmp_path} is damaged: manifest.json cannot" in str(caught.value)


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    manifest = json.loads((FORMAT_1 / "manifest.json").read_text("utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"format": 99, "new": 1}))
    sentence = "was written by a newer vbbench (format 99; this one knows 2): update vbbench."
    for read in (read_manifest, load_run):
        with pytest.raises(RunFolderError, match=re.escape(f"{tmp_path} {sentence}")):
            read(tmp_path)


def test_a_run_of_format_1_is_read_and_reported_on(tmp_path: Path) -> None:
    from vbbench.report.leaderboard import write_report

    assert "format" not in json.loads((FORMAT_1 / "manifest.json").read_text("utf-8"))
    assert read_manifest(FORMAT_1)["format"] == MANIFEST_FORMAT
    run = load_run(FORMAT_1)
    assert [model.name for model in run.models] == ["real-video", "still-image"]
    assert sum(clip.status == "done" for clip in run.clips.values()) == 4
    assert run.results["real-video", "cat-0000-0", "dino"].value == pytest.approx(0.5, abs=0.5)
    assert run.results["real-video", "bear-0000-0", "dino"].reason == "not run yet"
    write_report([FORMAT_1], tmp_path / "report")
    assert "Still image" in (tmp_path / "report" / "index.html").read_text("utf-8")


def test_a_run_of_format_1_is_gone_on_with(tmp_path: Path) -> None:
    root = Path(shutil.copytree(FORMAT_1, tmp_path / "run"))
    suite = load_suite("mini")
    before = read_rows(root / SCORES, ScoreRow)
    job = Job("sample", "still-image", "bear-0000", "bear-0000-0", "h")
    with RunStore(root, suite, "mini") as store:
        cat = store.jobs["sample", "real-video", "cat-0000-0"]
        hashed = Job("sample", "real-video", "cat-0000", "cat-0000-0", cat["hash"])
        assert store.is_done(hashed)
        store.write_manifest({**store.manifest, "command": "vbbench run"})
        store.keep_failure(job, "no memory", seconds=1.0, memory_mb=None)
        store.tidy([])
    manifest = json.loads((root / "manifest.json").read_text("utf-8"))
    assert (manifest["format"], list(manifest["models"])) == (
        MANIFEST_FORMAT,
        ["real-video", "still-image"],
    )
    assert sorted(map(str, read_rows(root / SCORES, ScoreRow))) == sorted(map(str, before))
    assert load_run(root).clips["still-image", "bear-0000-0"].reason == "no memory"


def test_shipped_recordings_are_read() -> None:
    recording = read_recording(data_root() / "baselines" / "scores" / "mini.json")
    assert set(recording.quick.models) <= set(recording.models)
    stored = read_scores(data_root() / "reports" / "mini" / "scores.csv")
    assert "videobooth" in [model.name for model in stored.models]
