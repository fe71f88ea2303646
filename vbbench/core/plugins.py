"""Plug-ins: folders that installed packages name, and Python files that lie in such folders.

A package adds folders by an entry point: a function without arguments that returns them. What goes
wrong in a package is one warning; whoever does not use the package is not stopped by it.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

from vbbench.core.digests import folder_digest
from vbbench.core.log import LOG

T = TypeVar("T")
FOLDER_PACKAGE = "vbbench_folder_"
"""How the names of packages begin that stand for folders."""
_warned: set[str] = set()


def load_plugins(group: str, load: Callable[[Path], T]) -> list[T]:
    """What the entry points of a group name, loaded; a package in which anything fails is left out
    with one warning.

    Args:
        group: ``vbbench.models``, ``vbbench.metrics`` or ``vbbench.suites``.
        load: reads one of the folders.
    """
    loaded: list[T] = []
    for entry_point in entry_points(group=group):
        try:
            loaded += _load_all(entry_point, load)
        # another package's code: whatever goes wrong in it is its fault
        except (Exception, SystemExit) as error:
            warn_once(
                f"the entry point {entry_point.name!r} of {group} is left out, for it fails: "
                f"{' '.join(str(error).split()).rstrip('.') or type(error).__name__}."
            )
    return loaded


def _load_all(entry_point: EntryPoint, load: Callable[[Path], T]) -> list[T]:
    folders = sorted(Path(folder) for folder in entry_point.load()())
    return [load(folder) for folder in folders]


def warn_once(message: str) -> None:
    """A warning that is logged once a process."""
    if message not in _warned:
        _warned.add(message)
        LOG.warning("%s", message)


def is_folder_word(word: str) -> bool:
    """Whether a word of the command line names a folder: it has a slash, or begins with . or ~."""
    return any(mark in word for mark in "/\\") or word.startswith((".", "~"))


def import_file(folder: Path, file_name: str, kind: str, name: str) -> types.ModuleType:
    """Import a file of a folder as part of a package of its own, so that ``from .other import x``
    works in it.

    The package's name carries the folder's digest: another version of the folder is another
    package.

    Args:
        file_name: ``method.py`` or ``parts/method.py``.
        kind, name: of the plug-in, for the package's name.
    """
    plain = re.sub(r"[^a-z0-9]", "_", f"{kind}_{name}")
    package_name = f"{FOLDER_PACKAGE}{plain}_{folder_digest(folder)[:12]}"
    if package_name not in sys.modules:
        package = types.ModuleType(package_name)
        package.__path__ = [str(folder)]
        sys.modules[package_name] = package
    importlib.invalidate_caches()
    module = file_name.removesuffix(".py").replace("/", ".")
    # leave no caches in a user's folder
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return importlib.import_module(f"{package_name}.{module}")
    finally:
        sys.dont_write_bytecode = writes_bytecode
