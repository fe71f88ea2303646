"""``vbbench new``: a folder to begin a model or a metric of one's own with."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from vbbench.core.files import atomic_folder
from vbbench.errors import UsageError

TEMPLATES = Path(__file__).parent / "templates" / "new"


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "new",
        help="begin a model or a metric of your own",
        description="Write a folder that works as it is, to be changed into a model or a metric of your own.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder to be made; its name becomes the model's or metric's, e.g. my-method",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--metric", action="store_true", help="a metric instead of a model")
    what.add_argument(
        "--command",
        dest="program",
        action="store_true",
        help="a program in an environment of its own instead of a class",
    )
    parser.set_defaults(command=new)


def new(options: argparse.Namespace) -> int:
    """The command."""
    folder = Path(os.path.abspath(options.folder.expanduser()))
    if options.metric:
        _check_metric(folder)
        write_template(folder, "metric")
    else:
        _check(folder)
        write_template(folder, "command" if options.program else "entry")
    shown = os.path.relpath(folder)
    named = shlex.quote(shown if shown.startswith("..") else f"./{shown}")
    print(
        f"Written: {', '.join(sorted(os.path.join(shown, path.name) for path in folder.iterdir()))}"
    )
    tried = f"--metrics dino,{named}" if options.metric else f"--models videobooth,{named}"
    print(f"Try it:  vbbench run {tried}")
    return 0


def write_template(folder: Path, kind: str) -> None:
    """Write a template into a folder that is not there yet; all of it or nothing.

    Args:
        kind: a folder of `TEMPLATES`: ``entry`` (a model's class), ``command`` (a program) or
            ``metric``.
    """
    with atomic_folder(folder) as made:
        for source in sorted((TEMPLATES / kind).iterdir()):
            if source.suffix in (".py", ".toml"):
                text = source.read_text(encoding="utf-8")
                text = text.replace('"NAME"', f'"{folder.name}"')
                text = text.replace('"TITLE"', f'"{title_of(folder.name)}"')
                (made / source.name).write_text(text, encoding="utf-8")


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
    _check_free(folder)


def _check_metric(folder: Path) -> None:
    """As `_check`, of a metric's folder."""
    from vbbench.metrics import metric_names
    from vbbench.models.recipes import is_name

    if not is_name(folder.name):
        raise UsageError(
            f"a metric cannot be called {folder.name!r}: its name must be of a-z, 0-9, '.', '_' "
            "and '-', as in my-metric."
        )
    if folder.name in metric_names():
        raise UsageError(f"there is a metric {folder.name!r} already: choose another name.")
    _check_free(folder)


def _check_free(folder: Path) -> None:
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already: choose another name, or take it away.")
