"""The table against numbers worked out by hand; nothing that failed disappears; what cannot be
compared is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.results import synthetic
from tests.results.synthetic import METRICS, MODELS, FakeRun, build, items, spec
from vbbench.errors import IncompleteError, RunFolderError, UsageError
from vbbench.results.aggregate import (
    check_references,
    failures,
    focus_model,
    leaderboard_table,
    load_run,
    merge_runs,
    paired_table,
    primary_metric,
)
from vbbench.results.analysis import analyse
from vbbench.results.run_data import RunData

FEW = {
    name: MODELS[name]
    for name in ("videobooth", "text-to-video", "textual-inversion", "real-video")
}


def four_items(**changes: object) -> FakeRun:
    """Four items of two individuals; DINO of model number m on item number i is m + i / 10."""

    def value(model: str, item: str, metric: str) -> float:
        return list(FEW).index(model) + int(item[1:]) / 10 if metric == "dino" else 0.5

    return replace(FakeRun(items(2, 2), value, models=FEW), **changes)  # type: ignore[arg-type]


def load(tmp_path: Path, run: FakeRun) -> RunData:
    return load_run(build(tmp_path / "run", run, videos=False))


def test_means_counts_and_costs_by_hand(tmp_path: Path) -> None:
    failed = {("text-to-video", "i3"): "out of memory"}
    run = load(tmp_path, four_items(failed=failed, missing=frozenset({("text-to-video", "i2")})))
    table = leaderboard_table(run).set_index("model")
    assert table.loc["videobooth", "dino"] == pytest.approx((0 + 0.1 + 0.2 + 0.3) / 4)
    assert table.loc["text-to-video", "dino"] == pytest.approx((1.0 + 1.1) / 2)
    row = table.loc["text-to-video", ["items", "sampled", "failed", "missing", "dino.scored"]]
    assert list(row) == [4, 2, 1, 1, 2]
    assert table.loc["videobooth", "sample_seconds"] == pytest.approx((0.5 + 1.5 + 2.5 + 3.5) / 4)
    assert table.loc["textual-inversion", "fit_seconds"] == pytest.approx(10.5)
    assert table["fit_seconds"].isna().sum() == 3
    assert table.loc["textual-inversion", "peak_memory_mb"] == 900
    assert (
        table.loc["videobooth", "dino.low":"dino.high"].isna().all()
    )  # two individuals: no interval, no rank
    assert table["dino.rank"].isna().all()


def test_competitors_are_ordered_and_references_stand_below(tmp_path: Path) -> None:
    table = leaderboard_table(load(tmp_path, four_items()))
    assert list(table["model"]) == [
        "textual-inversion",
        "text-to-video",
        "videobooth",
        "real-video",
    ]
    assert list(table["reference"]) == [False, False, False, True]


def test_ranks_and_intervals_with_enough_individuals(tmp_path: Path) -> None:
    run = load(tmp_path, replace(four_items(), items=items(6)))
    table = leaderboard_table(run).set_index("model")
    assert table.loc["textual-inversion", "dino.rank"] == 1
    assert table.loc["videobooth", "dino.rank"] == 3
    assert table["temporal-consistency.rank"].dropna().eq(1).all()  # equal numbers share a rank
    assert table["dino.rank"].isna()["real-video"]
    assert (
        table.loc["videobooth", "dino.low"]
        < table.loc["videobooth", "dino"]
        < table.loc["videobooth", "dino.high"]
    )


def test_lower_is_better_turns_order_ranks_and_verdicts(tmp_path: Path) -> None:
    run = load(
        tmp_path,
        replace(four_items(), items=items(6), metrics=(spec("dino", higher_is_better=False),)),
    )
    table = leaderboard_table(run)
    assert list(table["model"][:3]) == ["videobooth", "text-to-video", "textual-inversion"]
    assert list(table["dino.rank"][:3]) == [1, 2, 3]
    assert set(paired_table(run)["better"]) == {1}


def test_paired_differences_by_hand(tmp_path: Path) -> None:
    run = load(tmp_path, replace(four_items(), items=items(6)))
    table = paired_table(run).set_index(["other", "metric"])
    row = table.loc[("text-to-video", "dino")]
    assert focus_model(run) == "videobooth"
    assert list(row[["difference", "low", "high"]]) == pytest.approx([-1, -1, -1])
    assert (row["items"], row["individuals"], row["better"]) == (6, 6, -1)
    assert table.loc[("real-video", "clip-text"), "better"] == 0
    assert "videobooth" not in table.index.get_level_values("other")


def test_differences_start_from_another_model_where_videobooth_was_not_run(tmp_path: Path) -> None:
    models = {name: MODELS[name] for name in ("real-video", "text-to-video", "textual-inversion")}
    run = load(tmp_path, replace(four_items(), models=models))
    assert focus_model(run) == "text-to-video"


def test_references_alone_make_a_table(tmp_path: Path) -> None:
    run = load(tmp_path, replace(four_items(), models={"real-video": MODELS["real-video"]}))
    assert len(leaderboard_table(run)) == 1
    assert paired_table(run).empty


def test_primary_metric_is_about_identity(tmp_path: Path) -> None:
    assert primary_metric(load(tmp_path, four_items())) == "dino"


def test_no_metric_is_no_error(tmp_path: Path) -> None:
    run = load(tmp_path, replace(four_items(), metrics=()))
    assert primary_metric(run) is None
    assert list(leaderboard_table(run)["sampled"]) == [4, 4, 4, 4]


def test_every_failure_is_listed_with_its_reason(tmp_path: Path) -> None:
    def value(model: str, item: str, metric: str) -> float | str | None:
        if (model, metric) == ("videobooth", "dino"):
            return "the frames are black" if item in ("i0", "i1") else None
        return 0.5

    failed = {("text-to-video", "i3"): "out of memory"}
    run = load(
        tmp_path,
        four_items(value=value, failed=failed, missing=frozenset({("text-to-video", "i2")})),
    )
    found = {(f.model, f.what, f.reason, f.missing): f.items for f in failures(run)}
    assert found == {
        ("videobooth", "dino", "the frames are black", False): ("i0", "i1"),
        ("videobooth", "dino", "not scored yet", False): ("i2", "i3"),
        ("text-to-video", "video", "not run yet", True): ("i2",),
        ("text-to-video", "video", "out of memory", False): ("i3",),
    }
    assert leaderboard_table(run).set_index("model").loc["videobooth", "dino.scored"] == 0


def test_a_failed_fit_is_the_reason_of_its_clips(tmp_path: Path) -> None:
    path = build(
        tmp_path / "run", four_items(missing=frozenset({("textual-inversion", "i0")})), videos=False
    )
    job = {
        "hash": "x",
        "kind": "fit",
        "model": "textual-inversion",
        "subject_id": "dog-0",
        "item_id": None,
    }
    with (path / "jobs.jsonl").open("a") as file:
        file.write(
            json.dumps(
                job
                | {
                    "status": "failed",
                    "reason": "the loss is not finite",
                    "seconds": 1.0,
                    "peak_memory_mb": None,
                }
            )
            + "\n"
        )
    clip = load_run(path).clips["textual-inversion", "i0"]
    assert (clip.status, clip.reason) == ("failed", "fitting failed: the loss is not finite")


def test_the_last_record_of_a_job_counts(tmp_path: Path) -> None:
    path = build(
        tmp_path / "run", four_items(failed={("videobooth", "i0"): "killed"}), videos=False
    )
    job = {
        "hash": "x",
        "kind": "sample",
        "model": "videobooth",
        "subject_id": "dog-0",
        "item_id": "i0",
        "status": "done",
    }
    with (path / "jobs.jsonl").open("a") as file:
        file.write(
            json.dumps(job | {"file": "videos/videobooth/0.mkv", "digest": "d", "seconds": 1.0})
            + "\n"
        )
    assert load_run(path).clips["videobooth", "i0"].status == "done"


@pytest.mark.parametrize("key", ["video_digest", "spec_id"])
def test_a_score_of_other_pixels_or_another_spec_is_none(tmp_path: Path, key: str) -> None:
    path = build(tmp_path / "run", four_items(), videos=False)
    rows = [json.loads(line) for line in (path / "scores.jsonl").read_text().splitlines()]
    rows[0][key] = "stale"
    (path / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = load_run(path)
    result = run.results[rows[0]["model"], rows[0]["item_id"], rows[0]["metric"]]
    assert result.value is None
    assert result.reason in ("the video has changed since it was scored", "not scored yet")


def test_a_line_cut_off_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    path = build(tmp_path / "run", four_items(), videos=False)
    with (path / "scores.jsonl").open("a") as file:
        file.write('{"model": "videob')
    assert leaderboard_table(load_run(path))["dino.scored"].eq(4).all()


def test_checks_compare_reference_rows(tmp_path: Path) -> None:
    def value(model: str, item: str, metric: str) -> float:
        return (
            {"real-video": 0.9, "other-individual": 0.4}.get(model, 0.5)
            if metric == "dino"
            else 0.5
        )

    run = load(tmp_path, FakeRun(items(6), value))
    found = {check.metric: estimate for check, estimate in check_references(run)}
    assert found["dino"].mean == pytest.approx(0.5)
    assert found["dino"].sign == 1
    assert found["temporal-consistency"].sign == 0
    assert "motion" not in found


def test_two_runs_become_one(tmp_path: Path) -> None:
    first = build(tmp_path / "a", four_items(), videos=False)
    more = {"mine": ("My method", ()), "real-video": MODELS["real-video"]}
    second = build(tmp_path / "b", four_items(models=more, value=lambda *_: 0.25), videos=False)
    run = merge_runs([load_run(first), load_run(second)])
    table = leaderboard_table(run).set_index("model")
    assert list(table.index) == [
        "textual-inversion",
        "text-to-video",
        "mine",
        "videobooth",
        "real-video",
    ]
    assert table.loc["real-video", "dino"] == pytest.approx(3.15)  # of the run that comes first


OTHER_SUITE = {"name": "tiny", "version": "2.0", "digest": "d2" * 32}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"suite": OTHER_SUITE}, "suite tiny 1.0 .* tiny 2.0"),
        (
            {"metrics": (*METRICS[:2], spec("temporal-consistency", version="2"))},
            "temporal-consistency was measured by spec .* differ in version .1 and 2",
        ),
        ({"metrics": METRICS[:2]}, "temporal-consistency was measured in one of them alone"),
        ({"settings": {"steps": 8}}, "two runs hold a model videobooth"),
        ({"items": items(2)}, "different prompt items"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    runs = [
        load_run(build(tmp_path / "a", four_items(), videos=False)),
        load_run(build(tmp_path / "b", four_items(**changes), videos=False)),
    ]
    with pytest.raises(IncompleteError, match=words) as error:
        merge_runs(runs)
    assert error.value.exit_code == 3


def test_no_run_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="at least one"):
        merge_runs([])


def damage_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("{")


def drop_models(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["models"]
    (path / "manifest.json").write_text(json.dumps(manifest))


def change_spec(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["metrics"]["dino"]["crop"] = "none"
    (path / "manifest.json").write_text(json.dumps(manifest))


def rename_suite(path: Path) -> None:
    text = (path / "suite" / "suite.toml").read_text()
    (path / "suite" / "suite.toml").write_text(text.replace('"tiny"', '"other"'))


def damage_jobs(path: Path) -> None:
    (path / "jobs.jsonl").write_text("not json\n{}\n")


def escape(path: Path) -> None:
    text = (path / "suite" / "items.jsonl").read_text()
    (path / "suite" / "items.jsonl").write_text(text.replace("images/", "../../images/"))


def empty_environment(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "environment": None}))


def text_for_seconds(path: Path) -> None:
    job, *rest = (path / "jobs.jsonl").read_text().splitlines()
    (path / "jobs.jsonl").write_text(
        "\n".join([json.dumps({**json.loads(job), "seconds": "long"}), *rest]) + "\n"
    )


def half_a_character(path: Path) -> None:
    item, *rest = (path / "suite" / "items.jsonl").read_text().splitlines()
    (path / "suite" / "items.jsonl").write_text(
        "\n".join([json.dumps({**json.loads(item), "text": "\ud800"}), *rest]) + "\n"
    )


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (empty_environment, "environment.* is no object"),
        (text_for_seconds, "no good seconds"),
        (half_a_character, "surrogates not allowed"),
        (damage_manifest, "manifest.json cannot be read"),
        (drop_models, "lacks 'models'"),
        (change_spec, "dino does not follow"),
        (rename_suite, "holds suite other"),
        (damage_jobs, "is damaged: .*line 1"),
        (escape, "outside itself"),
        (lambda path: (path / "manifest.json").unlink(), "not a run folder"),
        (lambda path: (path / "suite" / "suite.toml").unlink(), r"suite\.toml cannot be read"),
    ],
)
def test_damaged_run_folders_are_refused_in_a_sentence(
    tmp_path: Path, damage: object, words: str
) -> None:
    path = build(tmp_path / "run", four_items(), videos=False)
    damage(path)  # type: ignore[operator]
    with pytest.raises(RunFolderError, match=words):
        load_run(path)


def test_fake_runs_have_what_real_runs_have() -> None:
    assert synthetic.MODELS.keys() >= FEW.keys()


def test_runs_of_which_one_is_restricted_are_compared_on_the_items_of_both(tmp_path: Path) -> None:
    runs = {}
    for name, count in (("whole", None), ("first", 1)):
        folder = build(
            tmp_path / name,
            four_items(models={"real-video": MODELS["real-video"]} if count else FEW),
            videos=False,
        )
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(
            json.dumps({**manifest, "prompts_per_subject": count})
        )
        runs[name] = load_run(folder)
    assert [item.id for item in runs["first"].items] == ["i0", "i1"]
    assert set(runs["first"].clips) == {("real-video", "i0"), ("real-video", "i1")}
    merged = merge_runs([runs["whole"], runs["first"]])
    assert (merged.prompts_per_subject, len(merged.items)) == (1, 2)
    table = leaderboard_table(merged).set_index("model")
    assert list(table["items"]) == [2] * 4
    assert table.loc["textual-inversion", "dino"] == pytest.approx((2.0 + 2.1) / 2)
    assert failures(merged) == []
    assert merge_runs([runs["whole"]]) == runs["whole"]


@pytest.mark.parametrize("count", [0, True, "2", 1.5])
def test_restriction_that_is_none_is_told(tmp_path: Path, count: object) -> None:
    folder = build(tmp_path / "run", four_items(), videos=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "prompts_per_subject": count}))
    with pytest.raises(RunFolderError, match="no number of prompts"):
        load_run(folder)


def test_a_metric_without_direction_ranks_nobody(tmp_path: Path) -> None:
    def value(model: str, item: str, metric: str) -> float:
        return list(FEW).index(model) + int(item[1:]) / 1000

    fake = FakeRun(items(6), value, models=FEW, metrics=(spec("motion"), spec("dino")))
    run = load(tmp_path, fake)
    assert primary_metric(run) == "dino"
    table = leaderboard_table(run)
    assert table["motion.rank"].isna().all()
    assert table["dino.rank"].notna().any()
    found = paired_table(run).set_index(["other", "metric"])
    assert found.loc[("text-to-video", "dino"), "better"] == -1
    assert found.loc[("text-to-video", "motion"), "better"] == 0
    assert primary_metric(replace(run, metrics=run.metrics[:1])) is None


def test_a_column_without_direction_has_no_arrow_and_no_best(tmp_path: Path) -> None:
    def value(model: str, item: str, metric: str) -> float:
        return list(FEW).index(model) + int(item[1:]) / 1000

    fake = FakeRun(items(6), value, models=FEW, metrics=(spec("motion"), spec("dino")))
    run = load(tmp_path, fake)
    results = analyse(run)
    motion = results.columns[1]
    assert (motion.name, motion.arrow, motion.sign) == ("motion", "", 0)
    assert [row.cells[1].rank for row in results.rows] == [None, None, None]
    verdicts = results.differences["text-to-video"]
    assert [difference.verdict for difference in verdicts] == ["worse", "differs"]


def test_roles_are_the_manifests_and_of_older_runs_the_bundled_recipes(tmp_path: Path) -> None:
    root = build(tmp_path / "run", four_items(), videos=False)
    assert load_run(root).of_role("ceiling") == "real-video"
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["models"]["real-video"]["role"] = "floor"
    (root / "manifest.json").write_text(json.dumps(manifest))
    run = load_run(root)
    assert (run.of_role("ceiling"), run.of_role("floor")) == (None, "real-video")
