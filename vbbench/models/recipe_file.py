"""recipe.toml: what may stand in it.

A recipe carries settings for its own class, so each of the package's classes says which it takes
(`TAKES`). A class of somebody else may take any; but tables that vbbench itself reads are checked
for everybody.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from vbbench.core.names import nearest
from vbbench.core.schema import STRICT, Header, complaints, in_toml, worst
from vbbench.errors import RecipeError
from vbbench.networks.weights.pretrained import sources

Table = dict[str, Any]
Dtype = Literal["float32", "float16", "bfloat16"]  # vbbench.networks.precision.DTYPES

COMMON = ("weights", "own", "data", "sampling", "cost")
"""What may stand in a scale's table whatever the class; hashes, plans and estimates read it."""
_LATENT = ("dtype", "speed", "approximate", "memory", "null_text")
TAKES: Mapping[str, tuple[str, ...]] = {
    "vbbench.models.text_to_video:TextToVideo": _LATENT,
    "vbbench.models.videobooth.model:VideoBooth": (*_LATENT, "stage", "image_prompt_noise"),
    "vbbench.models.elite.model:Elite": (*_LATENT, "lambda"),
    "vbbench.models.pipeline:DiffusersPipeline": (
        "pipeline",
        "pretrained",
        "arguments",
        "output",
        "dtype",
    ),
    **dict.fromkeys(
        (
            f"vbbench.models.references:{name}"
            for name in ("RealVideo", "OtherIndividual", "StillImage", "ShuffledFrames", "Flicker")
        ),
        (),
    ),
}
"""Entry of a recipe -> settings and tables of a scale that its class takes, beside `COMMON`."""


class CostTable(Header):
    """[scales.X.cost]: seconds on the reference machine."""

    fit_seconds: float | None = None
    sample_seconds: float | None = None


class SpeedTable(Header):
    """[scales.X.speed]: `vbbench.networks.sampling.speed.Speed`."""

    attention: str = ""
    text_once: bool = True
    batched_guidance: bool = False
    fused_qkv: bool = False
    channels_last: bool = True
    image_cache_mb: float = 0.0
    compiled: bool = False
    cuda_graph: bool = False


class ApproximateTable(Header):
    """[scales.X.approximate]: `vbbench.networks.sampling.speed.Approximate`."""

    reuse_features: int = 1


class MemoryTable(Header):
    """[scales.X.memory]: `vbbench.networks.placement.Memory`."""

    offload: bool = False
    vae_slicing: bool = True
    vae_tiling: bool = False


class OutputTable(Header):
    """[scales.X.output]: `vbbench.models.pipeline.OUTPUT_KEYS`."""

    frames: Literal["all", "first", "evenly"] = "all"
    resize: bool = False


class ScaleTable(Header):
    """[scales.X], as far as vbbench itself reads it; other keys are the class's.

    ``sampling`` is checked where a run is planned, with what the command line asks for; ``own``
    against ``weights`` and ``pretrained`` by `vbbench.networks.weights.pretrained`.
    """

    model_config = ConfigDict(**{**STRICT, "extra": "allow"})

    weights: dict[str, str] = Field(default_factory=dict)
    own: Any = ()
    data: list[str] = Field(default_factory=list)
    sampling: Table = Field(default_factory=dict)
    cost: CostTable = CostTable()
    dtype: Dtype = "float32"
    speed: SpeedTable = SpeedTable()
    approximate: ApproximateTable = ApproximateTable()
    memory: MemoryTable = MemoryTable()
    output: OutputTable = OutputTable()
    pretrained: Any = None


class RecipeFile(Header):
    """recipe.toml. What its values must be beyond their types is said in
    `vbbench.models.recipes`."""

    name: str
    title: str
    description: str = ""
    citation: str = ""
    entry: str = ""
    command: list[Any] | None = None
    groups: list[Any] = Field(default_factory=list)
    needs: list[Any] = Field(default_factory=list)
    fitted: bool = False
    role: str = ""
    card: Table = Field(default_factory=dict)
    scales: dict[str, ScaleTable]


def check_recipe_file(table: Mapping[str, Any], path: Path) -> None:
    """Does nothing if a recipe's keys and tables are known and of the right types.

    Args:
        table: as parsed; ``path`` is the file, for the message.
    Raises:
        RecipeError: one is not; the sentence names file and table.
    """
    try:
        RecipeFile.model_validate(dict(table))
    except ValidationError as error:
        raise RecipeError(in_toml(worst(complaints(error, RecipeFile)), path)) from None
    for scale, settings in table["scales"].items():
        sources({**settings, "scale": scale})
        takes = TAKES.get(table.get("entry", ""))
        if takes is not None:
            _check_own_settings(settings, (*COMMON, *takes), f"[scales.{scale}", table, path)


def _check_own_settings(
    settings: Table, known: tuple[str, ...], where: str, table: Mapping[str, Any], path: Path
) -> None:
    """Settings of a class whose settings are known."""
    entry = table["entry"]
    for key, value in settings.items():
        if key in known:
            if not all(map(math.isfinite, _floats(value))):
                raise RecipeError(f"{key} in {where}] of {path} must be finite, not {value!r}.")
            continue
        shown = f"{where}.{key}]" if isinstance(value, Mapping) else f"{key} in {where}]"
        if key in ScaleTable.model_fields:
            raise RecipeError(
                f"{shown} of {path} does nothing: {entry} does not read it; remove it."
            )
        kind = "table" if isinstance(value, Mapping) else "key"
        raise RecipeError(
            f"{where}] in {path} has the unknown {kind} {key!r}, which {entry} does not read: "
            f"{nearest(key, known)}"
        )


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _floats(inner)
