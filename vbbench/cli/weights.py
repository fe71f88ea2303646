"""``vbbench weights``: what recipes need, whether it is here and sound, and how to get it here."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.errors import CheckFailed, IncompleteError, UsageError

if TYPE_CHECKING:
    from vbbench.networks.weights.catalog import Need
    from vbbench.networks.weights.conversion import Converted
    from vbbench.networks.weights.verification import Finding
    from vbbench.types import Recipe

# ``vbbench weights fetch`` and ``vbbench weights convert``.

_MB, _GB = 1e6, 1e9


def add_fetch(actions: Any) -> None:
    """Add ``fetch`` to the command line."""
    parser = actions.add_parser(
        "fetch",
        help="download published files and convert them",
        description="Download what the models need of the published files into the hub's cache, and convert it (scale sd14). What is "
        "there already is left alone.",
    )
    parser.add_argument(
        "--models",
        default="videobooth",
        metavar="LIST",
        help="names, groups and recipe folders (default: %(default)s)",
    )
    parser.set_defaults(command=fetch_weights)


def add_convert(actions: Any) -> None:
    """Add ``convert`` to the command line."""
    parser = actions.add_parser(
        "convert",
        help="published files to our layout, and back",
        description="Convert VideoBooth's released files, Stable Diffusion's text encoder, the autoencoder and CLIP (files, or folders "
        "that hold them) into weights of scale sd14; or those back into VideoBooth's two files. Tensors stay bit for bit what they were.",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="files and folders; with --to released: a folder of our weights",
    )
    parser.add_argument(
        "--to", choices=("vbbench", "released"), default="vbbench", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to (default: the folder of the weights of scale sd14)",
    )
    parser.add_argument(
        "--weights",
        default="videobooth",
        metavar="NAME",
        help="with --to released: what was trained (default: %(default)s)",
    )
    parser.add_argument(
        "--coarse-path",
        action="store_true",
        help="also write videobooth-coarse: the coarse path of fine weights",
    )
    parser.add_argument("--replace", action="store_true", help="write over files that are there")
    parser.set_defaults(command=convert_weights)


def recipes_named(names: str | None, scale: str) -> list[Recipe]:
    """The recipes that are asked for; where none is named, all of them.

    Raises:
        UsageError: a wrong name, or a recipe that has no such scale.
    """
    from vbbench.models.recipes import scale_settings
    from vbbench.models.registry import all_recipes, resolve_models

    if names is None:
        return list(all_recipes().values())
    recipes = resolve_models(names)
    for recipe in recipes:
        scale_settings(recipe, scale)
    return recipes


def size_text(size: int | None) -> str:
    """Bytes in words; empty for None."""
    if size is None:
        return ""
    return f"{size / _GB:.2f} GB" if size >= _GB else f"{size / _MB:.2f} MB"


def fetch_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights fetch``.

    Raises:
        WeightsError: a file can neither be found nor downloaded, or it does not fit.
        IncompleteError: something that the models need is not published.
    """
    from vbbench.core.paths import weights_dir
    from vbbench.networks.weights.catalog import needs
    from vbbench.networks.weights.conversion import from_released
    from vbbench.networks.weights.fetch import fetch_files

    recipes, folder = recipes_named(options.models, "sd14"), weights_dir("sd14")
    wanted = list(
        dict.fromkeys(
            each for need in needs(recipes, "sd14") if not need.here for each in need.published
        )
    )
    if wanted:
        print(f"Fetching {', '.join(each.file for each in wanted)} ...", flush=True)
        fetched = fetch_files(wanted)
        origins = {each.path: each.origin for each in fetched}
        _tell(from_released(list(origins), folder, origins=origins), lacking=False)
    for recipe in recipes:
        _fetch_pretrained(recipe)
    if missing := [need for need in needs(recipes, "sd14") if not need.here]:
        raise IncompleteError(
            "; ".join(f"{need.name} is not published ({need.source})" for need in missing) + "."
        )
    print(
        f"Everything is in {folder}."
        if wanted
        else f"Nothing to fetch: everything is here, in {folder}."
    )
    return 0


def _fetch_pretrained(recipe: Recipe) -> None:
    """What a recipe names of the hub itself."""
    from vbbench.networks.weights import pretrained

    settings = {**recipe.scales["sd14"], "scale": "sd14"}
    for source in pretrained.sources(settings).values():
        if source.repository is not None:
            import diffusers

            cls = (
                getattr(diffusers, str(settings.get("pipeline")), None)
                if source.class_name is None
                else None
            )
            print(
                f"The {source.part} of {recipe.name}: {pretrained.fetch(source, cls)}", flush=True
            )


def convert_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights convert``.

    Raises:
        WeightsError: a file cannot be read or does not fit.
        UsageError: options that do not go together, or a file that is there already.
        IncompleteError: what was given does not make everything that scale sd14 needs.
    """
    from vbbench.core.paths import weights_dir
    from vbbench.networks.weights import conversion

    if options.to == "released":
        if options.out is None or len(options.paths) > 1 or options.coarse_path:
            raise UsageError(
                "--to released takes one folder of weights (default: that of scale sd14) and needs --out; --coarse-path is not for it."
            )
        folder = options.paths[0] if options.paths else weights_dir("sd14")
        return _tell(
            conversion.to_released(folder, options.out, options.weights, replace=options.replace)
        )
    if not options.paths:
        raise UsageError("name the files to convert, or folders that hold them.")
    out = options.out or weights_dir("sd14")
    done = conversion.from_released(
        options.paths, out, coarse_path=options.coarse_path, replace=options.replace
    )
    return _tell(done)


def _tell(done: Converted, *, lacking: bool = True) -> int:
    for path in done.written:
        print(f"Written: {path}, {size_text(path.stat().st_size)}")
    if lacking and done.lacking:
        raise IncompleteError(" ".join(done.lacking))
    return 0


SCALES = ("mini", "sd14")
_SHOWN_MODELS = 3


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "weights",
        help="list, fetch, verify and convert weights",
        description="What recipes need, whether it is here, and how to get it.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser(
        "list", help="what each recipe needs: size, licence, source, digest, and whether it is here"
    )
    verified = actions.add_parser(
        "verify",
        help="open every file that is here; hold digest, keys and shapes against its card",
        description="A line a file. Exit code 1: something is wrong; 3: something that is needed is not here.",
    )
    for action in (listed, verified):
        action.add_argument(
            "--scale", choices=SCALES, default="sd14", help="(default: %(default)s)"
        )
        action.add_argument(
            "--models",
            metavar="LIST",
            help="names, groups and recipe folders (default: every model)",
        )
    listed.set_defaults(command=list_weights)
    verified.set_defaults(command=verify_weights)
    add_fetch(actions)
    add_convert(actions)


# --- list
# -------------------------------------------------------------------------------------------------------------


def list_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights list``."""
    from rich.markup import escape

    from vbbench.cli.tables import console, table
    from vbbench.core.paths import weights_dir
    from vbbench.networks.weights.catalog import BASE_NOTE, COARSE_NOTE, needs

    found = needs(recipes_named(options.models, options.scale), options.scale)
    numbers = ("parameters", "size")
    listed = table(
        f"Weights of scale {options.scale}",
        "name",
        "part",
        "needed by",
        *numbers,
        "sha256",
        "here",
        numbers=numbers,
        whole=("name",),
    )
    for need in found:
        count = "" if need.parameters is None else f"{need.parameters:,}"
        known = (
            need.sha256[:12]
            if need.sha256
            else ("no card" if need.here and need.parameters else "")
        )
        cells = (
            need.name,
            ", ".join(need.roles),
            _models(need),
            count,
            size_text(need.size),
            known,
            "yes" if need.here else "no",
        )
        listed.add_row(*map(escape, cells))
    out = console()
    out.print(listed)
    out.print("Sources (licence):")
    for source, names in _by_source(found).items():
        out.print(escape(f"  {', '.join(names)}: {source}"), soft_wrap=True)
    out.print(escape(f"Folder: {weights_dir(options.scale)}"), soft_wrap=True)
    if options.scale == "sd14":
        out.print(
            "Sizes of what is not here are those of float32 weights.",
            BASE_NOTE,
            COARSE_NOTE,
            sep="\n",
            soft_wrap=True,
        )
    return 0


def _by_source(found: list[Need]) -> dict[str, list[str]]:
    """Where things come from, and under which licence -> their names."""
    sources: dict[str, list[str]] = {}
    for need in found:
        licence = f" ({need.licence})" if need.licence else ""
        each = (
            " + ".join(f"{one.file} of {one.repository} ({one.licence})" for one in need.published)
            or f"{need.source}{licence}"
        )
        sources.setdefault(each, []).append(need.name)
    return sources


def _models(need: Need) -> str:
    return (
        ", ".join(need.models)
        if len(need.models) <= _SHOWN_MODELS
        else f"{len(need.models)} models"
    )


# --- verify
# -----------------------------------------------------------------------------------------------------------


def verify_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights verify``.

    Raises:
        CheckFailed: a file is not sound.
        IncompleteError: something that is needed is not here.
    """
    from vbbench.core.paths import weights_dir
    from vbbench.networks.weights.catalog import needs
    from vbbench.networks.weights.verification import verify_file

    found = needs(recipes_named(options.models, options.scale), options.scale)
    files = [
        need.path
        for need in found
        if need.here and need.path is not None and need.path.suffix == ".safetensors"
    ]
    if options.models is None:
        files += sorted(weights_dir(options.scale).glob("*.safetensors"))
    wrong = []
    for path in dict.fromkeys(files):
        finding = verify_file(path, options.scale)
        if finding.sound:
            finding = _as_encoder(finding, options.scale)
        print(
            f"{'sound  ' if finding.sound else 'wrong  '} {path.name}: {finding.told}.", flush=True
        )
        wrong += [] if finding.sound else [path.name]
    missing = [need for need in found if not need.here]
    for need in missing:
        print(f"missing {need.name}: {need.source}; needed by {_models(need)}.")
    if wrong:
        raise CheckFailed(f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not sound.")
    # what nobody has released is missed only by who asked for it
    if needed := [
        need.name
        for need in missing
        if options.models is not None or options.scale == "mini" or need.published
    ]:
        raise IncompleteError(f"not here: {', '.join(needed)}{_remedy(options.scale)}.")
    return 0


def _remedy(scale: str) -> str:
    return "; `vbbench weights fetch` gets what is published" if scale == "sd14" else ""


def _as_encoder(finding: Finding, scale: str) -> Finding:
    """The finding of a scoring encoder of the miniature, put into its network; others as they
    are."""
    from vbbench.errors import WeightsError
    from vbbench.metrics.encoders.configs import ENCODERS

    config = next(
        (
            each
            for role in ENCODERS[scale].values()
            for each in role
            if each.name == finding.path.stem
        ),
        None,
    )
    if scale != "mini" or config is None:
        return finding
    from vbbench.core.weights_file import load_weights
    from vbbench.metrics.encoders.encoders import from_weights

    try:
        tensors, card = load_weights(finding.path, verify=False)
        from_weights(config, tensors, card)
    except WeightsError as error:
        return replace(finding, sound=False, told=str(error).rstrip("."))
    return replace(finding, told=f"digest, {len(tensors)} keys and shapes of a scoring encoder")
