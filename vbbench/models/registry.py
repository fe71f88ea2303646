"""Names of models and of groups of models; a wrong one is answered with the nearest.

Bundled recipes lie in ``baselines/``. Other packages add theirs by the entry-point group
``vbbench.models``: each entry point is a function without arguments that returns recipe folders.
Anybody else's recipe is named by its folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from vbbench.core.names import names_in, nearest
from vbbench.core.paths import baselines_dir
from vbbench.errors import RecipeError, UsageError
from vbbench.models.recipes import SEED_MARK, load_recipe, with_training_seed
from vbbench.types import Recipe

ENTRY_POINT_GROUP = "vbbench.models"


def all_recipes() -> dict[str, Recipe]:
    """Every recipe that can be called by name: the bundled ones, then those of installed packages.

    Raises:
        RecipeError: one of them cannot be understood, or two have the same name.
    """
    recipes: dict[str, Recipe] = {}
    for folder in _known_folders():
        recipe = load_recipe(folder)
        if recipe.name in recipes:
            raise RecipeError(
                f"two models are called {recipe.name!r}: {recipes[recipe.name].folder} and {recipe.folder}."
            )
        recipes[recipe.name] = recipe
    return recipes


def _known_folders() -> Iterator[Path]:
    yield from sorted(path.parent for path in baselines_dir().glob("*/recipe.toml"))
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            yield from sorted(Path(folder) for folder in entry_point.load()())
        except (
            Exception
        ) as error:  # another package's code: whatever goes wrong in it is told as its fault
            raise RecipeError(
                f"the entry point {entry_point.name!r} of {ENTRY_POINT_GROUP} fails: {error}."
            ) from error


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
    if any(mark in word for mark in "/\\") or word.startswith((".", "~")):
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
