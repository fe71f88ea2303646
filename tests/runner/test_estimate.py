"""What a plan is said to cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vbbench.errors import RecipeError
from vbbench.models.recipes import load_recipe
from vbbench.runner.estimate import (
    REFERENCE_RATE,
    SCORE_SECONDS,
    START_SECONDS,
    Speed,
    estimate,
    measure_rate,
    measure_speed,
)
from vbbench.runner.plan import RunConfig, build
from vbbench.types import PromptSuite


def test_cost_is_what_the_recipes_say_times_how_slow_the_machine_is(
    tiny_suite: PromptSuite, recipe_folder: Callable[[str], Path]
) -> None:
    plan = build(
        RunConfig(
            (load_recipe(recipe_folder("noise")), load_recipe(recipe_folder("tinted"))), "mini"
        ),
        tiny_suite,
    )
    cost = estimate(plan, plan.jobs, slowness=3.0)
    assert [(m.name, m.fits, m.samples) for m in cost.models] == [("noise", 0, 6), ("tinted", 3, 6)]
    assert [m.seconds for m in cost.models] == pytest.approx(
        [3 * 6 * 0.01, 3 * (3 * 0.02 + 6 * 0.01)]
    )
    assert cost.seconds == pytest.approx(3 * (START_SECONDS + 12 * SCORE_SECONDS + 0.06 + 0.12))
    config = RunConfig(
        (load_recipe(plan.models[0].recipe.folder),), "mini", {"num_inference_steps": 8}
    )
    half = build(config, tiny_suite)  # twice the recipe's four steps
    assert estimate(half, half.jobs, 1.0).models[0].seconds == pytest.approx(2 * 6 * 0.01)
    rest = estimate(plan, plan.jobs[-2:], slowness=1.0)
    assert [(m.fits, m.samples) for m in rest.models] == [(0, 0), (0, 2)]


def test_unknown_cost_is_named_and_a_wrong_one_refused(
    tiny_suite: PromptSuite, recipe_folder: Callable[[str], Path]
) -> None:
    folder = recipe_folder("noise")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace("sample_seconds = 0.01", ""))
    plan = build(RunConfig((load_recipe(folder),), "mini"), tiny_suite)
    assert estimate(plan, plan.jobs, 1.0).unknown == ("noise",)
    (folder / "recipe.toml").write_text(
        text.replace("sample_seconds = 0.01", 'sample_seconds = "quick"')
    )
    with pytest.raises(RecipeError, match="sample_seconds in .* must be a number, not 'quick'"):
        load_recipe(folder)


def test_rate_is_measured() -> None:
    assert measure_rate(threads=1, seconds=0.1) > 1


def test_the_miniature_runs_on_one_thread_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {1: 150.0, 2: 30.0, 8: 600.0}
    monkeypatch.setattr(
        "vbbench.runner.estimate.measure_rate", lambda threads, device, seconds: rates[threads]
    )
    for cores in (2, 8):
        monkeypatch.setattr("vbbench.core.environment.usable_cores", lambda cores=cores: cores)
        assert measure_speed(None, "mini") == Speed(1, REFERENCE_RATE / 150)
        assert measure_speed(None, "sd14") == Speed(cores, REFERENCE_RATE / rates[cores])
    assert measure_speed(2, "mini") == Speed(2, REFERENCE_RATE / 30)
