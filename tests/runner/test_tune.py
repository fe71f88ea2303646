"""Tuning: which settings are tried, what is refused, what is chosen, and what stays in the
record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runner.stubs import spec
from vbbench.core.digests import folder_digest
from vbbench.errors import InputError, UsageError
from vbbench.models.recipes import load_recipe
from vbbench.runner import tune
from vbbench.runner.hashing import code_digest
from vbbench.runner.store import RunStore
from vbbench.types import Job, PromptSuite, Video

Folder = Callable[[str], Path]


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("lr=0.01,3e-2", "lr", (0.01, 0.03)),
        ("steps = 40, 80", "steps", (40, 80)),
        ("tuned=all,attention", "tuned", ("all", "attention")),
        ("use=true,false", "use", (True, False)),
        ("day=1979-05-27", "day", ("1979-05-27",)),  # a date is no setting: it stays a word
        ("sampling.guidance_scale=2", "sampling.guidance_scale", (2,)),
    ],
)
def test_settings_are_read_as_toml_reads_them(text: str, key: str, values: tuple[Any, ...]) -> None:
    found = tune.parse_setting(text)
    assert found == (key, values)
    assert list(map(type, found[1])) == list(map(type, values))


@pytest.mark.parametrize("text", ["lr", "=1", "lr=", "lr=1,,2", "lr=1,1"])
def test_settings_that_cannot_be_read_are_told(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        tune.parse_setting(text)


def test_a_small_grid_is_tried_whole_and_in_order() -> None:
    budget = tune.Budget({"lr": (1, 2), "steps": (5, 6)}, 4, 0, "mean")
    wanted = [
        {"lr": 1, "steps": 5},
        {"lr": 1, "steps": 6},
        {"lr": 2, "steps": 5},
        {"lr": 2, "steps": 6},
    ]
    assert tune.trials_of(budget) == wanted


def test_of_a_large_grid_the_seed_chooses() -> None:
    grid = {"lr": tuple(range(10)), "steps": tuple(range(10))}
    first, again, other = (tune.trials_of(tune.Budget(grid, 7, seed, "mean")) for seed in (1, 1, 2))
    assert first == again != other
    assert len({tune.trial_name(settings) for settings in first}) == 7
    everything = tune.trials_of(tune.Budget(grid, 100, 0, "mean"))
    assert first == [settings for settings in everything if settings in first]


def test_a_variant_differs_in_its_settings_alone(recipe_folder: Folder) -> None:
    recipe = load_recipe(recipe_folder("noise"))
    other = tune.variant(recipe, "mini", {"strength": 3, "sampling.guidance_scale": 2})
    assert other.scales["mini"]["strength"] == 3
    assert other.scales["mini"]["sampling"] == {
        "num_inference_steps": 4,
        "guidance_scale": 2.0,
        "batch_size": 2,
    }
    assert type(other.scales["mini"]["sampling"]["guidance_scale"]) is float
    assert recipe.scales["mini"]["strength"] == 20
    assert recipe.scales["mini"]["sampling"]["guidance_scale"] == 1.0
    assert (other.name, other.folder, other.digest) == (recipe.name, recipe.folder, recipe.digest)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"strenght": 3}, "no setting 'strenght' to tune: did you mean 'strength'"),
        ({"strength": 0.5}, "strength of the model 'noise' is a int"),
        ({"strength": True}, "strength of the model 'noise' is a int"),
        ({"sampling": 1}, "sampling of the model 'noise' is a table"),
        ({"samplng.guidance_scale": 1}, "no settings 'samplng' to tune: did you mean 'sampling'"),
        ({"strength.deep": 1}, "no settings 'strength' to tune"),
    ],
)
def test_settings_that_the_recipe_has_not_are_told(
    recipe_folder: Folder, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        tune.variant(load_recipe(recipe_folder("noise")), "mini", settings)


def test_a_scale_that_the_recipe_has_not_is_told(recipe_folder: Folder) -> None:
    with pytest.raises(UsageError, match="no scale 'sd14'"):
        tune.variant(load_recipe(recipe_folder("noise")), "sd14", {"strength": 1})


def test_held_out_individuals_are_refused(tiny_suite: PromptSuite) -> None:
    from vbbench.data.suites import load_suite

    assert tune.refuse_held_out(tiny_suite) == []  # real subjects have no split
    with pytest.raises(
        UsageError, match="split 'test', on which methods are scored: tune on a suite made by"
    ):
        tune.refuse_held_out(load_suite("mini"))


def trial(mean: float | None, scored: int, **settings: object) -> dict[str, Any]:
    return {"settings": settings, "means": {"mean": mean}, "scored": {"mean": scored}}


def test_the_best_mean_is_chosen_whichever_way_is_up() -> None:
    trials = [trial(0.5, 4, lr=1), trial(0.7, 4, lr=2), trial(0.7, 4, lr=3), trial(0.1, 4, lr=4)]
    assert tune.choose(trials, "mean", 4, higher_is_better=True) == {"lr": 2}
    assert tune.choose(trials, "mean", 4, higher_is_better=False) == {"lr": 4}


def test_trials_that_did_not_score_everything_are_not_chosen() -> None:
    assert tune.choose(
        [trial(0.9, 3, lr=1), trial(0.2, 4, lr=2)], "mean", 4, higher_is_better=True
    ) == {"lr": 2}
    assert (
        tune.choose([trial(0.9, 3, lr=1), trial(None, 0, lr=2)], "mean", 4, higher_is_better=True)
        is None
    )


def test_a_trial_replaces_the_earlier_one_of_its_settings() -> None:
    first, second, again = trial(0.5, 4, lr=1), trial(0.6, 4, lr=2), trial(0.4, 4, lr=1)
    assert tune.with_trial([first], second) == [first, second]
    assert tune.with_trial([first, second], again) == [again, second]


def test_the_outcome_is_what_the_run_folder_says(tiny_suite: PromptSuite, tmp_path: Path) -> None:
    import numpy as np

    items, specs = tiny_suite.items, [spec("mean"), spec("red")]
    with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
        for number, item in enumerate(items):
            job = Job("sample", "noise", item.subject.id, item.id, f"{number}")
            if number == 0:
                store.keep_failure(job, "no luck", seconds=9.0, memory_mb=1.0)
                continue
            video = Video(np.full((3, 16, 16, 3), 10 * number, np.uint8), 4)
            store.keep_video(job, video, {}, seconds=float(number), memory_mb=1.0)
            row = {
                "model": "noise",
                "item_id": item.id,
                "metric": "mean",
                "spec_id": "mean-1",
                "value": 10.0 * number,
                "reason": None,
            }
            store.keep_scores([{**row, "per_frame": None, "video_digest": "x"}])
        store.keep_adapter(
            Job("fit", "noise", "cat-0", None, "f"), _adapter(), seconds=4.0, memory_mb=1.0
        )
        found = tune.outcome(store, tiny_suite, "noise", specs)
    assert found == {
        "means": {"mean": 30.0, "red": None},
        "scored": {"mean": 5, "red": 0},
        "fit_seconds": 4.0,
        "sample_seconds": 3.0,
        "failures": ["no luck"],
    }


def _adapter() -> Any:
    import torch

    from vbbench.types import Adapter

    return Adapter("cat-0", {"x": torch.zeros(1)}, {})


def test_a_record_of_another_tuning_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tuning.json"
    assert tune.read_record(path, {"metric": "mean"}) is None
    tune.write_record(path, {"metric": "mean", "trials": [1]})
    assert tune.read_record(path, {"metric": "mean"}) == {"metric": "mean", "trials": [1]}
    with pytest.raises(UsageError, match="records another tuning, which is kept"):
        tune.read_record(path, {"metric": "red"})
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read as the record"):
        tune.read_record(path, {"metric": "mean"})


def test_the_record_beside_a_recipe_changes_no_job(recipe_folder: Folder) -> None:
    folder = recipe_folder("noise")
    before = folder_digest(folder), code_digest(load_recipe(folder))
    tune.write_record(folder / "tuning.json", {"trials": []})
    assert (folder_digest(folder), code_digest(load_recipe(folder))) == before
    (folder / "table.json").write_text("{}")
    assert folder_digest(folder) != before[0]


def test_the_question_can_be_written_and_read_back(
    recipe_folder: Folder, tiny_suite: PromptSuite
) -> None:
    budget = tune.Budget(
        {"strength": (1, 2, 3), "sampling.guidance_scale": (1.5, 2.0)}, 4, 9, "motion"
    )
    question = tune.question_of(
        load_recipe(recipe_folder("noise")), "mini", tiny_suite, ["val"], budget
    )
    assert json.loads(json.dumps(question)) == question
    assert question["budget"] == {"trials": 4, "combinations": 6, "seed": 9}
    assert question["suite"]["digest"] == tiny_suite.digest
    assert (question["suite"]["individuals"], question["suite"]["items"]) == (3, 6)
