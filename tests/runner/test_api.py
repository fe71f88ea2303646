"""From a request to a run, without a command line: what is prepared, told, and left alone."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runner.stubs import MeanScorer
from vbbench.cli import run as run_command
from vbbench.errors import InputError, RunFolderError, UsageError
from vbbench.models.recipes import load_recipe
from vbbench.runner import api
from vbbench.runner.api import (
    Prepared,
    RunRequest,
    model_list,
    prepare,
    prepare_plan,
    python_call,
    run_prepared,
)
from vbbench.runner.plan import RunConfig, build
from vbbench.runner.progress import Silent
from vbbench.runner.sample import SampleRequest, prepare_sample, run_sample
from vbbench.runner.score_videos import ScoreRequest, prepare_score, score_prepared
from vbbench.runner.scoring import ScoringRequest
from vbbench.runner.store import RunStore
from vbbench.types import PromptSuite

Folder = Callable[[str], Path]


@pytest.fixture
def request_(tiny_suite: PromptSuite, recipe_folder: Folder, tmp_path: Path) -> RunRequest:
    """A run of the tests' models, scored without encoders."""
    return RunRequest(
        models=f"{recipe_folder('noise')},{recipe_folder('tinted')}",
        suite=tiny_suite,
        out=tmp_path / "run",
        references=False,
        scoring=ScoringRequest(("motion",)),
        threads=1,
    )


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.said: list[str] = []
        self.stages: list[tuple[str, int]] = []
        self.stop_at = stop_at

    def stage(self, name: str, total: int) -> None:
        if name == self.stop_at:
            raise KeyboardInterrupt
        self.stages.append((name, total))

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_a_run_is_prepared_and_done_without_a_word(
    request_: RunRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Told()
    with prepare(request_) as prepared:
        assert [len(prepared.missing), len(prepared.plan.jobs)] == [15, 15]
        assert prepared.cost.jobs == 15
        assert prepared.speed.threads == 1
        summary = run_prepared(prepared, told)
    assert (summary.done, summary.complete) == (12, True)
    assert told.said == [prepared.announcement]
    assert told.said[0].startswith("15 jobs to do: about ")
    assert told.stages == [
        ("noise", 6),
        ("tinted: fit", 3),
        ("tinted: sample", 6),
        ("scoring", 12),
    ]
    assert capfd.readouterr() == ("", "")
    with prepare(request_) as again:
        assert again.missing == ()
        assert again.announcement.startswith("All 15 jobs of this plan are done in ")


def test_what_is_prepared_cannot_be_changed(request_: RunRequest) -> None:
    with prepare(dataclasses.replace(request_, dry_run=True)) as prepared:
        for record, name in ((request_, "scale"), (prepared, "plan")):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(record, name, None)


def test_a_dry_run_touches_nothing_and_cannot_be_done(request_: RunRequest) -> None:
    with prepare(dataclasses.replace(request_, dry_run=True)) as prepared:
        assert prepared.scorer is None
        assert prepared.cost.jobs == 15
        with pytest.raises(ValueError, match="dry run"):
            run_prepared(prepared, Silent())
    assert not prepared.root.exists()


def test_notes_are_told_and_kept(request_: RunRequest) -> None:
    told: list[str] = []
    request = dataclasses.replace(request_, references=True, dry_run=True)
    with prepare(request, told.append) as prepared:
        assert told == list(prepared.notes)
    assert told[0].startswith("Note: flicker, other-individual, real-video, shuffled-frames left")


def test_the_folder_is_let_go_where_it_cannot_be_prepared(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("while costs are estimated")

    with monkeypatch.context() as patch:
        patch.setattr(api, "estimate", broken)
        with pytest.raises(MemoryError):
            prepare(request_)
    with prepare(request_), pytest.raises(RunFolderError):
        prepare(request_)
    prepare(request_).store.close()


def test_an_interruption_keeps_what_is_done(request_: RunRequest) -> None:
    with prepare(request_) as prepared:
        with pytest.raises(KeyboardInterrupt):
            run_prepared(prepared, Told(stop_at="tinted: fit"))
        assert "stopped; 6 of 15 jobs are done and kept in" in prepared.interruption()


def test_only_the_named_items_are_done(request_: RunRequest, tiny_suite: PromptSuite) -> None:
    wanted = tiny_suite.items[1].id
    with prepare(dataclasses.replace(request_, items=(wanted,))) as prepared:
        assert {job.item_id for job in prepared.plan.jobs} == {None, wanted}
    with pytest.raises(UsageError, match="did you mean"):
        prepare(dataclasses.replace(request_, items=(wanted[:-1],)))


def test_global_random_generators_are_given_back(request_: RunRequest) -> None:
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    wanted = [random.random(), np.random.random(), float(torch.rand(()))]
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    with prepare(request_) as prepared:
        run_prepared(prepared, Silent())
    assert [random.random(), np.random.random(), float(torch.rand(()))] == wanted


def test_a_plan_that_is_made_already(
    tiny_suite: PromptSuite, recipe_folder: Folder, tmp_path: Path
) -> None:
    plan = build(RunConfig((load_recipe(recipe_folder("noise")),), "mini"), tiny_suite)
    with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
        prepared = prepare_plan(plan, store, MeanScorer(), device="cpu", threads=1)
        assert isinstance(prepared, Prepared)
        assert run_prepared(prepared, Silent()).complete


def test_the_manifest_says_how_it_was_called(request_: RunRequest) -> None:
    call = python_call(dataclasses.replace(request_, steps=3))
    assert call.startswith("vbbench.run('")
    assert call.endswith("/run', references=False, steps=3, threads=1)")
    assert RunRequest().models == run_command.DEFAULT_MODELS
    assert python_call(RunRequest()) == "vbbench.run('videobooth,baselines')"
    with prepare(dataclasses.replace(request_, command=call)) as prepared:
        run_prepared(prepared, Silent())
        manifest = json.loads((prepared.root / "manifest.json").read_text())
    assert manifest["command"] == call


def test_models_from_a_list(tmp_path: Path) -> None:
    assert model_list("a,b") == "a,b"
    assert model_list(["a", tmp_path / "b"]) == f"a,{tmp_path / 'b'}"
    assert model_list(Path("b")) == str(Path("b").absolute())


def test_given_videos_need_one_source(tmp_path: Path) -> None:
    for request in (ScoreRequest(), ScoreRequest(videos=tmp_path, manifest=tmp_path)):
        with pytest.raises(UsageError, match="is needed"), prepare_score(request):
            pass


def test_given_videos_are_scored_without_a_word(
    request_: RunRequest, tiny_suite: PromptSuite, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with prepare(request_) as prepared:
        run_prepared(prepared, Silent())
    told = Told()
    request = ScoreRequest(
        videos=tmp_path / "run" / "videos" / "noise",
        suite=tiny_suite.root,
        out=tmp_path / "scored",
        scoring=request_.scoring,
    )
    with prepare_score(request) as given:
        score_prepared(given, told)
        values = {key[1]: row["value"] for key, row in given.store.scores.items()}
    lines = (tmp_path / "run" / "scores.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert values == {row["item_id"]: row["value"] for row in rows if row["model"] == "noise"}
    assert told.stages == [("reading", 6), ("scoring", 6)]
    assert capfd.readouterr() == ("", "")


def test_one_video_without_a_word(
    tiny_suite: PromptSuite, recipe_folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    image, model = tiny_suite.items[0].image, str(recipe_folder("noise"))
    told: list[str] = []
    prepared = prepare_sample(
        SampleRequest(image, "a cat", "cat", model=model, num_frames=2), told.append
    )
    assert told == list(prepared.notes)
    assert "never photographs" in told[-1]
    threads = torch.get_num_threads()
    assert run_sample(prepared).frames.shape == (2, 64, 64, 3)
    assert torch.get_num_threads() == threads
    assert capfd.readouterr() == ("", "")
    with pytest.raises(InputError, match="not a word of the text"):
        prepare_sample(SampleRequest(image, "a cat", "dog", model=model))
    with pytest.raises(UsageError, match="steps must be"):
        SampleRequest(image, "a cat", "cat", steps=0)
