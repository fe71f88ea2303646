"""``vbbench score``: scores of videos that are there already, whoever made them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import add_scoring_options, positive, rate, scoring_from
from vbbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from vbbench.runner.score_videos import ScoreRequest

SHOWN_FAILURES, LONGEST_REASON = 20, 300  # lines and characters; the run folder has all of it
INTERRUPTED = 130


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "score",
        help="score videos that you already have",
        description="Score videos without running a model. A folder holds <item id>.mp4 (or .gif,"
        " .webm, .mkv, .avi, .mov, or a folder of pictures) for each item of a suite; a manifest is"
        " a CSV file with the columns video, image, text, subject (and id, class, subject_word"
        " where known). Run the same command again to score only what is new or has changed.",
    )
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="folder of videos for a suite's items"
    )
    parser.add_argument(
        "--suite", metavar="NAME", help="a bundled suite or a suite's folder, with --videos"
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="CSV file that names videos and what they were made from",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="of the row in the leaderboard (default: the folder's or manifest's name)",
    )
    parser.add_argument(
        "--title", metavar="TEXT", help="of the row in the leaderboard (default: its name)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: runs/<suite>-<name>)"
    )
    parser.add_argument(
        "--scale", metavar="SCALE", help="mini or sd14 (default: the suite's; mini for a manifest)"
    )
    parser.add_argument(
        "--frames",
        type=positive,
        metavar="N",
        help="frames that each video must have (default: the suite's; any)",
    )
    parser.add_argument(
        "--fps",
        type=rate,
        metavar="F",
        help="frames a second of folders of pictures (default: the suite's; 1)",
    )
    add_scoring_options(parser)
    parser.add_argument("--no-report", action="store_true", help="do not write the HTML report")
    parser.set_defaults(command=score)


def score(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.runner.progress import make_progress
    from vbbench.runner.score_videos import prepare_score, score_prepared

    _check_options(options)
    with prepare_score(_request(options)) as prepared:
        try:
            with make_progress() as progress:
                score_prepared(prepared, progress)
        except KeyboardInterrupt:
            print(f"vbbench: {prepared.interruption()}", file=sys.stderr)
            return INTERRUPTED
    return _tell(prepared.root, report=not options.no_report)


def _check_options(options: argparse.Namespace) -> None:
    if (options.videos is None) == (options.manifest is None):
        raise UsageError("either --videos DIR with --suite NAME, or --manifest FILE is needed.")
    if options.videos is not None and options.suite is None:
        raise UsageError("--videos needs --suite NAME.")
    if options.videos is None and options.suite is not None:
        raise UsageError("--suite goes with --videos; a manifest brings its own prompts.")


def _request(options: argparse.Namespace) -> ScoreRequest:
    from vbbench.runner.score_videos import ScoreRequest

    return ScoreRequest(
        videos=options.videos,
        suite=options.suite,
        manifest=options.manifest,
        name=options.name,
        title=options.title,
        out=options.out,
        scale=options.scale,
        num_frames=options.frames,
        fps=options.fps,
        scoring=scoring_from(options),
        device=options.device,
        threads=options.threads,
    )


def _tell(root: Path, *, report: bool) -> int:
    """The leaderboard, the report, and what has no number."""
    from vbbench.cli.tables import print_leaderboard
    from vbbench.results.aggregate import failures, leaderboard_table, load_run

    run = load_run(root)
    print_leaderboard(leaderboard_table(run), run.metrics)
    if report:
        from vbbench.report.leaderboard import write_report

        print(f"Report: {write_report([root], root / 'report')}")
    places = {item.id: place for place, item in enumerate(run.items)}
    failed = sorted(failures(run), key=lambda failure: places[failure.items[0]])
    for failure in failed[:SHOWN_FAILURES]:
        print(
            f"No {failure.what} of {_items(failure.items)}: {_short(failure.reason)}",
            file=sys.stderr,
        )
    if failed:
        more = (
            f" {len(failed) - SHOWN_FAILURES} more reasons are in {root}."
            if len(failed) > SHOWN_FAILURES
            else ""
        )
        lost = {item for failure in failed for item in failure.items}
        raise IncompleteError(
            f"the scores are incomplete: {len(lost)} of {len(run.items)} items lack a video or a"
            f" score.{more}"
        )
    return 0


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 3]}..."


def _items(items: tuple[str, ...]) -> str:
    return items[0] if len(items) == 1 else f"{items[0]} and {len(items) - 1} more"
