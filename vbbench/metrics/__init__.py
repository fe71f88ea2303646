"""Metrics: a registry of names, nothing imported before it is asked for.

Other packages add metrics by the entry-point group ``vbbench.metrics``: each entry point is a
function without arguments that returns folders as `vbbench.metrics.folder` describes them. Anybody
else's metric is named by its folder.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.names import nearest_sentence
from vbbench.core.plugins import is_folder_word, load_plugins, warn_once
from vbbench.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric
    from vbbench.metrics.encoders.setting import Setting
    from vbbench.metrics.folder import MetricFolder

ENTRY_POINT_GROUP = "vbbench.metrics"


@dataclass(frozen=True)
class Entry:
    """Where a metric is: ``module:Class``, constructed as ``Class(setting, **arguments)``; the name
    is an argument where ``named``."""

    path: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    named: bool = True


_LIKENESS = "vbbench.metrics.likeness:Likeness"
_CONSISTENCY = "vbbench.metrics.temporal_consistency:TemporalConsistency"

METRICS: dict[str, Entry] = {
    "clip-text": Entry("vbbench.metrics.clip_text:ClipText", named=False),
    "clip-image": Entry(_LIKENESS, {"role": "clip"}),
    "clip-image-masked": Entry(_LIKENESS, {"role": "clip", "masked": True}),
    "dino": Entry(_LIKENESS, {"role": "dino"}),
    "dino-masked": Entry(_LIKENESS, {"role": "dino", "masked": True}),
    "temporal-consistency": Entry(_CONSISTENCY, {"role": "clip", "pairs": "consecutive"}),
    "temporal-consistency-first": Entry(_CONSISTENCY, {"role": "clip", "pairs": "first"}),
    "temporal-consistency-all": Entry(_CONSISTENCY, {"role": "clip", "pairs": "all"}),
    "dino-consistency": Entry(_CONSISTENCY, {"role": "dino", "pairs": "consecutive"}),
    "dino-consistency-first": Entry(_CONSISTENCY, {"role": "dino", "pairs": "first"}),
    "dino-consistency-all": Entry(_CONSISTENCY, {"role": "dino", "pairs": "all"}),
    "subject-consistency": Entry(
        "vbbench.metrics.temporal_consistency:SubjectConsistency", named=False
    ),
    "motion": Entry("vbbench.metrics.motion:Motion", named=False),
    "true-identity": Entry("vbbench.metrics.true_identity:TrueIdentity", named=False),
}


def metric_names() -> list[str]:
    """Names of all metrics: the bundled ones, then those of installed packages."""
    return [*METRICS, *_plugins()]


def check_metric_name(name: str) -> str:
    """The name itself.

    Raises:
        UsageError: there is no such metric; the nearest is named.
    """
    if name in METRICS:
        return name
    known = metric_names()
    if name not in known:
        raise UsageError(f"there is no metric {name!r}. {nearest_sentence(name, known)}")
    return name


def metric_name(word: str) -> str:
    """The name of a metric that is given by name, or by its folder.

    Raises:
        UsageError: there is no such metric.
        RecipeError: a folder without a sound metric.toml, or with the name of a bundled metric.
    """
    if is_folder_word(word):
        return _read_folder(word).name
    return check_metric_name(word)


def get_metric(word: str, setting: Setting | None = None) -> Metric:
    """A metric by its name, or by its folder.

    Args:
        setting: scale, encoders, precision ...; by default the miniature's.
    Raises:
        UsageError: no such metric, or none at that scale.
        RecipeError: a folder whose metric cannot be read, imported or built.
        WeightsError: its encoder's weights are missing or damaged.
    """
    from vbbench.metrics.encoders.setting import Setting
    from vbbench.metrics.folder import build_metric

    setting = setting or Setting()
    if is_folder_word(word):
        return build_metric(_read_folder(word), setting)
    if check_metric_name(word) not in METRICS:
        return build_metric(_plugins()[word], setting)
    entry = METRICS[word]
    module, _, attribute = entry.path.partition(":")
    arguments = {**entry.arguments, "name": word} if entry.named else entry.arguments
    return getattr(importlib.import_module(module), attribute)(setting, **arguments)


def _read_folder(folder: Path | str) -> MetricFolder:
    from vbbench.metrics.folder import load_metric_folder

    found = load_metric_folder(folder)
    if found.name in METRICS:
        raise RecipeError(
            f"the metric in {found.folder} is called {found.name!r}, as a bundled one: rename it."
        )
    return found


def _plugins() -> dict[str, MetricFolder]:
    """Metrics of installed packages, by name; of two with one name the first."""
    found: dict[str, MetricFolder] = {}
    for plugin in load_plugins(ENTRY_POINT_GROUP, _read_folder):
        first = found.setdefault(plugin.name, plugin)
        if first.folder != plugin.folder:
            warn_once(
                f"two metrics are called {plugin.name!r}: {first.folder} and {plugin.folder}. "
                "The second is left out."
            )
    return found
