"""What a metric is: a spec, what it reads, and a formula over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.weights import encoder_digest
from vbbench.metrics.spec import make_spec
from vbbench.types import MetricSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from vbbench.metrics.analysis import Analysis
    from vbbench.metrics.encoders.setting import Setting
    from vbbench.metrics.scored_clip import EmbeddedClip


@dataclass(frozen=True)
class Measurement:
    """A metric's value for one video, with what it was pooled from (frames, or pairs of them) where
    that makes sense."""

    value: float
    per_frame: tuple[float, ...] | None = None


class Metric(Protocol):
    """A named number a video gets. `spec` says everything needed to compare it with another
    video's; it is constructed as ``Class(setting)``, with the further arguments that the registry
    holds for its name."""

    spec: MetricSpec
    reads: tuple[Analysis, ...]
    """What is computed from the frames for it, once for all metrics and many videos at a time."""

    def score(self, clip: EmbeddedClip) -> Measurement:
        """The number.

        Raises:
            VBBenchError, ValueError: why this video has none, in a sentence.
        """
        ...


def cosine_spec(setting: Setting, role: str, **known: Any) -> MetricSpec:
    """The spec of a metric that is a mean of cosines over an encoder's embeddings, higher being
    better.

    Args:
        known: fields of `MetricSpec` that the metric decides: ``name``, ``formula`` ...
    Raises:
        UsageError: no such encoder at the scale.
        WeightsError: its weights are missing or damaged.
    """
    config = encoder_config(role, setting)
    usual = {
        "version": "1",
        "unit": "cosine",
        "higher_is_better": True,
        "bounds": (-1.0, 1.0),
        "reads_text": False,
    }
    return make_spec(setting, config, encoder_digest(config, setting), **{**usual, **known})


def pooled(values: Tensor | np.ndarray) -> Measurement:
    """The mean of a formula's values, one a frame or pair, kept beside it."""
    return Measurement(float(values.mean()), tuple(float(v) for v in values))
