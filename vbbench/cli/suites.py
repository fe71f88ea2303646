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
    from vbbench.data.rendered_suite import counts
    from vbbench.data.suite import is_waiting, read_header
    from vbbench.data.suites import load_suite, resolve_suite, suite_names

    listed = table(
        "Suites",
        "name",
        "version",
        "digest",
        "scale",
        "items",
        "subjects",
        "frames",
        "metrics",
        "what it is",
    )
    code = 0
    for name in suite_names():
        try:
            header = read_header(root := resolve_suite(name))
            later = is_waiting(root, header)
            if later:
                subjects, items = counts(header)
            else:
                suite = load_suite(name)
                subjects, items = len(suite.subjects), len(suite.items)
        except VBBenchError as error:
            listed.add_row(name, "damaged", "", "", "", "", "", "", str(error))
            code = error.exit_code
            continue
        facts = (
            header["name"],
            header["version"],
            header["digest"][:12],
            header["scale"],
            str(items),
            str(subjects),
        )
        what = " ".join(
            [*header["description"].split(), *(["(rendered when first used)"] if later else [])]
        )
        listed.add_row(
            *facts,
            f"{header['num_frames']} of {header['size']} px",
            ", ".join(header["metrics"]),
            what,
        )
    console().print(listed)
    return code
