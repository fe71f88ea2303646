"""``vbbench weights``: what recipes need, whether it is here and sound, and how to get it here."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vbbench.cli.weights_get import add_convert, add_fetch, recipes_named, size_text
from vbbench.errors import CheckFailed, IncompleteError

if TYPE_CHECKING:
    from vbbench.models.catalog import Need
    from vbbench.models.verification import Finding

SCALES = ("mini", "sd14")
_SHOWN_MODELS = 3


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "weights", help="list, fetch, verify and convert weights", description="What recipes need, whether it is here, and how to get it."
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="what each recipe needs: size, licence, source, digest, and whether it is here")
    verified = actions.add_parser(
        "verify",
        help="open every file that is here; hold digest, keys and shapes against its card",
        description="A line a file. Exit code 1: something is wrong; 3: something that is needed is not here.",
    )
    for action in (listed, verified):
        action.add_argument("--scale", choices=SCALES, default="sd14", help="(default: %(default)s)")
        action.add_argument("--models", metavar="LIST", help="names, groups and recipe folders (default: every model)")
    listed.set_defaults(command=list_weights)
    verified.set_defaults(command=verify_weights)
    add_fetch(actions)
    add_convert(actions)


# --- list -------------------------------------------------------------------------------------------------------------


def list_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights list``."""
    from rich.markup import escape

    from vbbench.cli.tables import console, table
    from vbbench.models.catalog import BASE_NOTE, COARSE_NOTE, needs
    from vbbench.resources import weights_dir

    found = needs(recipes_named(options.models, options.scale), options.scale)
    numbers = ("parameters", "size")
    listed = table(
        f"Weights of scale {options.scale}", "name", "part", "needed by", *numbers, "sha256", "here", numbers=numbers, whole=("name",)
    )
    for need in found:
        count = "" if need.parameters is None else f"{need.parameters:,}"
        known = need.sha256[:12] if need.sha256 else ("no card" if need.here and need.parameters else "")
        cells = (need.name, ", ".join(need.roles), _models(need), count, size_text(need.size), known, "yes" if need.here else "no")
        listed.add_row(*map(escape, cells))
    out = console()
    out.print(listed)
    out.print("Sources (licence):")
    for source, names in _by_source(found).items():
        out.print(escape(f"  {', '.join(names)}: {source}"), soft_wrap=True)
    out.print(escape(f"Folder: {weights_dir(options.scale)}"), soft_wrap=True)
    if options.scale == "sd14":
        out.print("Sizes of what is not here are those of float32 weights.", BASE_NOTE, COARSE_NOTE, sep="\n", soft_wrap=True)
    return 0


def _by_source(found: list[Need]) -> dict[str, list[str]]:
    """Where things come from, and under which licence -> their names."""
    sources: dict[str, list[str]] = {}
    for need in found:
        licence = f" ({need.licence})" if need.licence else ""
        each = " + ".join(f"{one.file} of {one.repository} ({one.licence})" for one in need.published) or f"{need.source}{licence}"
        sources.setdefault(each, []).append(need.name)
    return sources


def _models(need: Need) -> str:
    return ", ".join(need.models) if len(need.models) <= _SHOWN_MODELS else f"{len(need.models)} models"


# --- verify -----------------------------------------------------------------------------------------------------------


def verify_weights(options: argparse.Namespace) -> int:
    """The command ``vbbench weights verify``.

    Raises:
        CheckFailed: a file is not sound.
        IncompleteError: something that is needed is not here.
    """
    from vbbench.models.catalog import needs
    from vbbench.models.verification import verify_file
    from vbbench.resources import weights_dir

    found = needs(recipes_named(options.models, options.scale), options.scale)
    files = [need.path for need in found if need.here and need.path is not None and need.path.suffix == ".safetensors"]
    if options.models is None:
        files += sorted(weights_dir(options.scale).glob("*.safetensors"))
    wrong = []
    for path in dict.fromkeys(files):
        finding = verify_file(path, options.scale)
        if finding.sound:
            finding = _as_encoder(finding, options.scale)
        print(f"{'sound  ' if finding.sound else 'wrong  '} {path.name}: {finding.told}.", flush=True)
        wrong += [] if finding.sound else [path.name]
    missing = [need for need in found if not need.here]
    for need in missing:
        print(f"missing {need.name}: {need.source}; needed by {_models(need)}.")
    if wrong:
        raise CheckFailed(f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not sound.")
    # what nobody has released is missed only by who asked for it
    if needed := [need.name for need in missing if options.models is not None or options.scale == "mini" or need.published]:
        raise IncompleteError(f"not here: {', '.join(needed)}{_remedy(options.scale)}.")
    return 0


def _remedy(scale: str) -> str:
    return "; `vbbench weights fetch` gets what is published" if scale == "sd14" else ""


def _as_encoder(finding: Finding, scale: str) -> Finding:
    """The finding of a scoring encoder of the miniature, put into its network; others as they are."""
    from vbbench.errors import WeightsError
    from vbbench.metrics.configs import ENCODERS

    config = next((each for role in ENCODERS[scale].values() for each in role if each.name == finding.path.stem), None)
    if scale != "mini" or config is None:
        return finding
    from vbbench.metrics.encoders import from_weights
    from vbbench.weights_io import load_weights

    try:
        tensors, card = load_weights(finding.path, verify=False)
        from_weights(config, tensors, card)
    except WeightsError as error:
        return replace(finding, sound=False, told=str(error).rstrip("."))
    return replace(finding, told=f"digest, {len(tensors)} keys and shapes of a scoring encoder")
