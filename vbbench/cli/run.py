"""``vbbench run``: from prompts to a leaderboard."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import (
    add_sampling_options,
    add_scoring_options,
    positive,
    scoring_from,
)
from vbbench.errors import IncompleteError

if TYPE_CHECKING:
    from vbbench.runner.api import Prepared, RunRequest
    from vbbench.runner.execute import Summary
    from vbbench.runner.plan import Plan
    from vbbench.runner.scoring import Scorer
    from vbbench.runner.store import RunStore

DEFAULT_MODELS = "videobooth,baselines"  # RunRequest's default, whose module --help need not load
INTERRUPTED = 130


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "run",
        help="sample and score models on a suite, and rank them",
        description="Sample and score models on a suite, and rank them. Run the same command again"
        " to go on after an interruption; only what is missing, has failed, or was made by other"
        " code is done.",
    )
    parser.add_argument(
        "--models",
        default=DEFAULT_MODELS,
        metavar="LIST",
        help="names, groups and recipe folders (default: %(default)s)",
    )
    parser.add_argument(
        "--suite",
        default="mini",
        metavar="NAME",
        help="a bundled suite or a suite's folder (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: runs/<suite>)"
    )
    parser.add_argument("--scale", metavar="SCALE", help="mini or sd14 (default: the suite's)")
    parser.add_argument(
        "--prompts-per-subject",
        type=positive,
        metavar="N",
        help="only the first N prompts of each individual (default: all); a run folder may go on"
        " with more, and keeps what is done",
    )
    parser.add_argument(
        "--no-references",
        action="store_true",
        help="leave out the reference rows (real video, still image ...)",
    )
    add_sampling_options(parser)
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="items sampled together, instead of the recipes' own",
    )
    add_scoring_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and its cost, and do nothing"
    )
    parser.add_argument("--no-report", action="store_true", help="do not write the HTML report")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.runner.api import prepare

    request = _request(options)
    with prepare(request, _print_note) as prepared:
        if request.dry_run:
            return _print_dry_run(prepared)
        summary = _watch(prepared)
    if summary is None:
        return INTERRUPTED
    _print_results(prepared.root, report=not options.no_report)
    if not summary.complete:
        raise IncompleteError(_incomplete(summary, prepared.root))
    return 0


def _request(options: argparse.Namespace) -> RunRequest:
    from vbbench.runner.api import RunRequest

    return RunRequest(
        models=options.models,
        suite=options.suite,
        out=options.out,
        scale=options.scale,
        prompts_per_subject=options.prompts_per_subject,
        references=not options.no_references,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
        dtype=options.dtype,
        offload=options.offload,
        batch_size=options.batch_size,
        scoring=scoring_from(options),
        device=options.device,
        threads=options.threads,
        dry_run=options.dry_run,
    )


def _print_note(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _print_dry_run(prepared: Prepared) -> int:
    from vbbench.cli.tables import print_plan

    print_plan(prepared.plan, prepared.cost, prepared.root)
    for need, _ in prepared.memory:
        print(f"Memory of {need}")
    for warning in prepared.memory_warnings:
        _print_note(warning)
    return 0


def _watch(prepared: Prepared) -> Summary | None:
    """Do what is prepared, with progress on stderr; None when Ctrl-C stopped it."""
    from vbbench.runner.api import run_prepared
    from vbbench.runner.progress import make_progress

    try:
        with make_progress() as progress:
            return run_prepared(prepared, progress)
    except KeyboardInterrupt:
        _print_note(f"vbbench: {prepared.interruption()}")
        return None


def execute_plan(
    plan: Plan,
    store: RunStore,
    scorer: Scorer,
    *,
    device: str,
    threads: int | None,
    fresh_process: bool = True,
) -> Summary | None:
    """Do a plan, with progress on stderr; None when Ctrl-C stopped it.

    Args:
        fresh_process: whether nothing else was done before, so that the memory it began with says
            something.
    """
    from vbbench.runner.api import prepare_plan

    return _watch(
        prepare_plan(
            plan, store, scorer, device=device, threads=threads, fresh_process=fresh_process
        )
    )


def execute_request(request: RunRequest) -> Path | None:
    """Do a run, with progress on stderr; its folder, or None when Ctrl-C stopped it."""
    from vbbench.runner.api import prepare

    with prepare(request, _print_note) as prepared:
        return None if _watch(prepared) is None else prepared.root


def _incomplete(summary: Summary, root: Path) -> str:
    failed = f"{summary.unscored} videos lack a score"
    if summary.failed:
        failed = f"{summary.failed} videos failed"
    return (
        f"the run is incomplete: {failed}; the reasons are in {root}."
        " Run the same command again to retry."
    )


def _print_results(root: Path, *, report: bool) -> None:
    from vbbench.cli.tables import print_leaderboard
    from vbbench.results.aggregate import leaderboard_table, load_run
    from vbbench.results.formatting import restriction

    found = load_run(root)
    print_leaderboard(
        leaderboard_table(found), found.metrics, restriction(found.prompts_per_subject)
    )
    if report:
        from vbbench.report.leaderboard import write_report

        print(f"Report: {write_report([root], root / 'report')}")
