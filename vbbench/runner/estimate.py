"""How long a plan will take here. Recipes say what a fit and a clip cost on a machine of known
speed; a second of measurement says how fast this one is, at this moment.

In a recipe, seconds on the reference machine::

    [scales.mini.cost]
    fit_seconds = 8.0
    sample_seconds = 0.9
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from vbbench.core.environment import default_threads
from vbbench.core.threads import torch_threads
from vbbench.errors import RecipeError
from vbbench.runner.plan import ModelPlan, Plan
from vbbench.types import Job

# What `measure_rate` gives on the reference machine: one free core of the server on which the
# recipes' costs were measured.
REFERENCE_RATE = 300.0
START_SECONDS = 12.0  # imports, weights and the report, on the reference machine
SCORE_SECONDS = 0.2  # one video by all metrics, there


@dataclass(frozen=True)
class ModelCost:
    """What is left to do of one model, and its cost in seconds; None where the recipe does not
    say."""

    name: str
    fits: int
    samples: int
    seconds: float | None


@dataclass(frozen=True)
class Estimate:
    """Cost of what is left of a plan."""

    models: tuple[ModelCost, ...]
    scoring_seconds: float
    start_seconds: float

    @property
    def seconds(self) -> float:
        """All together; models of unknown cost count nothing."""
        return (
            self.start_seconds
            + self.scoring_seconds
            + sum(model.seconds or 0.0 for model in self.models)
        )

    @property
    def jobs(self) -> int:
        """How many jobs are left."""
        return sum(model.fits + model.samples for model in self.models)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Models whose recipe does not say what they cost."""
        return tuple(model.name for model in self.models if model.seconds is None)


def estimate(plan: Plan, missing: Collection[Job], slowness: float) -> Estimate:
    """Cost of the missing jobs.

    Args:
        slowness: how many times longer this machine takes than the reference machine; see
            `measure_speed`.
    """
    left = set(missing)
    models = tuple(_model_cost(model, left, slowness) for model in plan.models)
    clips = sum(model.samples for model in models)
    return Estimate(models, clips * SCORE_SECONDS * slowness, START_SECONDS * slowness)


def _model_cost(model: ModelPlan, left: Collection[Job], slowness: float) -> ModelCost:
    fits = sum(job in left for job in model.fits)
    samples = sum(job in left for job in model.samples)
    cost: Mapping[str, Any] = model.settings.get("cost", {})
    figures = [cost.get("fit_seconds", 0.0 if not fits else None), cost.get("sample_seconds")]
    if any(
        isinstance(figure, bool) or not isinstance(figure, int | float | None) for figure in figures
    ):
        raise RecipeError(
            f"cost of the model {model.name!r} must be fit_seconds and sample_seconds, in seconds."
        )
    fit_seconds, sample_seconds = figures
    if fit_seconds is None or sample_seconds is None:
        return ModelCost(model.name, fits, samples, None)
    usual_steps = model.settings.get("sampling", {}).get(
        "num_inference_steps", model.params.num_inference_steps
    )
    clip_seconds = sample_seconds * model.params.num_inference_steps / usual_steps
    return ModelCost(
        model.name, fits, samples, slowness * (fits * fit_seconds + samples * clip_seconds)
    )


@dataclass(frozen=True)
class Speed:
    """How fast this machine is just now, with so many CPU threads.

    Attributes:
        slowness: how many times longer it takes than the reference machine.
    """

    threads: int
    slowness: float


def measure_speed(
    threads: int | None, scale: str, device: str = "cpu", seconds: float = 1.0
) -> Speed:
    """Measure for about ``seconds``, with ``threads`` or the scale's own number of threads."""
    count = threads or default_threads(scale, device)
    return Speed(count, REFERENCE_RATE / measure_rate(count, device, seconds))


def measure_rate(threads: int, device: str = "cpu", seconds: float = 1.0) -> float:
    """Rounds a second of a small piece of video network: a convolution, attention among tokens, a
    feed-forward layer."""
    import torch

    with torch_threads(threads), torch.inference_mode():
        return _rounds(device, seconds)


def _rounds(device: str, seconds: float) -> float:
    import torch
    import torch.nn.functional as F

    frames, width, side = 16, 96, 8
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(frames, width, side, side, generator=generator).to(device)
    kernel = (torch.randn(width, width, 3, 3, generator=generator) / 30).to(device)
    feed = (torch.randn(width, width, generator=generator) / 10).to(device)

    def one_round() -> None:
        x = F.silu(F.group_norm(F.conv2d(maps, kernel, padding=1), 8))
        tokens = x.flatten(2).transpose(1, 2).reshape(frames, side * side, 3, 32).transpose(1, 2)
        attended = F.scaled_dot_product_attention(tokens, tokens, tokens)
        F.gelu(attended.transpose(1, 2).reshape(frames * side * side, width) @ feed)

    for _ in range(5):  # first calls choose kernels and start threads
        one_round()
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        one_round()
        if device == "cuda":
            torch.cuda.synchronize()
        done += 1
    return done / elapsed
