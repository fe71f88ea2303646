"""What every page is made with: templates that escape all texts, and style and script copied beside
it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from vbbench.results import formatting


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


@cache
def report_templates() -> Environment:
    """The templates of a report, with the functions that they call."""
    templates = environment("vbbench.report")
    templates.globals.update(settings=settings_in_words, words=formatting, model_page=model_page)
    return templates


def model_page(name: str) -> str:
    """Path of a model's page within the report."""
    return f"models/{formatting.file_name(name)}.html"


def settings_in_words(record: Mapping[str, Any], without: Sequence[str] = ()) -> str:
    """``{"a": 1, "b": [2], "c": {"d": 3}}`` -> ``a 1, b [2], c (d 3)``."""
    written = []
    for key, value in record.items():
        if value is not None and key not in without:
            written.append(f"{key} {_setting_in_words(value)}")
    return ", ".join(written)


def _setting_in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({settings_in_words(value)})"
    if isinstance(value, str):
        return value
    return json.dumps(value)
