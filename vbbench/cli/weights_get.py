"""``vbbench weights fetch`` and ``vbbench weights convert``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from vbbench.models.conversion import Converted
    from vbbench.types import Recipe

_MB, _GB = 1e6, 1e9


def add_fetch(actions: Any) -> None:
    """Add ``fetch`` to the command line."""
    parser = actions.add_parser(
        "fetch",
        help="download published files and convert them",
        description="Download what the models need of the published files into the hub's cache, and convert it (scale sd14). What is "
        "there already is left alone.",
    )
    parser.add_argument("--models", default="videobooth", metavar="LIST", help="names, groups and recipe folders (default: %(default)s)")
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
        "paths", nargs="*", type=Path, metavar="PATH", help="files and folders; with --to released: a folder of our weights"
    )
    parser.add_argument("--to", choices=("vbbench", "released"), default="vbbench", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: the folder of the weights of scale sd14)")
    parser.add_argument(
        "--weights", default="videobooth", metavar="NAME", help="with --to released: what was trained (default: %(default)s)"
    )
    parser.add_argument("--coarse-path", action="store_true", help="also write videobooth-coarse: the coarse path of fine weights")
    parser.add_argument("--replace", action="store_true", help="write over files that are there")
    parser.set_defaults(command=convert_weights)


def recipes_named(names: str | None, scale: str) -> list[Recipe]:
    """The recipes that are asked for; where none is named, all of them.

    Raises:
        UsageError: a wrong name, or a recipe that has no such scale.
    """
    from vbbench.registry import all_recipes, resolve_models, scale_settings

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
    from vbbench.models.catalog import needs
    from vbbench.models.conversion import from_released
    from vbbench.models.hub_files import fetch_files
    from vbbench.resources import weights_dir

    recipes, folder = recipes_named(options.models, "sd14"), weights_dir("sd14")
    wanted = list(dict.fromkeys(each for need in needs(recipes, "sd14") if not need.here for each in need.published))
    if wanted:
        print(f"Fetching {', '.join(each.file for each in wanted)} ...", flush=True)
        fetched = fetch_files(wanted)
        origins = {each.path: each.origin for each in fetched}
        _tell(from_released(list(origins), folder, origins=origins), lacking=False)
    for recipe in recipes:
        _fetch_pretrained(recipe)
    if missing := [need for need in needs(recipes, "sd14") if not need.here]:
        raise IncompleteError("; ".join(f"{need.name} is not published ({need.source})" for need in missing) + ".")
    print(f"Everything is in {folder}." if wanted else f"Nothing to fetch: everything is here, in {folder}.")
    return 0


def _fetch_pretrained(recipe: Recipe) -> None:
    """What a recipe names of the hub itself."""
    from vbbench.models import pretrained

    settings = {**recipe.scales["sd14"], "scale": "sd14"}
    for source in pretrained.sources(settings).values():
        if source.repository is not None:
            import diffusers

            cls = getattr(diffusers, str(settings.get("pipeline")), None) if source.class_name is None else None
            print(f"The {source.part} of {recipe.name}: {pretrained.fetch(source, cls)}", flush=True)


def convert_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights convert``.

    Raises:
        WeightsError: a file cannot be read or does not fit.
        UsageError: options that do not go together, or a file that is there already.
        IncompleteError: what was given does not make everything that scale sd14 needs.
    """
    from vbbench.models import conversion
    from vbbench.resources import weights_dir

    if options.to == "released":
        if options.out is None or len(options.paths) > 1 or options.coarse_path:
            raise UsageError(
                "--to released takes one folder of weights (default: that of scale sd14) and needs --out; --coarse-path is not for it."
            )
        folder = options.paths[0] if options.paths else weights_dir("sd14")
        return _tell(conversion.to_released(folder, options.out, options.weights, replace=options.replace))
    if not options.paths:
        raise UsageError("name the files to convert, or folders that hold them.")
    out = options.out or weights_dir("sd14")
    done = conversion.from_released(options.paths, out, coarse_path=options.coarse_path, replace=options.replace)
    return _tell(done)


def _tell(done: Converted, *, lacking: bool = True) -> int:
    for path in done.written:
        print(f"Written: {path}, {size_text(path.stat().st_size)}")
    if lacking and done.lacking:
        raise IncompleteError(" ".join(done.lacking))
    return 0
