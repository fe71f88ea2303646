"""What a manifest's record says of a model."""

from __future__ import annotations

import pytest

from vbbench.report.run_folder import read_model

RECORD = {"groups": ["ablations"], "digest": "c", "weights": {}, "settings": {}}


def test_a_models_recipe_and_training() -> None:
    model = read_model("videobooth-joint@2", RECORD | {"recipe": "videobooth-joint", "training_seed": 2})
    assert (model.name, model.recipe, model.training_seed) == ("videobooth-joint@2", "videobooth-joint", 2)


@pytest.mark.parametrize(("name", "recipe"), [("videobooth-joint@2", "videobooth-joint"), ("elite", "elite")])
def test_a_record_without_them(name: str, recipe: str) -> None:
    model = read_model(name, RECORD)
    assert (model.recipe, model.training_seed) == (recipe, None)
    assert model == read_model(name, RECORD | {"recipe": recipe, "training_seed": 0})


@pytest.mark.parametrize("seed", ["1", 1.5, True, [1]])
def test_a_seed_that_is_no_number_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="is no training seed"):
        read_model("elite", RECORD | {"training_seed": seed})
