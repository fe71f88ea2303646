"""A model is a folder with ``recipe.toml``, whoever wrote it: reading, checking and building it."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import re
import sys
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.errors import RecipeError, UsageError
from vbbench.resources import file_digest
from vbbench.types import Recipe

if TYPE_CHECKING:
    from vbbench.models.base import FittedVideoModel, VideoModel

_KEYS: Mapping[str, type] = {
    "name": str,
    "title": str,
    "description": str,
    "citation": str,
    "entry": str,
    "groups": list,
    "fitted": bool,
    "scales": dict,
}
_REQUIRED = ("name", "title", "entry", "scales")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ENTRY = re.compile(r"([\w./-]+\.py|[A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def names_in(text: str) -> list[str]:
    """The names in a list with commas; what is empty is passed over."""
    return [name.strip() for name in text.split(",") if name.strip()]


def nearest(name: str, known: Iterable[str]) -> str:
    """A half-sentence that helps after a wrong name: the nearest known one, or all of them."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(known)}." if known else "none is known."


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
        entry=table["entry"],
        groups=tuple(table.get("groups", ())),
        fitted=table.get("fitted", False),
        title=table["title"],
        description=table.get("description", ""),
        citation=table.get("citation", ""),
        scales=table["scales"],
        digest=folder_digest(folder),
    )


def _check_recipe(table: Mapping[str, Any], path: Path) -> None:
    for key, value in table.items():
        if key not in _KEYS:
            raise RecipeError(f"{path} has the unknown key {key!r}: {nearest(key, _KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise RecipeError(f"{key} in {path} must be a {_KEYS[key].__name__}, not {value!r}.")
    for key in _REQUIRED:
        if not table.get(key):
            raise RecipeError(f"{path} lacks {key}.")
    if not _NAME.fullmatch(table["name"]):
        raise RecipeError(f"the name {table['name']!r} in {path} must be of a-z, 0-9, '.', '_' and '-'.")
    if not all(isinstance(settings, dict) for settings in table["scales"].values()):
        raise RecipeError(f"scales in {path} must be tables: [scales.mini], for one.")
    entry = _ENTRY.fullmatch(table["entry"])
    if entry is None:
        raise RecipeError(f"entry in {path} must be 'file.py:Class' or 'module:Class', not {table['entry']!r}.")
    if entry[1].endswith(".py") and not (path.parent / entry[1]).is_file():
        raise RecipeError(f"entry in {path} names {entry[1]}, which does not lie beside it.")


def folder_files(folder: Path) -> list[Path]:
    """The files that belong to a recipe, sorted; hidden files and Python's caches do not."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not _is_clutter(path.relative_to(folder)))


def _is_clutter(relative: Path) -> bool:
    return relative.suffix == ".pyc" or any(part.startswith(".") or part == "__pycache__" for part in relative.parts)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a recipe's files."""
    digest = hashlib.sha256()
    for path in folder_files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def scale_settings(recipe: Recipe, scale: str) -> dict[str, Any]:
    """A recipe's settings for one scale, with the scale's name added as ``scale``.

    Raises:
        UsageError: the recipe has none for it.
    """
    if scale not in recipe.scales:
        raise UsageError(f"the model {recipe.name!r} has no scale {scale!r}: it has {', '.join(recipe.scales)}.")
    return {**recipe.scales[scale], "scale": scale}


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
        module = _import_from_folder(recipe, module_name)
    else:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise RecipeError(f"the model {recipe.name!r} needs the module {error.name!r}, which is not installed.") from error
    if not hasattr(module, class_name):
        raise RecipeError(f"the entry {recipe.entry!r} of the model {recipe.name!r} names a class that is not there.")
    return getattr(module, class_name)


def _import_from_folder(recipe: Recipe, file_name: str) -> types.ModuleType:
    """Import a file of a recipe's folder as part of a package of its own, so that ``from .other import x`` works in it.

    The package's name carries the folder's digest: another version of the folder is another package.
    """
    package_name = f"vbbench_recipe_{re.sub(r'[^a-z0-9]', '_', recipe.name)}_{folder_digest(recipe.folder)[:12]}"
    if package_name not in sys.modules:
        package = types.ModuleType(package_name)
        package.__path__ = [str(recipe.folder)]
        sys.modules[package_name] = package
    importlib.invalidate_caches()
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # leave no caches in a user's folder
    try:
        return importlib.import_module(f"{package_name}.{file_name.removesuffix('.py').replace('/', '.')}")
    finally:
        sys.dont_write_bytecode = writes_bytecode
