"""What may stand in recipe.toml, and who says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from vbbench.errors import RecipeError
from vbbench.models import recipe_file
from vbbench.models.evaluation import LATENT_MODELS
from vbbench.models.recipes import load_recipe

PIPELINE = """
name = "theirs"
title = "A pipeline"
entry = "vbbench.models.pipeline:DiffusersPipeline"

[scales.mini]
pipeline = "TextToVideoSDPipeline"

[scales.mini.sampling]
scheduler = "own"
"""
ELITE = """
name = "elite-2"
title = "ELITE"
entry = "vbbench.models.elite.model:Elite"

[scales.mini]
lambda = 0.8
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with such a recipe."""

    def write(text: str) -> Path:
        (tmp_path / "recipe.toml").write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("[scales.mini.outputs]\nresize = true", "unknown table 'outputs', .* mean 'output'"),
        ("[scales.mini.lora]\nrank = 4", r"\[scales.mini\] in .*recipe.toml has the unknown table"),
        (
            '[scales.mini.output]\nframes = "frist"',
            "frames in .*scales.mini.output.* 'evenly', not",
        ),
        ("[scales.mini.output]\nframe = 1", "unknown key 'frame': did you mean 'frames'"),
        ("[scales.mini.memory]\noffload = true", r"\[scales.mini.memory\] of .* does nothing"),
        ("[scales.mini.speed]\ntext_once = true", r"\[scales.mini.speed\] of .* does nothing"),
        ("[scales.mini.pretrained.pipeline]\nfoldr = 'x'", "unknown key 'foldr'"),
        ("[scales.mini.arguments]\nscale = inf", "arguments in .* must be finite"),
        (
            "[scales.mini.cost]\nsample_seconds = nan",
            "sample_seconds in .* must be a finite number",
        ),
        ("[scales.mini.weights]\nbase = 3", "base in .*weights.* must be a text, not 3"),
        ("[scale.sd14]\nsteps = 3", "unknown key 'scale': did you mean 'scales'"),
    ],
)
def test_what_a_pipeline_does_not_read_is_an_error(
    recipe: Callable[[str], Path], more: str, sentence: str
) -> None:
    load_recipe(recipe(PIPELINE))
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(recipe(f"{PIPELINE}\n{more}\n"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("lambda = 0.8", "lamda = 0.8", "unknown key 'lamda', .* did you mean 'lambda'"),
        ("lambda = 0.8", "lambda = nan", "lambda in .* must be finite"),
        ("lambda = 0.8", 'dtype = "int8"', "dtype in .* must be 'float32', .* not 'int8'"),
        ("lambda = 0.8", "memory = {offlod = true}", "'offlod': did you mean 'offload'"),
        ("lambda = 0.8", 'output = {frames = "all"}', "output.* does nothing: vbbench.*Elite"),
    ],
)
def test_a_bundled_class_says_what_it_takes(
    recipe: Callable[[str], Path], old: str, new: str, sentence: str
) -> None:
    load_recipe(recipe(ELITE))
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(recipe(ELITE.replace(old, new)))


def test_a_class_of_somebody_else_takes_what_it_likes_but_our_tables_are_ours(
    recipe_folder: Callable[[str], Path],
) -> None:
    folder = recipe_folder("noise")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(f"{text}\n[scales.mini.lora]\nrank = [4, nan]\n")
    assert load_recipe(folder).scales["mini"]["lora"]["rank"][0] == 4
    for table, sentence in (
        ("memory]\noffload = 1", "offload in .*memory.* must be true or false, not 1"),
        ("output]\nframes = 'frist'", "frames in .*output"),
        ("speed]\ncompile = true", "unknown key 'compile': did you mean 'compiled'"),
        ("approximate]\nreuse = 2", "unknown key 'reuse': did you mean 'reuse_features'"),
    ):
        (folder / "recipe.toml").write_text(f"{text}\n[scales.mini.{table}\n")
        with pytest.raises(RecipeError, match=sentence):
            load_recipe(folder)


def test_tables_are_those_of_the_code_that_reads_them() -> None:
    from vbbench.models.pipeline import OUTPUT_KEYS
    from vbbench.networks.placement import Memory
    from vbbench.networks.precision import DTYPES
    from vbbench.networks.sampling.speed import Approximate, Speed

    for table, read in (
        (recipe_file.SpeedTable, Speed),
        (recipe_file.ApproximateTable, Approximate),
        (recipe_file.MemoryTable, Memory),
    ):
        assert list(table.model_fields) == [field.name for field in fields(read)]
    assert {
        name: get_args(field.annotation) or (False, True)
        for name, field in recipe_file.OutputTable.model_fields.items()
    } == OUTPUT_KEYS
    assert get_args(recipe_file.Dtype) == tuple(DTYPES)


def test_entries_are_classes_that_exist() -> None:
    assert set(LATENT_MODELS) <= set(recipe_file.TAKES)
    for entry in recipe_file.TAKES:
        module, name = entry.split(":")
        assert isinstance(getattr(import_module(module), name), type)
