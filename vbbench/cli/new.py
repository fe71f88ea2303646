"""``vbbench new``: a recipe folder to begin a model of one's own with."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from vbbench.core.files import atomic_folder
from vbbench.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates" / "new"


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "new",
        help="begin a model of your own",
        description="Write a recipe folder that works as it is, to be changed into a model of your own.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder to be made; its name becomes the model's, e.g. my-method",
    )
    parser.add_argument(
        "--command",
        dest="program",
        action="store_true",
        help="a program in an environment of its own instead of a class",
    )
    parser.set_defaults(command=new)


def new(options: argparse.Namespace) -> int:
    """The command."""
    folder = Path(os.path.abspath(options.folder.expanduser()))
    _check(folder)
    write_recipe(folder, program=options.program)
    shown = os.path.relpath(folder)
    named = shlex.quote(shown if shown.startswith("..") else f"./{shown}")
    print(
        f"Written: {', '.join(sorted(os.path.join(shown, path.name) for path in folder.iterdir()))}"
    )
    print(f"Try it:  vbbench run --models videobooth,{named}")
    return 0


def write_recipe(folder: Path, *, program: bool = False) -> None:
    """Write the template of a recipe into a folder that is not there yet; all of it or nothing.

    Args:
        program: the template of a program (``command``) instead of that of a class (``entry``).
    """
    with atomic_folder(folder) as made:
        for source in sorted((TEMPLATES / ("command" if program else "entry")).iterdir()):
            if source.suffix in (".py", ".toml"):
                shutil.copyfile(source, made / source.name)
        recipe = made / "recipe.toml"
        text = (
            recipe.read_text(encoding="utf-8")
            .replace("NAME", folder.name)
            .replace("TITLE", title_of(folder.name))
        )
        recipe.write_text(text, encoding="utf-8")


def title_of(name: str) -> str:
    """``my-method`` as it stands in tables: ``My method``."""
    return name.replace("-", " ").replace("_", " ").strip().capitalize()


def _check(folder: Path) -> None:
    """Does nothing for a folder that may be made.

    Raises:
        UsageError: a name that no model can have, one that is taken, or something that lies there
            already.
    """
    from vbbench.models.recipes import is_name
    from vbbench.models.registry import all_recipes, groups

    if not is_name(folder.name):
        raise UsageError(
            f"a model cannot be called {folder.name!r}: its name must be of a-z, 0-9, '.', '_' and '-', as in my-method."
        )
    if folder.name in all_recipes() or folder.name in groups():
        raise UsageError(f"there is a model or group {folder.name!r} already: choose another name.")
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already: choose another name, or take it away.")
