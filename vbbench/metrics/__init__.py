"""Metrics: a registry of names, nothing imported before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vbbench.core.names import nearest_sentence
from vbbench.errors import UsageError

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric
    from vbbench.metrics.encoders.setting import Setting


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


def check_metric_name(name: str) -> str:
    """The name itself.

    Raises:
        UsageError: there is no such metric; the nearest is named.
    """
    if name not in METRICS:
        raise UsageError(f"there is no metric {name!r}. {nearest_sentence(name, METRICS)}")
    return name


def get_metric(name: str, setting: Setting | None = None) -> Metric:
    """A metric by name.

    Args:
        setting: scale, encoders, precision ...; by default the miniature's.
    Raises:
        UsageError: no such metric, or none at that scale.
        WeightsError: its encoder's weights are missing or damaged.
    """
    from vbbench.metrics.encoders.setting import Setting

    entry = METRICS[check_metric_name(name)]
    module, _, attribute = entry.path.partition(":")
    arguments = {**entry.arguments, "name": name} if entry.named else entry.arguments
    return getattr(importlib.import_module(module), attribute)(setting or Setting(), **arguments)
