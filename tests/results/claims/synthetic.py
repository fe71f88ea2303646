"""Scores with known effects, as a run without videos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.results.synthetic import spec
from vbbench.results.claims.paper_claims import CLAIMS
from vbbench.results.run_data import Clip, ItemFacts, ModelFacts, Result, RunData, SuiteFacts

METRICS = ("dino", "clip-image", "clip-text", "true-identity")
SEEDED = (
    "videobooth-coarse",
    "videobooth-fine",
    "videobooth-joint",
    "videobooth-short",
    "videobooth-joint-coarse-path",
)
FITTED = {"textual-inversion": 60.0, "dreambooth-video": 90.0}
STRENGTH = {
    "text-to-video": 0.1,
    "textual-inversion": 0.2,
    "dreambooth-video": 0.3,
    "elite": 0.4,
    "videobooth": 0.6,
    "videobooth-coarse": 0.40,
    "videobooth-fine": 0.45,
    "videobooth-joint": 0.50,
    "videobooth-short": 0.55,
    "videobooth-joint-coarse-path": 0.13,
    "videobooth-clean-prompt": 0.45,
}
"""The paper's orders, all of them true."""
ARMS = sorted({recipe for claim in CLAIMS for recipe in claim.arms})


def names_of(seeds: int = 3) -> dict[str, tuple[str, int | None]]:
    """Model -> (recipe, training seed), for every arm; those about training with so many seeds."""
    found: dict[str, tuple[str, int | None]] = {}
    for recipe in ARMS:
        untrained = recipe in FITTED or recipe == "text-to-video"
        for seed in range(seeds if recipe in SEEDED else 1):
            found[f"{recipe}@{seed}" if seed else recipe] = (recipe, None if untrained else seed)
    return found


def strengths(
    change: Mapping[str, float] | None = None, *, between: float = 0.002, noise: float = 0.02
) -> Callable[..., float]:
    """A value for (model, recipe, seed, item, individual, metric): strength, individual, training
    and item noise; text is alike for all."""
    strength = STRENGTH | dict(change or {})

    def value(
        model: str, recipe: str, seed: int | None, item: int, individual: int, metric: str
    ) -> float:
        key = [METRICS.index(metric), ARMS.index(recipe)]
        own = np.random.default_rng([1, METRICS.index(metric), individual]).normal(0, 0.05)
        training = (
            0.0 if seed is None else np.random.default_rng([2, *key, seed]).normal(0, between)
        )
        rest = np.random.default_rng([3, *key, seed or 0, item]).normal(0, noise)
        return float((0.6 if metric == "clip-text" else strength[recipe]) + own + training + rest)

    return value


def make_run(
    value: Callable[..., float | str | None],
    models: Mapping[str, tuple[str, int | None]] | None = None,
    *,
    individuals: int = 12,
    each: int = 2,
    metrics: tuple[str, ...] = METRICS,
    failed: Mapping[tuple[str, str], str] | None = None,
    manifests: tuple[Mapping[str, object], ...] = ({"environment": {"cpu": "a cpu"}},),
) -> RunData:
    """The run; `value` gives a score, a reason (str), or None for a score that was never written;
    `failed`: (model, item id) -> reason."""
    models = names_of() if models is None else models
    suite = SuiteFacts("tiny", "1", "ab" * 32, "", "mini", 4, 16, 8)
    items = tuple(
        ItemFacts(f"i{n}", f"dog-{n % individuals}", "dog", "", "", Path())
        for n in range(individuals * each)
    )
    facts = tuple(
        ModelFacts(
            name,
            ("ablations",),
            name,
            {"base": "e" * 64},
            {"steps": 4},
            {"size": 16},
            name,
            recipe,
            seed,
        )
        for name, (recipe, seed) in models.items()
    )
    clips, results = {}, {}
    for name, (recipe, seed) in models.items():
        for number, item in enumerate(items):
            reason = (failed or {}).get((name, item.id))
            clips[name, item.id] = (
                Clip("failed", reason)
                if reason
                else Clip("done", seconds=2.0 + 0.01 * number, peak_memory_mb=700.25)
            )
            for metric in metrics:
                found = (
                    None
                    if reason
                    else value(name, recipe, seed, number, number % individuals, metric)
                )
                result = (
                    Result(found)
                    if isinstance(found, float)
                    else Result(None, reason or found or "not scored yet")
                )
                results[name, item.id, metric] = result
    subjects = dict.fromkeys(item.subject_id for item in items)
    fits = {
        name: tuple((subject, FITTED[recipe] + n, 900.5) for n, subject in enumerate(subjects))
        if recipe in FITTED
        else ()
        for name, (recipe, _) in models.items()
    }
    return RunData(suite, items, facts, tuple(map(spec, metrics)), clips, results, fits, manifests)
