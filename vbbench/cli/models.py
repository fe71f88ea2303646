"""``vbbench models``: what can be named after ``--models``."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser("models", help="list models and groups", description="List models and groups.")
    parser.set_defaults(command=models)


def models(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.cli.tables import console, table
    from vbbench.registry import all_recipes, groups

    listed = table("Models", "name", "title", "groups", "scales", "fitted to a subject", "what it is")
    for name, recipe in sorted(all_recipes().items()):
        scales, fitted = ", ".join(recipe.scales), "yes" if recipe.fitted else ""
        listed.add_row(name, recipe.title, ", ".join(recipe.groups), scales, fitted, " ".join(recipe.description.split()))
    grouped = table("Groups", "name", "models")
    for name, members in groups().items():
        grouped.add_row(name, ", ".join(members))
    out = console()
    out.print(listed, grouped, "A model of your own: name the folder that holds its recipe.toml, --models ./my-method.", sep="\n")
    return 0
