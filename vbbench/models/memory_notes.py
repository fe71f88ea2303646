"""What ``run`` and ``sample`` say of memory before anything is loaded. The miniature fits
everywhere; nothing is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vbbench.errors import VBBenchError

if TYPE_CHECKING:
    from vbbench.types import Recipe, SamplingParams


def memory_estimates(
    wanted: Iterable[tuple[Recipe, SamplingParams]], scale: str, device: str
) -> Iterator[tuple[str, str]]:
    """For each model whose sizes are known, what it needs, and a warning where that will not fit
    (else empty).

    Args:
        wanted: models, and how they are to be sampled.
        device: ``cpu`` or ``cuda``.
    """
    if scale == "mini":
        return
    from vbbench.models.memory import estimate_memory, free_memory, what_helps

    free = free_memory(device)
    for recipe, params in wanted:
        if not recipe.scales.get(scale, {}).get("sampling"):
            continue
        try:
            estimate = estimate_memory(recipe, scale, params, device)
        except VBBenchError:  # told when the model is built
            continue
        if estimate is not None:
            yield (
                f"{recipe.name}: {estimate}",
                what_helps(estimate, recipe, scale, params, device, free),
            )
