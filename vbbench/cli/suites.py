"""``vbbench suites``: what can be named after ``--suite``."""

from __future__ import annotations

import argparse
from typing import Any

from vbbench.errors import VBBenchError


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser("suites", help="list suites", description="List suites.")
    parser.set_defaults(command=suites)


def suites(options: argparse.Namespace) -> int:
    """The command. A damaged suite is listed as such, and makes the exit code 2."""
    from vbbench.cli.tables import console, table
    from vbbench.registry import suite_names
    from vbbench.suite import load

    listed = table("Suites", "name", "version", "digest", "scale", "items", "subjects", "frames", "metrics", "what it is")
    code = 0
    for name in suite_names():
        try:
            suite = load(name)
        except VBBenchError as error:
            listed.add_row(name, "damaged", "", "", "", "", "", "", str(error))
            code = error.exit_code
            continue
        counts = (str(len(suite.items)), str(len(suite.subjects)), f"{suite.num_frames} of {suite.size} px")
        what = " ".join(suite.description.split())
        listed.add_row(suite.name, suite.version, suite.digest[:12], suite.scale, *counts, ", ".join(suite.metrics), what)
    console().print(listed)
    return code
