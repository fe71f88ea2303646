"""Names of models and of groups of models; a wrong one is answered with the nearest.

Bundled recipes lie in ``baselines/``. Other packages add theirs by the entry-point group
``vbbench.models``: each entry point is a function without arguments that returns recipe folders. A
package in which anything fails is left out with a warning.
Anybody else's recipe is named by its folder.
"""

from __future__ import annotations

from pathlib import Path

from vbbench.core.names import names_in, nearest
from vbbench.core.paths import baselines_dir
from vbbench.core.plugins import is_folder_word, load_plugins, warn_once
from vbbench.errors import RecipeError, UsageError
from vbbench.models.recipes import SEED_MARK, is_name, load_recipe, with_training_seed
from vbbench.types import Recipe

ENTRY_POINT_GROUP = "vbbench.models"


def all_recipes() -> dict[str, Recipe]:
    """Every recipe that can be called by name: the bundled ones, then those of installed packages.

    Raises:
        RecipeError: a bundled one cannot be understood, or two of them have the same name.
    """
    recipes: dict[str, Recipe] = {}
    for path in sorted(baselines_dir().glob("*/recipe.toml")):
        recipe = load_recipe(path.parent)
        if recipe.name in recipes:
            raise RecipeError(_twins(recipes[recipe.name], recipe))
        recipes[recipe.name] = recipe
    for recipe in load_plugins(ENTRY_POINT_GROUP, load_recipe):
        if recipe.name in recipes:
            warn_once(f"{_twins(recipes[recipe.name], recipe)} The second is left out.")
        else:
            recipes[recipe.name] = recipe
    return recipes


def _twins(first: Recipe, second: Recipe) -> str:
    return f"two models are called {first.name!r}: {first.folder} and {second.folder}."


def bundled_role(name: str) -> str:
    """Role of a bundled reference row, for run folders that were written before manifests told
    it; empty where there is no such row."""
    folder = baselines_dir() / name
    if not is_name(name) or not (folder / "recipe.toml").is_file():
        return ""
    return load_recipe(folder).role


def model_names() -> list[str]:
    """Names of all models that can be called by name, sorted."""
    return sorted(all_recipes())


def groups() -> dict[str, list[str]]:
    """Names of groups and of the models in each."""
    members: dict[str, list[str]] = {}
    for name, recipe in sorted(all_recipes().items()):
        for group in recipe.groups:
            members.setdefault(group, []).append(name)
    return dict(sorted(members.items()))


def resolve_models(text: str) -> list[Recipe]:
    """Recipes for a list as given on the command line, in its order, each once.

    Args:
        text: names, groups and folders, separated by commas: ``videobooth,baselines,./my_method``;
            a name may end in ``@1``, which stands for the same method with the weights of its
            training with seed 1 (`with_training_seed`).
    Raises:
        UsageError: a name that is no model and no group.
        RecipeError: a folder without a sound recipe, or two different models of one name.
    """
    chosen: dict[str, Recipe] = {}
    for word in names_in(text):
        for recipe in _resolve_one(word):
            if chosen.setdefault(recipe.name, recipe).folder != recipe.folder:
                raise RecipeError(
                    f"two models are called {recipe.name!r}: rename the one in {recipe.folder}."
                )
    if not chosen:
        raise UsageError("no model was named.")
    return list(chosen.values())


def _resolve_one(word: str) -> list[Recipe]:
    if is_folder_word(word):
        return [load_recipe(Path(word).expanduser())]
    recipes, members = all_recipes(), groups()
    name, mark, seed = word.rpartition(SEED_MARK)
    if mark and name in recipes and seed.isdecimal():
        return [with_training_seed(recipes[name], int(seed)) if int(seed) else recipes[name]]
    if word in recipes:
        return [recipes[word]]
    if word in members:
        return [recipes[name] for name in members[word]]
    raise UsageError(f"there is no model or group {word!r}: {nearest(word, [*recipes, *members])}")
