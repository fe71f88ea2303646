"""How a user asks for another evaluation of a model than its recipe's: numbers and memory. Imports
no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vbbench.networks.precision import DTYPES
from vbbench.types import Recipe

LATENT_MODELS = (
    "vbbench.models.text_to_video:TextToVideo",
    "vbbench.models.videobooth.model:VideoBooth",
    "vbbench.models.elite.model:Elite",
)
TAKES = {
    **dict.fromkeys(LATENT_MODELS, ("dtype", "offload")),
    "vbbench.models.pipeline:DiffusersPipeline": ("dtype",),
}
"""Entry of a recipe -> what can be asked of its model."""


def asked(recipe: Recipe, scale: str, *, dtype: str | None = None, offload: bool = False) -> Recipe:
    """The recipe with ``dtype`` and ``memory.offload`` replaced, as far as its model takes them;
    whatever its scale says goes into the hashes of its jobs.

    Args:
        dtype: one of `vbbench.networks.precision.DTYPES`; None: the recipe's own.
        offload: False: the recipe's own.
    """
    settings = recipe.scales.get(scale)
    takes = TAKES.get(recipe.entry, ()) if settings is not None and not recipe.fitted else ()
    changes: dict[str, object] = {}
    if dtype is not None and "dtype" in takes and dtype != (settings or {}).get("dtype", DTYPES[0]):
        changes["dtype"] = dtype
    if offload and "offload" in takes and settings is not None:
        changes["memory"] = {**settings.get("memory", {}), "offload": True}
    return (
        replace(recipe, scales={**recipe.scales, scale: {**(settings or {}), **changes}})
        if changes
        else recipe
    )


def left_as_they_are(
    recipes: Sequence[Recipe], scale: str, *, dtype: str | None = None, offload: bool = False
) -> list[str]:
    """Names of models that sample by steps and do not take all that is asked."""
    wanted = [
        name
        for name, is_asked in (("dtype", dtype not in (None, DTYPES[0])), ("offload", offload))
        if is_asked
    ]

    def takes_all(recipe: Recipe) -> bool:
        return not wanted or (not recipe.fitted and set(wanted) <= set(TAKES.get(recipe.entry, ())))

    return [
        recipe.name
        for recipe in recipes
        if recipe.scales.get(scale, {}).get("sampling") and not takes_all(recipe)
    ]
