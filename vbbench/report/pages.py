"""What every page is made with: templates that escape all texts, and style and script copied beside
it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(*packages: str) -> Environment:
    """The templates of packages, those of the first before those of the next; an unknown name in
    one is an error."""
    loader = ChoiceLoader([PackageLoader(package) for package in packages])
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def copy_assets(folder: Path, package: str, names: Iterable[str]) -> None:
    """Copy files from a package's templates."""
    for name in names:
        with as_file(files(package) / "templates" / name) as source:
            shutil.copyfile(source, folder / name)
