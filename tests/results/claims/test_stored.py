"""Stored scores say the same as the run they come from, and what is damaged is told in a
sentence."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.results.claims.synthetic import make_run, names_of, strengths
from vbbench.errors import IncompleteError, RunFolderError
from vbbench.results.claims.evaluate import evaluate
from vbbench.results.claims.stored import read_scores, write_scores
from vbbench.results.run_data import RunData, merge_runs

HOSTILE = 'no memory, "left"\nor <b>so</b>, \u2028 =1+1'


def lossy_run() -> RunData:
    """A run with a failed clip, a clip that was not done, a metric without value, and a subject
    without fit."""
    base = strengths()

    def value(*about: object) -> float | str:
        return (
            HOSTILE
            if about[0] == "elite" and about[3] == 5 and about[5] == "dino"
            else base(*about)
        )

    return make_run(value, failed={("videobooth", "i1"): HOSTILE}, individuals=6)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    run = lossy_run()
    found = read_scores(write_scores(run, tmp_path / "new" / "folder"))
    assert found.models == run.models
    assert [(m.recipe, m.training_seed, m.title, m.groups) for m in found.models] == [
        (m.recipe, m.training_seed, m.title, m.groups) for m in run.models
    ]
    assert (found.suite, found.items, found.metrics, found.fits) == (
        run.suite,
        run.items,
        run.metrics,
        run.fits,
    )
    assert {
        key: (clip.status, clip.reason, clip.peak_memory_mb) for key, clip in found.clips.items()
    } == {key: (clip.status, clip.reason, clip.peak_memory_mb) for key, clip in run.clips.items()}
    for key, result in run.results.items():
        assert found.results[key].reason == result.reason
        assert found.results[key].value == (
            None if result.value is None else round(result.value, 6)
        )
    assert found.results["elite", "i5", "dino"].reason == HOSTILE
    assert [set(manifest) for manifest in found.manifests] == [{"environment"}]


def test_verdicts_from_stored_scores_are_those_of_the_run(tmp_path: Path) -> None:
    run = make_run(strengths())
    stored = read_scores(write_scores(run, tmp_path))
    for ours, theirs in zip(evaluate(run), evaluate(stored), strict=True):
        assert ours.verdict == theirs.verdict
        assert [f.estimate.low for f in ours.findings] == pytest.approx(
            [f.estimate.low for f in theirs.findings], abs=1e-5
        )


def test_storing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_scores(lossy_run(), tmp_path / "a")
    second = write_scores(read_scores(first), tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".json").read_bytes() == second.with_suffix(".json").read_bytes()


def test_the_table_is_plain_csv_of_short_numbers(tmp_path: Path) -> None:
    run = lossy_run()
    with write_scores(run, tmp_path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(run.models) * len(run.items)
    (row,) = (row for row in rows if row["model"] == "videobooth-fine@1" and row["item_id"] == "i3")
    assert (
        row["recipe"],
        row["training_seed"],
        row["subject_id"],
        row["class"],
        row["status"],
    ) == (("videobooth-fine", "1", "dog-3", "dog", "done"))
    assert float(row["dino"]) == round(run.results["videobooth-fine@1", "i3", "dino"].value, 6)
    assert max(len(row["dino"]) for row in rows) <= 9
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert (failed["model"], failed["dino"], failed["reason"]) == ("videobooth", "", HOSTILE)


def test_commands_which_name_folders_of_the_machine_are_not_kept(tmp_path: Path) -> None:
    manifest = {
        "command": "vbbench run --out /home/me/secret",
        "commit": "abc",
        "environment": {"cpu": "a cpu"},
        "models": {},
    }
    path = write_scores(make_run(strengths(), manifests=(manifest,)), tmp_path)
    assert "secret" not in path.with_suffix(".json").read_text("utf-8")
    assert json.loads(path.with_suffix(".json").read_text("utf-8"))["runs"] == [
        {"commit": "abc", "environment": {"cpu": "a cpu"}}
    ]


def test_line_ends_may_change(tmp_path: Path) -> None:
    path = write_scores(make_run(strengths()), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_scores(path).items) == 24


def test_the_part_of_a_suite_is_kept(tmp_path: Path) -> None:
    run = make_run(strengths()).first_prompts(1)
    found = read_scores(write_scores(run, tmp_path))
    assert (found.prompts_per_subject, len(found.items)) == (1, 12)
    assert len(merge_runs([make_run(strengths()), found]).items) == 12


def test_stored_scores_and_runs_are_one_when_they_are_of_one_suite(tmp_path: Path) -> None:
    value, names = strengths(), names_of()
    first = {name: about for name, about in names.items() if about[1] in (None, 0)}
    more = {name: about for name, about in names.items() if about[1]}
    stored = read_scores(write_scores(make_run(value, more), tmp_path))
    merged = merge_runs([make_run(value, first), stored])
    assert {model.name for model in merged.models} == set(names)
    with pytest.raises(IncompleteError, match="different prompt items"):
        merge_runs([make_run(value, first, each=1), stored])


def spoil(path: Path, change: Callable[[str], str], *, digest: bool = True) -> None:
    """Change the table; and the digest with it."""
    from vbbench.results.claims.stored import _digest

    content = change(path.read_text("utf-8"))
    path.write_bytes(content.encode("utf-8"))
    if digest:
        record = path.with_suffix(".json")
        facts = json.loads(record.read_text("utf-8"))
        record.write_text(
            json.dumps(facts | {"table": {"file": path.name, "sha256": _digest(content)}}), "utf-8"
        )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda text: text.replace(
                "elite,elite,0,i3,dog-3,dog,done", "elite,elite,0,i2,dog-2,dog,done"
            ),
            "each model and item once",
        ),
        (
            lambda text: text.replace("elite,elite,0,i3", "somebody,elite,0,i3"),
            "each model and item once",
        ),
        (lambda text: text[: text.rindex("\n", 0, -1) + 1], "each model and item once"),
        (lambda text: text.replace(",dog,done,", ",dog,won,", 1), "'won' is no status"),
        (
            lambda text: text.replace("700.25", "many", 1),
            "could not convert string to float: 'many'",
        ),
        (lambda text: text.replace("700.25", "nan", 1), "nan is no number"),
        (lambda text: text.replace("700.25", "1e999", 1), "1e999 is no number"),
        (lambda text: text.replace("700.25", "700.25,1", 1), "line 2 does not have as many fields"),
        (lambda text: text.replace(",700.25,", ",", 1), "line 2 does not have as many fields"),
        (lambda text: text.replace(",dino,", ",dinosaur,", 1), "'dino' is missing"),
        (lambda text: text.replace("700.25", '"700.25', 1), "damaged"),
        (lambda text: "", "each model and item once"),
    ],
)
def test_a_damaged_table_is_a_sentence(
    tmp_path: Path, change: Callable[[str], str], says: str
) -> None:
    path = write_scores(make_run(strengths(), individuals=6), tmp_path)
    spoil(path, change)
    with pytest.raises(
        RunFolderError, match=r"the stored scores .*scores\.csv are damaged"
    ) as caught:
        read_scores(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    path = write_scores(make_run(strengths()), tmp_path)
    spoil(path, lambda text: text.replace("700.25", "700.75", 1), digest=False)
    with pytest.raises(RunFolderError, match=r"it is not the table that scores\.json tells of"):
        read_scores(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "written by a newer vbbench (format 2; this one knows 1)"),
        ({"suite": {"name": "x"}}, "'suite' of the record lacks 'version'"),
        ({"models": {}}, "each model and item once"),
        ({"models": []}, "'models' of the record is no object"),
        ({"models": {"elite": {}}}, "'elite' of 'models' of the record lacks 'name'"),
        ({"metrics": {"dino": {}}}, "the spec of metric None lacks"),
        ({"prompts_per_subject": 0}, "0 is no number of prompts"),
        ({"runs": 3}, "'runs' of the record is no list"),
        ({"runs": [3]}, "'runs' of the record, number 0 is no object"),
        ({"runs": [{"environment": "fast"}]}, "'environment' of 'runs' of the record, number 0"),
        ({"suite": {"name": "x", "speed": 3}}, "'suite' of the record has an unknown 'speed'"),
    ],
)
def test_a_damaged_record_is_a_sentence(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    path = write_scores(make_run(strengths()), tmp_path)
    record = path.with_suffix(".json")
    record.write_text(json.dumps(json.loads(record.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(RunFolderError) as caught:
        read_scores(path)
    assert says in str(caught.value)


def test_a_record_that_is_no_table_or_not_there_is_a_sentence(tmp_path: Path) -> None:
    path = write_scores(make_run(strengths()), tmp_path)
    path.with_suffix(".json").write_text("[1]", "utf-8")
    with pytest.raises(RunFolderError, match="damaged"):
        read_scores(path)
    path.with_suffix(".json").write_text("{", "utf-8")
    with pytest.raises(RunFolderError, match=r"scores\.json cannot be read"):
        read_scores(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(RunFolderError, match=r"scores\.json cannot be read"):
        read_scores(path)
    write_scores(make_run(strengths()), tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunFolderError, match=r"scores\.csv cannot be read"):
        read_scores(path)
    path.unlink()
    with pytest.raises(RunFolderError, match=r"scores\.csv cannot be read"):
        read_scores(path)
