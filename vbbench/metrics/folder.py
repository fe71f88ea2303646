"""A metric of one's own: a folder with ``metric.toml`` and the Python file that it names.

```toml
name = "sharpness"
title = "Sharpness"
kind = "quality"              # see `vbbench.metrics.meaning`
direction = "higher"
entry = "metric.py:Sharpness" # constructed as Sharpness(setting, **settings)

[settings]
```
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.names import nearest
from vbbench.core.plugins import import_file
from vbbench.errors import RecipeError, VBBenchError
from vbbench.metrics.meaning import DIRECTIONS, KINDS
from vbbench.metrics.spec import with_meaning
from vbbench.types import MetricSpec

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric
    from vbbench.metrics.encoders.setting import Setting

FILE = "metric.toml"
_TEXTS = ("name", "title", "kind", "direction", "entry")
_KEYS: Mapping[str, type] = {**dict.fromkeys(_TEXTS, str), "settings": dict}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ENTRY = re.compile(r"([\w./-]+\.py):([A-Za-z_]\w*)")


@dataclass(frozen=True)
class MetricFolder:
    """A metric.toml, read and checked.

    Attributes:
        name: how the metric is called.
        kind, title, direction: see `vbbench.metrics.meaning`.
        entry: ``file.py:Class`` inside the folder.
        settings: further arguments of the class.
    """

    name: str
    folder: Path
    kind: str
    title: str
    direction: str
    entry: str
    settings: Mapping[str, Any]


def load_metric_folder(folder: Path | str) -> MetricFolder:
    """Read and check the metric in a folder. Runs none of its code.

    Raises:
        RecipeError: no metric.toml there, or it cannot be understood; the message says where.
    """
    folder = Path(folder).expanduser().resolve()
    path = folder / FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{folder} is not a metric: it has no {FILE}.") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read: {error}.") from None
    _check_keys(table, path)
    _check_values(table, path)
    texts = {key: table[key] for key in _TEXTS}
    return MetricFolder(folder=folder, settings=table.get("settings", {}), **texts)


def _check_keys(table: Mapping[str, Any], path: Path) -> None:
    for key, value in table.items():
        if key not in _KEYS:
            raise RecipeError(f"{path} has the unknown key {key!r}: {nearest(key, _KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise RecipeError(f"{key} in {path} must be a {_KEYS[key].__name__}, not {value!r}.")
    for key in _TEXTS:
        if not table.get(key, "").strip():
            raise RecipeError(f"{path} lacks {key}.")


def _check_values(table: Mapping[str, Any], path: Path) -> None:
    if not _NAME.fullmatch(table["name"]):
        raise RecipeError(
            f"the name {table['name']!r} in {path} must be of a-z, 0-9, '.', '_' and '-'."
        )
    for key, known in (("kind", KINDS), ("direction", DIRECTIONS)):
        if table[key] not in known:
            raise RecipeError(f"there is no {key} {table[key]!r} in {path}: {', '.join(known)}.")
    entry = _ENTRY.fullmatch(table["entry"])
    if entry is None:
        raise RecipeError(f"entry in {path} must be 'file.py:Class', not {table['entry']!r}.")
    code = (path.parent / entry[1]).resolve()
    if not code.is_relative_to(path.parent) or not code.is_file():
        raise RecipeError(f"entry in {path} names {entry[1]}, which does not lie in its folder.")


def build_metric(found: MetricFolder, setting: Setting) -> Metric:
    """Import a metric's class and build it; what metric.toml says stands beside its spec.

    Raises:
        RecipeError: the class is not there, cannot be built, or its spec contradicts metric.toml.
        VBBenchError: the class raised it itself.
    """
    where = f"the metric {found.name!r} in {found.folder}"
    file_name, class_name = found.entry.split(":")
    try:
        module = import_file(found.folder, file_name, "metric", found.name)
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{where} cannot be imported: {_in_words(error)}.") from error
    if not hasattr(module, class_name):
        raise RecipeError(f"{where} has no class {class_name} in {file_name}.")
    try:
        metric: Metric = getattr(module, class_name)(setting, **found.settings)
        spec = metric.spec
    except VBBenchError:
        raise
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{where} cannot be built: {_in_words(error)}.") from error
    if not isinstance(spec, MetricSpec):
        raise RecipeError(f"{where} needs a MetricSpec as its spec, not {spec!r}.")
    if spec.name != found.name:
        raise RecipeError(f"{where} has a spec called {spec.name!r}: give both one name.")
    beside = {"kind": found.kind, "title": found.title, "direction": found.direction}
    try:
        metric.spec = with_meaning(spec, beside)
    except ValueError as error:
        raise RecipeError(f"{where} contradicts itself: {error}.") from error
    return metric


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
