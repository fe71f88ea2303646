"""``vbbench claims``: the VideoBooth paper's claims against scores, each with its verdict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbbench.results.claims.analysis import ClaimResults
    from vbbench.results.run_data import RunData

PUBLISHED = Path("reports/mini/scores.csv")


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "claims",
        help="put the VideoBooth paper's claims to the test",
        description="Hold each claim of the VideoBooth paper against scores: a paired difference with its 95 % interval over individuals "
        "and trainings, and a verdict. Without RUN or --scores it reads the published scores of a checkout. Needs no model. Exit code 3 "
        "when models of some claims were not measured; a claim that is not reproduced is a result, and no error.",
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="run folders of one suite"
    )
    parser.add_argument(
        "--scores",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="stored scores (scores.csv), beside RUNs or alone",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also write claims.html, claims.md and claims.json there",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="also write the scores there, as scores.csv and scores.json",
    )
    parser.set_defaults(command=claims)


def claims(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.cli.tables import console
    from vbbench.results.claims.analysis import analyse_claims

    run = _read(options.runs, options.scores)
    if options.store is not None:
        from vbbench.results.claims.stored import write_scores

        print(f"Scores: {write_scores(run, options.store)}")
    found = analyse_claims(run)
    _print(found)
    if options.out is not None:
        from vbbench.report.claims.pages import write_claims

        page = write_claims(found, options.out)
        console().print(f"Claims: {page}", markup=False, soft_wrap=True)
    if found.lack:
        raise IncompleteError(found.lack)
    return 0


def _read(folders: Sequence[Path], files: Sequence[Path]) -> RunData:
    """All of the scores as one run."""
    from vbbench.core.paths import data_root
    from vbbench.results.aggregate import load_run, merge_runs
    from vbbench.results.claims.stored import read_scores

    if not folders and not files:
        published = data_root() / PUBLISHED
        if not published.is_file():
            raise UsageError(
                f"there are no published scores at {published}: name run folders, or stored scores with --scores "
                "(`vbbench claims RUN --store DIR` makes them)."
            )
        files = [published]
    return merge_runs([*map(load_run, folders), *map(read_scores, files)])


def _print(found: ClaimResults) -> None:
    from rich.markup import escape

    from vbbench.cli.tables import console, table
    from vbbench.report.claims.pages import lines_of, verdict_cell
    from vbbench.results.claims import wording

    heads = ("claim", "metric", "difference (95 % interval)", "trainings", "individuals", "verdict")
    made = table("The paper's claims", *heads, numbers=heads[2:5], whole=heads[:3])
    for result in found.results:
        lines = lines_of(result)
        for place, line in enumerate(lines):
            name, verdict = (
                result.claim.name if place == 0 else "",
                verdict_cell(result, line, place),
            )
            cells = (name, line.metric, line.amount, line.trainings, line.individuals, verdict)
            made.add_row(
                *map(escape, cells),
                style=None if line.decides else "dim",
                end_section=place == len(lines) - 1,
            )
    out = console()
    out.print(made)
    for result in found.results:
        out.print(f"- {' '.join([wording.sentence(result), *wording.notes(result)])}", markup=False)
    out.print()
    for text in found.lost:
        # a reason is whatever a model said: nothing in it may steer the terminal
        out.print(
            f"No value for {''.join(c if c.isprintable() else ' ' for c in text)}", markup=False
        )
    about = (found.counts, wording.RULE, wording.INTERVALS, found.scores_from)
    for text in (*about, found.machines, found.untrained):
        if text:
            out.print(text, markup=False)
