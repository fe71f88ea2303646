"""``vbbench world``: pictures and suites of the miniature world."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vbbench.cli.options import positive, seed
from vbbench.errors import UsageError


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "world",
        help="look at the miniature world, or make suites of it",
        description="Pictures and suites of the miniature world.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="write a contact sheet of subjects, scenes and motions")
    show.add_argument(
        "--out",
        type=Path,
        default=Path("world.png"),
        metavar="FILE",
        help="a .png (default: %(default)s)",
    )
    show.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    show.set_defaults(command=show_world)
    made = actions.add_parser(
        "suite",
        help="render a suite of individuals",
        description="Render a suite: image prompts, text prompts, real videos and clips to fit on. The same options give the same digest "
        "on every machine that draws the same pixels.",
    )
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    made.add_argument("--name", metavar="NAME", help="the suite's name (default: the folder's)")
    made.add_argument("--suite-version", default="1", metavar="V", help="(default: %(default)s)")
    made.add_argument(
        "--per-class",
        type=positive,
        default=5,
        metavar="N",
        help="individuals of each class (default: %(default)s)",
    )
    made.add_argument(
        "--prompts",
        type=positive,
        default=4,
        metavar="N",
        help="text prompts of each individual (default: %(default)s)",
    )
    made.add_argument(
        "--seed",
        type=seed,
        default=0,
        help="of places, motions and their order (default: %(default)s)",
    )
    made.add_argument(
        "--split",
        choices=("train", "val", "test"),
        default="test",
        help="val to tune a method on, test to score it (default: %(default)s)",
    )
    made.set_defaults(command=write_suite)


def show_world(options: argparse.Namespace) -> int:
    """The command ``vbbench world show``."""
    from vbbench.data.world.sheet import write_contact_sheet

    if options.out.suffix != ".png":
        raise UsageError(f"--out must end in .png, not {options.out.name!r}.")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(options.out, options.seed)
    print(f"Contact sheet: {options.out}")
    return 0


def write_suite(options: argparse.Namespace) -> int:
    """The command ``vbbench world suite``."""
    from vbbench.data import rendered_suite, suite

    folder = options.out.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{options.out} is there already and not empty: name a new folder with --out."
        )
    table = {
        "per_class": options.per_class,
        "prompts": options.prompts,
        "seed": options.seed,
        "split": options.split,
    }
    header = {
        "name": options.name or folder.name,
        "version": options.suite_version,
        "rendered": table,
    }
    suite.check_rendered(header, options.out)
    try:
        digest = rendered_suite.render_whole(folder, header)
    except OSError as error:
        raise UsageError(f"{options.out} cannot be written: {error.strerror or error}.") from None
    subjects, items = rendered_suite.counts(header)
    print(
        f"Suite: {options.out}, {subjects} individuals and {items} prompt items, digest {digest[:12]}."
    )
    return 0
