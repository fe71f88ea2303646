"""Every recipe at scale sd14: built at full size without weights, and run at tiny size with random
ones."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.tiny import PARAMS
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.models.base import FittedVideoModel, VideoModel
from vbbench.models.recipes import build_model
from vbbench.models.registry import all_recipes
from vbbench.types import PromptItem, Recipe, Video

RECIPES = all_recipes()
FIT = {"steps": 1, "class_clips": 1}
GREY = 1
WITH_NETWORK = sorted(
    name for name, recipe in RECIPES.items() if "base" in recipe.scales["sd14"].get("weights", {})
)


def shortened(recipe: Recipe) -> Recipe:
    """With so few steps of fitting that a test does not wait."""
    settings = {key: FIT.get(key, value) for key, value in recipe.scales["sd14"].items()}
    if "sampling" in settings:
        settings["sampling"] = {**settings["sampling"], "num_inference_steps": 2}
    return replace(recipe, scales={"sd14": settings})


@pytest.fixture
def built(
    request: pytest.FixtureRequest, sd14_weights_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))
    return build_model(shortened(RECIPES[request.param]), "sd14", "cpu")


def generate(name: str, model: Any, items: Sequence[PromptItem]) -> list[Video]:
    if not RECIPES[name].fitted:
        return model.generate(items, PARAMS)
    return model.generate(items, PARAMS, model.fit(items[0].subject, seed=1))


def networks(model: object) -> list[nn.Module]:
    return [module for module in vars(model).values() if isinstance(module, nn.Module)]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_has_a_real_scale(name: str) -> None:
    assert set(RECIPES[name].scales) == {"mini", "sd14"}


@pytest.mark.parametrize("name", WITH_NETWORK)
def test_recipes_build_at_full_size_without_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))  # there are none
    model = build_model(RECIPES[name], "sd14", "meta")
    protocol = FittedVideoModel if RECIPES[name].fitted else VideoModel
    assert isinstance(model, protocol)
    assert list(inspect.signature(model.generate).parameters)[:2] == ["items", "params"]
    parameters = [parameter for module in networks(model) for parameter in module.parameters()]
    assert {parameter.device.type for parameter in parameters} == {"meta"}
    assert (
        1.2e9 < sum(parameter.numel() for parameter in parameters) < 1.8e9
    )  # UNet 1.04, text 0.12, VAE 0.08; image encoder 0.30


@pytest.mark.parametrize(
    ("built", "name"), [(name, name) for name in WITH_NETWORK], indirect=["built"]
)
def test_videos_are_as_asked_for_and_the_same_in_any_company(
    built: Any, name: str, items: Sequence[PromptItem]
) -> None:
    together = generate(name, built, items[:2])  # of one subject
    for video in together:
        assert video.frames.shape == (PARAMS.num_frames, PARAMS.size, PARAMS.size, 3)
        assert video.frames.dtype == np.uint8
        assert np.ptp(video.frames) > 5
    (alone,) = generate(name, built, items[1:2])
    assert np.abs(alone.frames.astype(int) - together[1].frames).max() <= GREY


@pytest.mark.parametrize(
    ("built", "name"), [(name, name) for name in WITH_NETWORK], indirect=["built"]
)
def test_neither_fitting_nor_sampling_changes_a_weight(
    built: Any, name: str, items: Sequence[PromptItem]
) -> None:
    before = [
        {key: value.clone() for key, value in module.state_dict().items()}
        for module in networks(built)
    ]
    generate(name, built, items[:1])
    for state, module in zip(before, networks(built), strict=True):
        for key, value in module.state_dict().items():
            assert torch.equal(value, state[key]), key
