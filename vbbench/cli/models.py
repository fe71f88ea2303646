"""``vbbench models``: what can be named after ``--models``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vbbench.types import Recipe


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "models",
        help="list models and groups, or tell what one does",
        description="List models and groups; with names, groups or folders: tell what each sees, tunes, stores and costs.",
    )
    parser.add_argument(
        "names",
        nargs="?",
        metavar="LIST",
        help="names, groups and recipe folders whose method cards are wanted",
    )
    parser.set_defaults(command=models)


def models(options: argparse.Namespace) -> int:
    """The command."""
    if options.names is not None:
        return _cards(options.names)
    from vbbench.cli.tables import console, table
    from vbbench.models.registry import all_recipes, groups

    listed = table(
        "Models", "name", "title", "groups", "scales", "fitted to a subject", "what it is"
    )
    for name, recipe in sorted(all_recipes().items()):
        scales, fitted = ", ".join(recipe.scales), "yes" if recipe.fitted else ""
        listed.add_row(
            name,
            recipe.title,
            ", ".join(recipe.groups),
            scales,
            fitted,
            " ".join(recipe.description.split()),
        )
    grouped = table("Groups", "name", "models")
    for name, members in groups().items():
        grouped.add_row(name, ", ".join(members))
    out = console()
    own = "`vbbench models NAME` tells more of one. A model of your own: `vbbench new my-method`, then --models ./my-method."
    out.print(listed, grouped, own, sep="\n")
    return 0


def _cards(names: str) -> int:
    """One table a method: its card, and its settings at each scale."""
    from rich.markup import escape

    from vbbench.cli.tables import console, table
    from vbbench.models.registry import resolve_models

    out = console()
    for recipe in resolve_models(names):
        shown = table(escape(f"{recipe.name}: {recipe.title}"), "", "")
        shown.show_header = False
        for what, text in _facts(recipe):
            shown.add_row(what, escape(text))
        out.print(shown)
    return 0


def _facts(recipe: Recipe) -> list[tuple[str, str]]:
    facts = [
        ("what it is", recipe.description),
        *recipe.card.items(),
        ("source", recipe.citation),
        ("groups", ", ".join(recipe.groups)),
    ]
    for scale, settings in recipe.scales.items():
        facts.append((f"at {scale}", _settings(settings)))
    runs = " ".join(recipe.command) if recipe.command else recipe.entry
    return [
        (what, " ".join(text.split()))
        for what, text in [*facts, ("runs", runs), ("folder", str(recipe.folder))]
        if text
    ]


def _settings(values: Any) -> str:
    """``{"a": 1, "b": {"c": 2}}`` -> ``a 1; b: c 2``."""
    parts = [
        f"{key}: {_settings(value)}" if isinstance(value, dict) else f"{key} {value}"
        for key, value in values.items()
    ]
    return "; ".join(part.strip() for part in parts) or "no settings"
