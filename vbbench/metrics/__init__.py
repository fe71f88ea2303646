"""Metrics: a registry of names, nothing imported before it is asked for."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from vbbench.errors import UsageError

if TYPE_CHECKING:
    from vbbench.metrics.base import Metric

METRICS: dict[str, str] = {
    "clip-text": "vbbench.metrics.clip_text:ClipText",
    "clip-image": "vbbench.metrics.clip_image:ClipImage",
    "dino": "vbbench.metrics.dino:Dino",
    "temporal-consistency": "vbbench.metrics.temporal_consistency:TemporalConsistency",
    "motion": "vbbench.metrics.motion:Motion",
    "true-identity": "vbbench.metrics.true_identity:TrueIdentity",
}
"""name -> ``module:Class``; the class is constructed as ``Class(scale)``."""


def check_metric_name(name: str) -> str:
    """The name itself.

    Raises:
        UsageError: there is no such metric; the nearest is named.
    """
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(METRICS)}."
        raise UsageError(f"there is no metric {name!r}.{hint}")
    return name


def get_metric(name: str, scale: str = "mini") -> Metric:
    """A metric by name.

    Raises:
        UsageError: no such metric, or none at that scale.
        WeightsError: its encoder's weights are missing or damaged.
    """
    module, _, attribute = METRICS[check_metric_name(name)].partition(":")
    return getattr(importlib.import_module(module), attribute)(scale)
