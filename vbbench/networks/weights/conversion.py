"""Published files -> weights as `vbbench.models.loading` reads them at scale sd14, and VideoBooth's
two files back. Bit for bit.

Keys and shapes of all parts are checked before anything is written; numbers that are none are found
as a file is written, which is then dropped. What VideoBooth's UNet file holds becomes the base as
it is, with the projections that the released code replaces; those it replaces them with, in the
mapper's file, become ``videobooth``. So both files can be had back.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vbbench.core.digests import file_digest
from vbbench.core.version import __version__
from vbbench.core.weights_file import SCALE_SUFFIX, load_weights, read_card, verified_digest
from vbbench.errors import UsageError, WeightsError
from vbbench.networks.image_encoder import ImageEncoderConfig
from vbbench.networks.network import NetworkConfig
from vbbench.networks.videobooth import COARSE, FINE
from vbbench.networks.weights import released
from vbbench.networks.weights.catalog import MADE_OF
from vbbench.networks.weights.released import KINDS, MAPPER, UNET, Sizes
from vbbench.networks.weights.tensor_files import (
    FLOATING,
    SUFFIXES,
    TensorFile,
    open_tensors,
    write_pickle,
    write_safetensors,
)

# Which of given files is which part of scale sd14: told by what is in them, not by their names.

_NAMED = {"watermark_remove_module": UNET, "mapper": MAPPER}
_VARIANT = re.compile(r"[.-](fp16|non_ema|bf16)\b")


@dataclass(frozen=True)
class Part:
    """One kind's tensors (see `vbbench.networks.weights.released`), by their publisher's names, and
    the file they lie in."""

    kind: str
    file: TensorFile
    tensors: Mapping[str, Tensor] = field(repr=False)


def find_parts(paths: Sequence[Path]) -> dict[str, Part]:
    """Open files, and those in folders, and tell what each is.

    Args:
        paths: a file that is none of `released.KINDS` is passed over in a folder, and refused where
            it is named itself.
    Raises:
        WeightsError: a path that is not there, a file that cannot be read or is another than its
            name says, or two of one kind.
    """
    parts: dict[str, list[Part]] = {}
    for path, named in _files(paths):
        file = open_tensors(path)
        kinds = released.kinds_of(file.tensors)
        _check_name(path, file, kinds)
        if not kinds and named:
            raise WeightsError(
                f"{path} holds {released.what_else(file.tensors)}, and none of {', '.join(KINDS.values())}."
            )
        for kind in sorted(kinds):
            parts.setdefault(kind, []).append(
                Part(kind, file, released.as_published(kind, file.tensors))
            )
    return {kind: _only(found) for kind, found in parts.items()}


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file once, and whether it was named itself."""
    seen = set()
    for path in paths:
        if not path.exists():
            raise WeightsError(f"there is no file or folder {path}.")
        for file in _in_folder(path) if path.is_dir() else [path]:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, not path.is_dir()


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and path.is_file() and not _VARIANT.search(path.name)
    )
    safe = {path.parent for path in found if path.suffix == ".safetensors"}
    return [
        path for path in found if path.suffix != ".bin" or path.parent not in safe
    ]  # the same again, as a pickle


def _check_name(path: Path, file: TensorFile, kinds: set[str]) -> None:
    """A released file's name with something else in it is a mistake."""
    expected = next((kind for name, kind in _NAMED.items() if path.name.startswith(name)), None)
    if expected is not None and expected not in kinds:
        found = " and ".join(KINDS[kind] for kind in sorted(kinds)) or released.what_else(
            file.tensors
        )
        under = f" under its key {file.key!r}" if file.key else ""
        raise WeightsError(
            f"{path} should hold {KINDS[expected]}, and holds {found}{under}: fetch it again, or rename it if that is meant."
        )


def _only(parts: Sequence[Part]) -> Part:
    """The one part of its kind; all of CLIP gives way to a file of one tower alone."""
    if len(parts) > 1:
        alone = [part for part in parts if len(released.kinds_of(part.file.tensors)) == 1]
        parts = alone if len(alone) == 1 else parts
    if len(parts) > 1:
        places = " and ".join(str(part.file.path) for part in parts)
        raise WeightsError(
            f"{KINDS[parts[0].kind]} is there {len(parts)} times, in {places}: name the files that are meant."
        )
    return parts[0]


UNET_FILE, MAPPER_FILE = "watermark_remove_module.pt", "mapper.pt"
UNET_KEY, MAPPER_KEY = "ema_unet", "ema"
BASE, CODEC_FILE, IMAGE_ENCODER_FILE, VIDEOBOOTH, VIDEOBOOTH_COARSE = (
    "base",
    "codec",
    "image-encoder",
    "videobooth",
    "videobooth-coarse",
)
_GB = 1e9


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes:
        written: the files, without their cards.
        lacking: a sentence for each file of scale sd14 that could not be written.
    """

    written: tuple[Path, ...]
    lacking: tuple[str, ...]


# --- there
# ------------------------------------------------------------------------------------------------------------


def from_released(
    paths: Sequence[Path],
    folder: Path,
    sizes: Sizes | None = None,
    *,
    coarse_path: bool = False,
    replace: bool = False,
    origins: Mapping[Path, str] | None = None,
) -> Converted:
    """Write what the published files give of ``base``, ``codec``, ``image-encoder``, ``videobooth``
    and ``videobooth-coarse``.

    Args:
        paths: files and folders.
        folder: where to; of scale sd14's weights.
        sizes: what the files are held against; the real ones by default.
        coarse_path: from a fine mapper also ``videobooth-coarse``: its coarse path alone (the first
            stage's own weights are not released).
        replace: files that are there already.
        origins: repository and commit of files, for the cards.
    Raises:
        WeightsError: a file that cannot be read or does not fit; every misfit is named.
        UsageError: a file is there already, or the disk has no room.
    """
    sizes = sizes or released.real_sizes()
    parts = find_parts(paths)
    if not parts:
        raise WeightsError(
            f"there is no published file of scale sd14 in {', '.join(map(str, paths))}."
        )
    for part in parts.values():
        stage = released.stage_of(part.tensors) if part.kind == MAPPER else FINE
        if wrong := released.misfits(
            part.tensors, released.released_table(sizes, part.kind, stage)
        ):
            raise WeightsError(f"{part.file.path} does not fit as {KINDS[part.kind]}: {wrong}.")
    plans = [*_plain(parts, sizes), *_videobooth(parts, sizes, coarse_path)]
    _check_target(
        [folder / f"{plan.name}.safetensors" for plan in plans],
        [plan.tensors for plan in plans],
        replace,
    )
    cards = _provenance(parts, origins or {})
    for plan in plans:
        write_safetensors(
            folder / f"{plan.name}.safetensors",
            plan.tensors,
            _card(plan, {kind: cards[kind] for kind in plan.kinds}),
            source=" and ".join(str(parts[kind].file.path) for kind in plan.kinds),
        )
    return Converted(
        tuple(folder / f"{plan.name}.safetensors" for plan in plans), tuple(_lacking(parts))
    )


@dataclass(frozen=True)
class _Plan:
    """A file to be written: from which kinds, with which tensors, by our names."""

    name: str
    kinds: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    note: str = ""


def _plain(parts: Mapping[str, Part], sizes: Sizes) -> Iterator[_Plan]:
    configs = {
        BASE: sizes.network.as_dict(),
        CODEC_FILE: {"vae": dict(sizes.vae)},
        IMAGE_ENCODER_FILE: sizes.image_encoder.as_dict(),
    }
    for name, config in configs.items():
        kinds = MADE_OF[name]
        if all(kind in parts for kind in kinds):
            tables = [released.our_names(kind, parts[kind].tensors) for kind in kinds]
            yield _Plan(
                name,
                kinds,
                {key: value for table in tables for key, value in table.items()},
                config,
            )


def _videobooth(parts: Mapping[str, Part], sizes: Sizes, coarse_path: bool) -> Iterator[_Plan]:
    if MAPPER not in parts:
        return
    mapper = parts[MAPPER].tensors
    stage = released.stage_of(mapper)
    names = {FINE: VIDEOBOOTH, COARSE: VIDEOBOOTH_COARSE}
    for each in (stage, COARSE) if coarse_path and stage == FINE else (stage,):
        config = {"stage": each, "noises_image_prompt": True}
        note = "" if each == stage else "the coarse path of weights of the fine stage"
        yield _Plan(
            names[each], (MAPPER,), released.trained_from(mapper, sizes, each), config, note
        )


def _lacking(parts: Mapping[str, Part]) -> Iterator[str]:
    for name, kinds in MADE_OF.items():
        missing = [KINDS[kind] for kind in kinds if kind not in parts]
        if missing:
            yield f"{name} was not written: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not among the files."
        elif name == VIDEOBOOTH and released.stage_of(parts[MAPPER].tensors) == COARSE:
            yield f"{name} was not written: the mapper is of the first stage, and became {VIDEOBOOTH_COARSE}."


def _provenance(
    parts: Mapping[str, Part], origins: Mapping[Path, str]
) -> dict[str, dict[str, Any]]:
    digests = {part.file.path: file_digest(part.file.path) for part in parts.values()}
    found = {}
    for kind, part in parts.items():
        path = part.file.path
        facts = {
            "file": path.name,
            "key": part.file.key,
            "from": origins.get(path),
            "sha256": digests[path],
        }
        found[kind] = {key: value for key, value in facts.items() if value is not None}
    return found


def _card(plan: _Plan, sources: Mapping[str, Any]) -> dict[str, Any]:
    dtypes = sorted({FLOATING[tensor.dtype] for tensor in plan.tensors.values()})
    return {
        "recipe": plan.name,
        "scale": "sd14",
        "made_by": "vbbench weights convert",
        "sources": dict(sources),
        **({"note": plan.note} if plan.note else {}),
        "parameters": sum(tensor.numel() for tensor in plan.tensors.values()),
        "dtype": dtypes[0] if len(dtypes) == 1 else dtypes,
        "config": dict(plan.config),
        "vbbench": __version__,
    }


def _check_target(
    paths: Sequence[Path], tables: Sequence[Mapping[str, Tensor]], replace: bool
) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not replace:
        raise UsageError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already: --replace writes anew."
        )
    needed = sum(tensor.nbytes for table in tables for tensor in table.values())
    place = next(
        (parent for path in paths[:1] for parent in path.absolute().parents if parent.is_dir()),
        None,
    )
    if place is not None and (free := shutil.disk_usage(place).free) < needed:
        raise UsageError(
            f"{place} has {free / _GB:.1f} GB free, and {needed / _GB:.1f} GB would be written: make room, or name --out."
        )


# --- back
# -------------------------------------------------------------------------------------------------------------


def to_released(
    folder: Path, out: Path, weights: str = VIDEOBOOTH, *, replace: bool = False
) -> Converted:
    """Write VideoBooth's two files, for its own code, from weights of this program's layout.

    Args:
        folder: holds ``base`` and ``weights``.
        out: gets ``watermark_remove_module.pt`` (under ``ema_unet``) and ``mapper.pt`` (under
            ``ema``), or the keys that they were under.
        weights: what was trained on the base; with the fine stage's projections, or those of the
            first stage.
        replace: files that are there already.
    Raises:
        WeightsError: weights are missing, damaged, do not fit, or have no place in the released
            files.
        UsageError: a file is there already, or the disk has no room.
    """
    base, base_card = _ours(folder, BASE)
    trained, card = _ours(folder, weights)
    config = card.get("config", {})
    if config.get("stage") not in (FINE, COARSE):
        raise WeightsError(
            f"the weights {weights} are of the stage {config.get('stage')}, and the released code has {COARSE} and {FINE}."
        )
    if config.get("differences"):
        trained = {
            key: value + base.get(key.removeprefix("base."), 0.0) for key, value in trained.items()
        }
    sizes = _sizes_of(folder, base_card, trained)
    unet = {
        key.removeprefix("unet."): value for key, value in base.items() if key.startswith("unet.")
    }
    mapper = released.mapper_file(trained)
    for name, found, kind in ((BASE, unet, UNET), (weights, mapper, MAPPER)):
        if wrong := released.misfits(found, released.released_table(sizes, kind, config["stage"])):
            raise WeightsError(f"the weights {name} in {folder} do not fit: {wrong}.")
    paths = (out / UNET_FILE, out / MAPPER_FILE)
    _check_target(paths, (unet, mapper), replace)
    write_pickle(paths[0], unet, _key_of(base_card, UNET, UNET_KEY))
    write_pickle(paths[1], mapper, _key_of(card, MAPPER, MAPPER_KEY))
    return Converted(paths, ())


def _ours(folder: Path, name: str) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    """Tensors and card of weights in a folder, as they are stored unless that is in eight bits."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise WeightsError(f"there are no weights {path}.")
    verified_digest(path)
    tensors, card = open_tensors(path).tensors, read_card(path)
    return (
        load_weights(path, verify=False)[0]
        if any(key.endswith(SCALE_SUFFIX) for key in tensors)
        else tensors
    ), card


def _sizes_of(folder: Path, base_card: Mapping[str, Any], trained: Mapping[str, Tensor]) -> Sizes:
    """The configurations that the weights' cards state; the real ones where an image encoder has
    none."""
    real = released.real_sizes()
    card = folder / f"{IMAGE_ENCODER_FILE}.json"
    try:
        network = NetworkConfig.from_dict(base_card["config"])
        encoder = (
            ImageEncoderConfig.from_dict(read_card(card)["config"])
            if card.is_file()
            else real.image_encoder
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"a card in {folder} has no configuration that can be built from: {error!r}."
        ) from None
    first = trained.get("mapper.mapping.0.0.weight")
    return Sizes(network, encoder, real.vae, None if first is None else len(first))


def _key_of(card: Mapping[str, Any], kind: str, usual: str) -> str:
    return card.get("sources", {}).get(kind, {}).get("key") or usual
