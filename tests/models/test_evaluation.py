"""What a user may ask of a model beside its recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vbbench.models.evaluation import LATENT_MODELS, TAKES, asked, left_as_they_are
from vbbench.models.registry import resolve_models
from vbbench.runner.hashing import digest_of, model_content
from vbbench.types import Recipe


def recipe_of(name: str) -> Recipe:
    (recipe,) = resolve_models(name)
    return recipe


def test_the_entries_are_those_of_classes_that_exist() -> None:
    from importlib import import_module

    from vbbench.models.latent_video import LatentVideoModel

    for entry in TAKES:
        module, name = entry.split(":")
        assert issubclass(getattr(import_module(module), name), LatentVideoModel) == (
            entry in LATENT_MODELS
        )


def test_only_what_is_asked_changes() -> None:
    recipe = recipe_of("videobooth")
    assert asked(recipe, "sd14") is recipe
    assert asked(recipe, "sd14", dtype="float32") is recipe  # as it is: its jobs stay the same
    halved = asked(recipe, "sd14", dtype="float16")
    assert asked(halved, "sd14", dtype="float32").scales["sd14"]["dtype"] == "float32"
    changed = asked(recipe, "sd14", dtype="bfloat16", offload=True)
    assert changed.scales["sd14"] == {
        **recipe.scales["sd14"],
        "dtype": "bfloat16",
        "memory": {**recipe.scales["sd14"].get("memory", {}), "offload": True},
    }
    assert changed.scales["mini"] == recipe.scales["mini"]
    tiled = replace(recipe, scales={"sd14": {"memory": {"vae_tiling": True}}})
    assert asked(tiled, "sd14", offload=True).scales["sd14"]["memory"] == {
        "vae_tiling": True,
        "offload": True,
    }
    assert asked(recipe, "no-such-scale", dtype="bfloat16").scales == recipe.scales


def test_models_that_do_not_take_it_stay_as_they_are_and_are_named() -> None:
    recipes = [
        recipe_of(name)
        for name in ("videobooth", "dreambooth-video", "still-image", "text-to-video", "elite")
    ]
    assert left_as_they_are(recipes, "mini", dtype="bfloat16") == ["dreambooth-video"]
    assert left_as_they_are(recipes, "mini", offload=True) == ["dreambooth-video"]
    assert (
        left_as_they_are(recipes, "mini", dtype="float32")
        == left_as_they_are(recipes, "mini")
        == []
    )
    assert asked(recipes[1], "mini", dtype="bfloat16", offload=True) is recipes[1]
    pipeline = replace(
        recipes[0],
        entry="vbbench.models.pipeline:DiffusersPipeline",
        scales={"mini": {"sampling": {"scheduler": "own"}}},
    )
    assert left_as_they_are([pipeline], "mini", dtype="bfloat16") == []
    assert left_as_they_are([pipeline], "mini", dtype="bfloat16", offload=True) == [pipeline.name]
    assert "memory" not in asked(pipeline, "mini", dtype="bfloat16", offload=True).scales["mini"]


@pytest.mark.usefixtures("tiny_weights")
def test_jobs_know_of_the_numbers_and_not_of_the_place() -> None:
    recipe = recipe_of("videobooth")

    def digest(recipe: Recipe) -> str:
        return digest_of(model_content(recipe, "mini", {}))

    assert digest(asked(recipe, "mini", dtype="bfloat16")) != digest(recipe)
    assert digest(asked(recipe, "mini", offload=True)) == digest(recipe)
    tiled = replace(
        recipe, scales={"mini": {**recipe.scales["mini"], "memory": {"vae_tiling": True}}}
    )
    assert digest(tiled) != digest(recipe)
    assert digest(asked(tiled, "mini", offload=True)) == digest(tiled)
