"""Runs: what is done, what is kept, what is done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.runner.stubs import MeanScorer
from vbbench.media.video import read_video
from vbbench.models.recipes import load_recipe
from vbbench.runner.execute import Summary, execute
from vbbench.runner.manifest import make_manifest
from vbbench.runner.plan import RunConfig, build, manifest_models, missing_jobs
from vbbench.runner.store import RunStore
from vbbench.types import PromptSuite


class Runner:
    """Runs recipes on a suite into a folder, as often as wanted."""

    def __init__(self, suite: PromptSuite, root: Path) -> None:
        self.suite, self.root = suite, root

    def run(
        self, *folders: Path, scorer: MeanScorer | None = None, **sampling: object
    ) -> tuple[Summary, int]:
        """The summary, and how many jobs there were to do."""
        plan = build(
            RunConfig(tuple(load_recipe(folder) for folder in folders), "mini", sampling),
            self.suite,
        )
        scorer = scorer or MeanScorer()
        with RunStore(self.root, self.suite, "mini") as store:
            missing = len(missing_jobs(plan, store))
            store.write_manifest(
                make_manifest(
                    plan.suite, plan.scale, manifest_models(plan), scorer.specs, {"device": "cpu"}
                )
            )
            return execute(plan, store, scorer, device="cpu", threads=1), missing

    def records(self, name: str = "jobs.jsonl") -> list[dict]:
        return [json.loads(line) for line in (self.root / name).read_text().splitlines()]

    def scores(self) -> dict[tuple[str, str, str], float | None]:
        return {
            (row["model"], row["item_id"], row["metric"]): row["value"]
            for row in self.records("scores.jsonl")
        }


@pytest.fixture
def runner(tiny_suite: PromptSuite, tmp_path: Path) -> Runner:
    return Runner(tiny_suite, tmp_path / "run")


def test_run_leaves_videos_records_and_scores(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    summary, missing = runner.run(recipe_folder("noise"), recipe_folder("tinted"))
    assert (summary.done, summary.failed, summary.unscored, missing) == (12, 0, 0, 6 + 3 + 6)
    assert summary.complete
    kinds = [(record["kind"], record["model"]) for record in runner.records()]
    assert kinds == [("sample", "noise")] * 6 + [("fit", "tinted")] * 3 + [("sample", "tinted")] * 6
    assert len(runner.records("scores.jsonl")) == 12 * 2
    # the fitted model got its own subject's adapter back, and the score reads the stored pixels
    assert runner.scores()["tinted", "cat-0-beach", "red"] == 200.0
    assert runner.scores()["tinted", "dog-1-road", "red"] == 40.0
    record = next(
        record
        for record in runner.records()
        if record["item_id"] == "dog-0-road" and record["model"] == "noise"
    )
    assert record["file"] == "videos/noise/dog-0-road.mkv"
    assert read_video(runner.root / record["file"]).frames.shape == (3, 16, 16, 3)
    assert record["seconds"] >= 0
    assert 10 < record["peak_memory_mb"] < 20_000
    assert (runner.root / "suite" / "images" / "cat-0.png").is_file()


def test_fit_facts_that_json_cannot_hold_are_kept_as_text(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    runner.run(recipe_folder("tinted"))
    fit = next(record for record in runner.records() if record["kind"] == "fit")
    assert fit["facts"]["loss"] == "nan"
    assert fit["facts"]["seed"] > 0


def test_second_run_does_nothing(runner: Runner, recipe_folder: Callable[[str], Path]) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    before = (runner.root / "scores.jsonl").read_bytes()
    again = MeanScorer()
    summary, missing = runner.run(noise, scorer=again)
    assert (missing, again.calls, summary.complete) == (0, [], True)
    assert (runner.root / "scores.jsonl").read_bytes() == before


def test_results_do_not_depend_on_batches(
    runner: Runner, tiny_suite: PromptSuite, tmp_path: Path, recipe_folder: Callable[[str], Path]
) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    other = Runner(tiny_suite, tmp_path / "other")
    other.run(noise, batch_size=5)
    assert other.scores() == runner.scores()
    assert [r["hash"] for r in other.records()] == [r["hash"] for r in runner.records()]


def test_missing_item_is_drawn_in_its_own_batch(
    runner: Runner,
    recipe_folder: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    digests = {record["item_id"]: record["digest"] for record in runner.records()}
    (runner.root / "videos" / "noise" / "dog-0-beach.mkv").unlink()
    monkeypatch.setenv("NOISE_LOG", str(tmp_path / "log"))
    assert runner.run(noise)[1] == 1
    assert (tmp_path / "log").read_text() == "batch dog-0-beach dog-0-road\n"
    assert {record["item_id"]: record["digest"] for record in runner.records()} == digests


def test_damaged_video_is_noticed_and_made_again(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    path = runner.root / "videos" / "noise" / "cat-0-road.mkv"
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    assert runner.run(noise)[1] == 1
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("method.py", "np.clip(base", "np.clip(1 + base", 6),
        ("colours.py", "0, 256", "10, 256", 6),
        ("recipe.toml", "strength = 20", "strength = 21", 6),
        ("recipe.toml", "num_inference_steps = 4", "num_inference_steps = 5", 6),
        ("colours.py", "# any colour", "# whatever colour", 0),
        ("method.py", '"""A model of numpy alone.', '"""A model of nothing but numpy.', 0),
        ("recipe.toml", "Noise around a colour", "Some noise around a colour", 0),
        ("recipe.toml", "sample_seconds = 0.01", "sample_seconds = 0.02", 0),
        ("recipe.toml", "batch_size = 2", "batch_size = 3", 0),
    ],
)
def test_what_a_change_costs(
    runner: Runner,
    recipe_folder: Callable[[str], Path],
    name: str,
    old: str,
    new: str,
    expected: int,
) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    text = (noise / name).read_text()
    assert old in text
    (noise / name).write_text(text.replace(old, new))
    summary, missing = runner.run(noise)
    assert missing == expected
    assert summary.complete
    assert len(runner.records()) == 6  # stale records are replaced, not kept beside


def test_changed_code_is_run_not_a_cached_module(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    before = runner.scores()
    (noise / "colours.py").write_text(
        "def base_colour(rng):\n    return 0 * rng.integers(0, 256, 3)\n"
    )
    runner.run(noise)
    assert all(value < 30 for value in runner.scores().values())
    assert before != runner.scores()


def test_failed_item_is_a_record_and_takes_no_other_with_it(
    runner: Runner, recipe_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = recipe_folder("noise")
    monkeypatch.setenv("NOISE_FAILS", "dog-0-beach")
    summary, _ = runner.run(noise)
    assert (summary.done, summary.failed, summary.complete) == (5, 1, False)
    failed = [record for record in runner.records() if record["status"] == "failed"]
    assert [(record["item_id"], record["reason"]) for record in failed] == [
        ("dog-0-beach", "ValueError: cannot draw dog-0-beach at all")
    ]
    assert "method.py" in (runner.root / failed[0]["facts"]["details"]).read_text()
    rows = [row for row in runner.records("scores.jsonl") if row["item_id"] == "dog-0-beach"]
    assert [(row["value"], row["reason"]) for row in rows] == [(None, failed[0]["reason"])] * 2
    assert len(runner.records("scores.jsonl")) == 12

    monkeypatch.delenv("NOISE_FAILS")
    summary, missing = runner.run(noise)
    assert (missing, summary.complete) == (1, True)
    assert None not in runner.scores().values()


def test_failed_fit_fails_the_samples_that_need_it(
    runner: Runner, recipe_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tinted = recipe_folder("tinted")
    monkeypatch.setenv("TINTED_FAILS", "dog-1")
    summary, _ = runner.run(tinted)
    assert (summary.done, summary.failed) == (4, 2)
    reasons = {
        record["item_id"]: record["reason"]
        for record in runner.records()
        if record["status"] == "failed"
    }
    assert reasons == {
        None: "dog-1 has no colour",
        "dog-1-beach": "the fit to dog-1 failed: dog-1 has no colour",
        "dog-1-road": "the fit to dog-1 failed: dog-1 has no colour",
    }
    monkeypatch.delenv("TINTED_FAILS")
    assert runner.run(tinted)[0].complete


def test_model_that_cannot_be_built_fails_alone(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    noise, tinted = recipe_folder("noise"), recipe_folder("tinted")
    (noise / "colours.py").write_text("raise RuntimeError('no colours')\n")
    summary, _ = runner.run(noise, tinted)
    assert (summary.done, summary.failed) == (6, 6)
    assert {r["reason"] for r in runner.records() if r["model"] == "noise"} == {
        "RuntimeError: no colours"
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return []", "the model gave 0 videos for 1 items"),
        (
            "return [None]",
            "the model gave frames of NoneType where uint8 (3, 16, 16, 3) was asked for",
        ),
        ("return [Video(np.zeros((2, 16, 16, 3), np.uint8), 4)]", "frames of uint8 (2, 16, 16, 3)"),
        ("return [Video(np.zeros((3, 16, 16, 3)), 4)]", "frames of float64 (3, 16, 16, 3)"),
    ],
)
def test_wrong_videos_are_failures(
    runner: Runner, recipe_folder: Callable[[str], Path], body: str, reason: str
) -> None:
    noise = recipe_folder("noise")
    text = (noise / "method.py").read_text()
    (noise / "method.py").write_text(text.replace('_log("batch', body + '\n        _log("batch'))
    assert runner.run(noise)[0].failed == 6
    assert all(reason in record["reason"] for record in runner.records())


def test_failed_score_is_a_row_with_a_reason_and_is_tried_again(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    noise = recipe_folder("noise")
    summary, _ = runner.run(noise, scorer=MeanScorer(fails_on="beach"))
    assert (summary.done, summary.failed, summary.unscored) == (6, 0, 3)
    reasons = {row["reason"] for row in runner.records("scores.jsonl") if row["value"] is None}
    assert reasons == {"RuntimeError: no mean today"}
    again = MeanScorer()
    assert runner.run(noise, scorer=again)[0].complete
    assert sorted(again.calls) == [
        ("noise", f"{subject}-beach") for subject in ("cat-0", "dog-0", "dog-1")
    ]


def test_new_metric_version_scores_everything_again_without_sampling(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    noise = recipe_folder("noise")
    runner.run(noise)
    newer = MeanScorer(version="2")
    assert runner.run(noise, scorer=newer)[1] == 0
    assert len(newer.calls) == 6
    assert {row["spec_id"] for row in runner.records("scores.jsonl")} == {"mean-2", "red-2"}


def test_models_of_earlier_runs_stay(runner: Runner, recipe_folder: Callable[[str], Path]) -> None:
    runner.run(recipe_folder("noise"))
    runner.run(recipe_folder("tinted"))
    assert list(json.loads((runner.root / "manifest.json").read_text())["models"]) == [
        "noise",
        "tinted",
    ]
    assert len(runner.records("scores.jsonl")) == 24


def test_global_generators_are_set_for_each_batch(
    runner: Runner, tiny_suite: PromptSuite, tmp_path: Path, recipe_folder: Callable[[str], Path]
) -> None:
    """A model that wrongly draws from numpy's global generator still gives the same videos after an
    interruption."""
    noise = recipe_folder("noise")
    text = (noise / "method.py").read_text()
    (noise / "method.py").write_text(
        text.replace(
            "np.random.default_rng(item.seed)", "np.random.default_rng(np.random.randint(1 << 30))"
        )
    )
    runner.run(noise)
    np.random.seed(5)
    other = Runner(tiny_suite, tmp_path / "other")
    other.run(noise)
    (other.root / "videos" / "noise" / "dog-1-beach.mkv").unlink()
    other.run(noise)
    assert other.scores() == runner.scores()


def test_scores_of_other_metrics_are_kept(
    runner: Runner, recipe_folder: Callable[[str], Path]
) -> None:
    """Scoring one metric alone must not lose what an earlier run measured by another."""
    noise = recipe_folder("noise")
    runner.run(noise)
    before = runner.scores()
    alone = MeanScorer()
    alone.specs = alone.specs[:1]
    runner.run(noise, scorer=alone)
    assert len(before) == 6 * 2
    assert runner.scores() == before
