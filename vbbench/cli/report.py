"""``vbbench report``: a page from one or more run folders, or one over everything that a folder
publishes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vbbench.cli.options import positive
from vbbench.errors import UsageError

RECORDED = Path("baselines/scores")
"""Where recorded scores lie beside a folder of results, as in this project's checkout."""


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "report",
        help="write a leaderboard page from run folders",
        description="Write a leaderboard with all videos side by side, as a folder that opens from the disk. Needs no model. "
        "`vbbench report --site DIR` writes one page over all the results that DIR holds.",
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="run folders of one suite"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write it (default: RUN/report of the first run)",
    )
    parser.add_argument(
        "--items",
        type=positive,
        metavar="N",
        help="show the videos of N items only; the numbers are of all (default: every item)",
    )
    parser.add_argument(
        "--site",
        type=Path,
        metavar="DIR",
        help="instead: DIR/index.html over the leaderboards, claims, metric validity, gate and profiles in DIR",
    )
    parser.set_defaults(command=report)


def report(options: argparse.Namespace) -> int:
    """The command."""
    if options.site is not None:
        return _site(options)
    if not options.runs:
        raise UsageError(
            "the following arguments are required: RUN (or --site DIR); `vbbench report --help` tells more."
        )
    from vbbench.cli.tables import print_leaderboard
    from vbbench.report.leaderboard import write_results
    from vbbench.results.analysis import analyse
    from vbbench.results.formatting import restriction
    from vbbench.results.run_data import merge_runs
    from vbbench.results.run_folder import load_run

    run = merge_runs([load_run(folder) for folder in options.runs])
    results = analyse(run)
    print_leaderboard(results.table, run.metrics, restriction(run.prompts_per_subject))
    out = options.out or options.runs[0] / "report"
    print(f"Report: {write_results(results, out, options.items)}")
    return 0


def _site(options: argparse.Namespace) -> int:
    given = [
        name
        for name, value in (
            ("RUN", options.runs),
            ("--out", options.out),
            ("--items", options.items),
        )
        if value
    ]
    if given:
        raise UsageError(
            f"--site takes the folder that its page is of and goes into, and no {given[0]}."
        )
    from vbbench.report.site.site import write_site

    recordings = sorted((options.site.resolve().parent / RECORDED).glob("*.json"))
    print(f"Site: {write_site(options.site, recordings)}")
    return 0
