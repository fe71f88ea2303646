"""``vbbench world``: pictures of the miniature world."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vbbench.cli.options import seed
from vbbench.errors import UsageError


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser("world", help="look at the miniature world", description="Look at the miniature world.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="write a contact sheet of subjects, scenes and motions")
    show.add_argument("--out", type=Path, default=Path("world.png"), metavar="FILE", help="a .png (default: %(default)s)")
    show.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    show.set_defaults(command=show_world)


def show_world(options: argparse.Namespace) -> int:
    """The command ``vbbench world show``."""
    from vbbench.world.sheet import write_contact_sheet

    if options.out.suffix != ".png":
        raise UsageError(f"--out must end in .png, not {options.out.name!r}.")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(options.out, options.seed)
    print(f"Contact sheet: {options.out}")
    return 0
