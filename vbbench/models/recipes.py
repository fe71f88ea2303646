"""A model is a folder with ``recipe.toml``, whoever wrote it: reading, checking and building it."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.digests import file_digest, folder_digest, sha256_of
from vbbench.core.names import nearest
from vbbench.core.paths import seeded_name
from vbbench.core.plugins import import_file
from vbbench.errors import RecipeError, UsageError
from vbbench.types import Recipe

if TYPE_CHECKING:
    from vbbench.models.base import FittedVideoModel, VideoModel

CARD_KEYS = ("sees", "tunes", "stores", "costs")
NEEDS = ("reference_video", "other_video")
ROLES = ("ceiling", "floor", "copy", "shuffled", "flicker")
"""What reference rows show: the subject itself, another of its class, a copy of the image prompt,
frames in the wrong order, unsteady frames."""
_ROLE_LINE = re.compile(rb"(?m)^role[ \t]*=.*\n?")
SEED_MARK = "@"
_REQUIRED = ("name", "title", "scales")
COMMAND_ENTRY = "vbbench.models.command:CommandModel"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ENTRY = re.compile(r"([\w./-]+\.py|[A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def is_name(text: str) -> bool:
    """Whether a model may be called so."""
    return _NAME.fullmatch(text) is not None


def load_recipe(folder: Path | str) -> Recipe:
    """Read and check the recipe in a folder. Runs none of its code.

    Raises:
        RecipeError: no recipe.toml there, or it cannot be understood; the message says where.
    """
    folder = Path(folder).resolve()
    path = folder / "recipe.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{folder} is not a model: it has no recipe.toml.") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}.") from None
    _check_recipe(table, path)
    return Recipe(
        name=table["name"],
        folder=folder,
        entry=table.get("entry", COMMAND_ENTRY),
        groups=tuple(table.get("groups", ())),
        fitted=table.get("fitted", False),
        title=table["title"],
        description=table.get("description", ""),
        citation=table.get("citation", ""),
        scales=table["scales"],
        digest=_digest(folder),
        card=table.get("card", {}),
        command=tuple(table.get("command", ())),
        needs=tuple(table.get("needs", ())),
        role=table.get("role", ""),
        training_seed=0
        if any(settings.get("own") for settings in table["scales"].values())
        else None,
    )


def _digest(folder: Path) -> str:
    """`vbbench.core.digests.folder_digest`, without the line ``role`` of recipe.toml: it says how to
    read a row, and changes no video."""

    def digest_of(path: Path) -> str:
        if path == folder / "recipe.toml":
            return sha256_of(_ROLE_LINE.sub(b"", path.read_bytes()))
        return file_digest(path)

    return folder_digest(folder, digest_of)


def with_training_seed(recipe: Recipe, training_seed: int) -> Recipe:
    """The same method with the weights of another training: ``name@1`` has those called
    ``<weights>-seed1``.

    Raises:
        UsageError: the method has no weights of its own.
    """
    if recipe.training_seed is None:
        raise UsageError(
            f"the model {recipe.name!r} has no weights of its own training, so there is no {recipe.name}{SEED_MARK}{training_seed}."
        )
    scales = {}
    for scale, settings in recipe.scales.items():
        own = settings.get("own", ())
        weights = {
            part: seeded_name(name, training_seed if part in own else 0)
            for part, name in settings.get("weights", {}).items()
        }
        scales[scale] = {**settings, "weights": weights} if weights else settings
    name, title = (
        f"{recipe.name}{SEED_MARK}{training_seed}",
        f"{recipe.title} (training {training_seed})",
    )
    return replace(recipe, name=name, title=title, scales=scales, training_seed=training_seed)


def _check_recipe(table: Mapping[str, Any], path: Path) -> None:
    from vbbench.models.recipe_file import check_recipe_file

    check_recipe_file(table, path)
    for key in _REQUIRED:
        if not table.get(key):
            raise RecipeError(f"{path} lacks {key}.")
    if not is_name(table["name"]):
        raise RecipeError(
            f"the name {table['name']!r} in {path} must be of a-z, 0-9, '.', '_' and '-'."
        )
    _check_lists(table, path)
    for settings in table["scales"].values():
        _check_settings(settings, path)
    _check_what_runs(table, path)


def _check_lists(table: Mapping[str, Any], path: Path) -> None:
    """Card, groups, needs and role."""
    for key, value in table.get("card", {}).items():
        if key not in CARD_KEYS or not isinstance(value, str):
            raise RecipeError(
                f"card in {path} holds sentences called {', '.join(CARD_KEYS)}, not {key} = {value!r}."
            )
    if not all(isinstance(group, str) for group in table.get("groups", [])):
        raise RecipeError(f"groups in {path} must be a list of names, not {table['groups']!r}.")
    if not all(need in NEEDS for need in table.get("needs", [])):
        raise RecipeError(
            f"needs in {path} must list what items of a suite may lack, {' and '.join(NEEDS)}, not {table['needs']!r}."
        )
    if table.get("role", ROLES[0]) not in ROLES:
        raise RecipeError(
            f"role in {path} must be one of {', '.join(ROLES)}, not {table['role']!r}: "
            f"{nearest(table['role'], ROLES)}"
        )


def _check_settings(settings: Mapping[str, Any], path: Path) -> None:
    """Which of a scale's weights are the model's own."""
    own, weights = settings.get("own", []), settings.get("weights", {})
    if not isinstance(own, list) or not all(
        isinstance(part, str) and part in weights for part in own
    ):
        raise RecipeError(f"own in {path} must list parts that stand under weights, not {own!r}.")


def _check_what_runs(table: Mapping[str, Any], path: Path) -> None:
    command = table.get("command")
    if command is None and not table.get("entry"):
        raise RecipeError(
            f"{path} lacks entry, the class that makes the videos, or command, a program that does."
        )
    if command is not None:
        _check_command(command, table, path)
        return
    entry = _ENTRY.fullmatch(table["entry"])
    if entry is None:
        raise RecipeError(
            f"entry in {path} must be 'file.py:Class' or 'module:Class', not {table['entry']!r}."
        )
    if entry[1].endswith(".py") and not (path.parent / entry[1]).resolve().is_relative_to(
        path.parent.resolve()
    ):
        raise RecipeError(f"entry in {path} names {entry[1]}, which lies outside of its folder.")
    if entry[1].endswith(".py") and not (path.parent / entry[1]).is_file():
        raise RecipeError(f"entry in {path} names {entry[1]}, which does not lie beside it.")


def _check_command(command: list[Any], table: Mapping[str, Any], path: Path) -> None:
    if "entry" in table:
        raise RecipeError(
            f"{path} has both entry and command: a class or a program makes the videos, not both."
        )
    if not command or not all(
        isinstance(word, str) and word and "\0" not in word for word in command
    ):
        raise RecipeError(
            f"command in {path} must be a list of words, as in ['python3', 'generate.py'], not {command!r}."
        )
    if table.get("fitted"):
        raise RecipeError(
            f"{path} has both command and fitted: programs are not fitted; write a class with fit, named by entry."
        )
    if any("command" in settings for settings in table["scales"].values()):
        raise RecipeError(f"command in {path} stands above all tables, not in one of a scale.")


def scale_settings(recipe: Recipe, scale: str) -> dict[str, Any]:
    """A recipe's settings for one scale, with the scale's name added as ``scale``, and the program,
    where there is one, as ``command``.

    Raises:
        UsageError: the recipe has none for it.
    """
    if scale not in recipe.scales:
        raise UsageError(
            f"the model {recipe.name!r} has no scale {scale!r}: it has {', '.join(recipe.scales)}."
        )
    command = {"command": list(recipe.command)} if recipe.command else {}
    return {**recipe.scales[scale], **command, "scale": scale}


def build_model(recipe: Recipe, scale: str, device: str) -> VideoModel | FittedVideoModel:
    """Import a model's class and build it.

    Raises:
        UsageError: the recipe has no such scale.
        RecipeError: the entry's module or class is not there.
    """
    settings = scale_settings(recipe, scale)
    return _import_entry(recipe)(settings, device=device, folder=recipe.folder)


def _import_entry(recipe: Recipe) -> Any:
    module_name, class_name = recipe.entry.split(":")
    if module_name.endswith(".py"):
        module = import_file(recipe.folder, module_name, "recipe", recipe.name)
    else:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise RecipeError(
                f"the model {recipe.name!r} needs the module {error.name!r}, which is not installed."
            ) from error
    if not hasattr(module, class_name):
        raise RecipeError(
            f"the entry {recipe.entry!r} of the model {recipe.name!r} names a class that is not there."
        )
    return getattr(module, class_name)
