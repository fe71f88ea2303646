"""What each recipe needs besides its code: files of weights and of data, where they come from, and
whether they are here.

No torch here: numbers of parameters are stated, and tests hold them against the classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vbbench.core import paths
from vbbench.core.weights_file import read_card
from vbbench.errors import WeightsError
from vbbench.types import Recipe

SEE_PUBLISHER = "see the publisher"
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Published:
    """A file of the hub that weights of scale sd14 are made of.

    Attributes:
        kind: what it is, one of `vbbench.networks.weights.released.KINDS`.
        repository, file: where on the hub.
        licence: as its publisher states it, where that is certain.
    """

    kind: str
    repository: str
    file: str
    licence: str = SEE_PUBLISHER


PUBLISHED = (
    Published("unet", "yumingj/VideoBooth_models", "watermark_remove_module.pt"),
    Published("mapper", "yumingj/VideoBooth_models", "mapper.pt"),
    Published(
        "text-encoder",
        "CompVis/stable-diffusion-v1-4",
        "text_encoder/model.safetensors",
        "CreativeML Open RAIL-M",
    ),
    Published("codec", "stabilityai/sd-vae-ft-ema", "diffusion_pytorch_model.safetensors", "MIT"),
    Published("image-encoder", "openai/clip-vit-large-patch14", "model.safetensors"),
)
MADE_OF = {
    "base": ("unet", "text-encoder"),
    "codec": ("codec",),
    "image-encoder": ("image-encoder",),
    "videobooth": ("mapper",),
}
PARAMETERS = {
    "base": 1_165_271_044,
    "codec": 83_653_863,
    "image-encoder": 303_179_776,
    "videobooth": 97_635_840,
}
"""Of scale sd14, whose files are of float32."""
STAGE_PARAMETERS = {"coarse": 48_074_240, "fine": 97_635_840, "fine-only": 49_561_600}
ELITE_PARAMETERS = 81_696_000
"""Of what training adds to the base: of VideoBooth's stages, and of ELITE's last."""
BASE_NOTE = "The text-to-video base is not released on its own: VideoBooth's UNet file holds it, with the watermark removal trained on it."
COARSE_NOTE = (
    "The first stage's weights (videobooth-coarse) are not released: `vbbench weights convert --coarse-path` takes the coarse path of "
    "videobooth."
)


@dataclass(frozen=True)
class Need:
    """One thing that recipes need.

    Attributes:
        name: of the weights, or of a file or repository.
        roles: which part of the recipes it is.
        models: names of the recipes.
        path: where it lies, or where it would.
        here: whether it does.
        parameters: how many; None where that is not known.
        size: of the file in bytes; where it is not here, what it will be; None where that is not
            known.
        licence, source: for people.
        sha256: recorded in its card; None where there is none yet.
        published: what it is made of; empty where somebody has to train or to bring it.
    """

    name: str
    roles: tuple[str, ...]
    models: tuple[str, ...]
    path: Path | None
    here: bool
    parameters: int | None = None
    size: int | None = None
    licence: str = ""
    source: str = ""
    sha256: str | None = None
    published: tuple[Published, ...] = ()


def needs(recipes: Iterable[Recipe], scale: str) -> list[Need]:
    """What recipes need at a scale, each thing once; recipes without the scale need nothing.

    Raises:
        RecipeError: a recipe's table of pretrained weights that cannot be understood.
    """
    found: dict[str, Need] = {}
    for recipe in recipes:
        if scale not in recipe.scales:
            continue
        settings = {**recipe.scales[scale], "scale": scale}
        for each in (*_weights(settings), *_data(settings), *_pretrained(settings, recipe)):
            known = found.get(each.name, each)
            roles = tuple(dict.fromkeys((*known.roles, *each.roles)))
            found[each.name] = replace(known, roles=roles, models=(*known.models, recipe.name))
    return list(found.values())


def _weights(settings: Mapping[str, Any]) -> Iterable[Need]:
    for role, name in settings.get("weights", {}).items():
        yield _of_weights(name, role, settings)


def _of_weights(name: str, role: str, settings: Mapping[str, Any]) -> Need:
    scale = settings["scale"]
    path = paths.weights_dir(scale) / f"{name}.safetensors"
    published = (
        tuple(each for kind in MADE_OF.get(name, ()) for each in PUBLISHED if each.kind == kind)
        if scale == "sd14"
        else ()
    )
    parameters = _stated_parameters(name, role, settings) if scale == "sd14" else None
    need = Need(name, (role,), (), path, path.is_file(), published=published)
    if need.here:
        parameters = _parameters(path) or parameters
    size = path.stat().st_size if need.here else parameters and parameters * _FLOAT_BYTES
    licence = "; ".join(dict.fromkeys(each.licence for each in published))
    if not published:
        licence = "vbbench's own" if _is_shipped(path) else ""
    return replace(
        need,
        parameters=parameters,
        size=size,
        licence=licence,
        source=_source(scale, need),
        sha256=_digest(need),
    )


def _stated_parameters(name: str, role: str, settings: Mapping[str, Any]) -> int | None:
    trained = {
        "videobooth": STAGE_PARAMETERS.get(str(settings.get("stage"))),
        "elite": ELITE_PARAMETERS,
    }
    return PARAMETERS.get(name, trained.get(role))


def _source(scale: str, need: Need) -> str:
    if need.published:
        return " + ".join(f"{each.repository}: {each.file}" for each in need.published)
    if scale == "mini":
        return "trained by `vbbench train NAME --scale mini`, and shipped"
    return "trained by whoever uses it: none is released"


def _is_shipped(path: Path) -> bool:
    return not os.environ.get(paths.WEIGHTS_VARIABLE) and path.is_file()


def _digest(need: Need) -> str | None:
    if not need.here or need.path is None:
        return None
    try:
        return read_card(need.path)["sha256"]
    except WeightsError:
        return None


def _parameters(path: Path) -> int | None:
    """Numbers in a safetensors file, from its header; None where that cannot be read. Scales of
    eight-bit weights do not count."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        tensors = (
            entry
            for name, entry in header.items()
            if name != "__metadata__" and not name.endswith(":scale")
        )
        return sum(_product(entry["shape"]) for entry in tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        return None


def _product(shape: Iterable[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _data(settings: Mapping[str, Any]) -> Iterable[Need]:
    for name in settings.get("data", []):
        path = paths.weights_dir(settings["scale"]) / name
        size = path.stat().st_size if path.is_file() else None
        yield Need(
            str(name),
            ("data",),
            (),
            path,
            path.is_file(),
            size=size,
            licence="yours",
            source="your own data; see the recipe",
        )


def _pretrained(settings: Mapping[str, Any], recipe: Recipe) -> Iterable[Need]:
    from vbbench.networks.weights.pretrained import INDEX, cached_file, local_folder, sources

    for part, source in sources(settings).items():
        if source.folder is not None:
            try:
                folder: Path | None = local_folder(source, settings["scale"], recipe.folder)
            except WeightsError:
                folder = None
            yield Need(
                source.folder,
                (part,),
                (),
                folder,
                folder is not None,
                licence=SEE_PUBLISHER,
                source="a folder that the recipe names",
            )
            continue
        index = (
            INDEX if source.class_name is None else f"{source.subfolder}/config.json".lstrip("/")
        )
        path = cached_file(source, index)
        name = f"{source.repository}@{str(source.revision)[:12]}"
        inside = f", {source.subfolder}" if source.subfolder else ""
        yield Need(
            name,
            (part,),
            (),
            path and path.parent,
            path is not None,
            licence=SEE_PUBLISHER,
            source=f"{source.repository}{inside} of the hub",
        )
