"""``vbbench score``: scores of videos that are there already, whoever made them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import (
    add_scoring_options,
    positive,
    rate,
    scorer_from,
    setting_from,
    setting_note,
)
from vbbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from vbbench.runner.progress import Progress
    from vbbench.runner.scoring import MetricScorer
    from vbbench.runner.store import RunStore
    from vbbench.runner.submission import Shared, Submission

SHOWN_FAILURES, LONGEST_REASON = 20, 300  # lines and characters; the run folder has all of it
MINIATURE = "the miniature encoders have only seen the miniature world; --scale sd14 measures videos of the real one."


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "score",
        help="score videos that you already have",
        description="Score videos without running a model. A folder holds <item id>.mp4 (or .gif, .webm, .mkv, .avi, .mov, or a folder "
        "of pictures) for each item of a suite; a manifest is a CSV file with the columns video, image, text, subject (and id, class, "
        "subject_word where known). Run the same command again to score only what is new or has changed.",
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

    _check_options(options)
    name = _name(options)
    with _opened(options, name) as (store, submission):
        try:
            with make_progress() as progress:
                _score(store, submission, name, options, progress)
        except KeyboardInterrupt:
            print(
                f"vbbench: stopped; all that is done is kept in {store.root}. Run the same command again to go on.",
                file=sys.stderr,
            )
            return 130
    return _tell(store.root, report=not options.no_report)


def _score(
    store: RunStore,
    submission: Submission,
    name: str,
    options: argparse.Namespace,
    progress: Progress,
) -> None:
    """Read what is new, and score what has no score."""
    import torch

    from vbbench.core.environment import choose_device, default_threads
    from vbbench.runner import submission as intake
    from vbbench.runner.scoring import score_run, videos_to_score

    scale = submission.scale
    suite = None if options.manifest else submission.suite
    terms = intake.Terms(
        options.frames or (suite.num_frames if suite else None),
        options.fps or (suite.fps if suite else None),
    )
    threads = options.threads or default_threads(scale, choose_device(options.device, scale))
    torch.set_num_threads(threads)
    _write_manifest(
        store, submission, name, options, threads, intake.shared([], terms, suite), None
    )
    for note in submission.notes:
        progress.say(f"Note: {note}")
    intake.take_in(store, name, submission.given, terms, progress)
    records = intake.done_records(store, name)
    for note in intake.remarks(records, terms, suite):
        progress.say(f"Note: {note}")
    shared = intake.shared(records, terms, suite)
    scorer = _scorer(options, submission.suite.metrics, scale, shared)
    if left_out := _write_manifest(store, submission, name, options, threads, shared, scorer):
        progress.say(setting_note(left_out))
    to_score = videos_to_score(store, scorer.specs)
    if to_score:
        progress.stage("scoring", len(to_score))
        score_run(store, submission.suite, scorer, lambda _: progress.advance())
    store.tidy(scorer.specs)


def _check_options(options: argparse.Namespace) -> None:
    if (options.videos is None) == (options.manifest is None):
        raise UsageError("either --videos DIR with --suite NAME, or --manifest FILE is needed.")
    if (options.suite is None) != (options.videos is None):
        raise UsageError(
            "--videos needs --suite NAME."
            if options.videos
            else "--suite goes with --videos; a manifest brings its own prompts."
        )


def _name(options: argparse.Namespace) -> str:
    """The model's name; it names folders, so that a hostile one is refused and a strange default
    made safe."""
    from vbbench.runner.submission import is_safe, safe_name

    if options.name is None:
        return safe_name(
            options.videos.absolute().name if options.videos else options.manifest.stem
        )
    if not is_safe(options.name):
        raise UsageError(
            f"--name {options.name!r} cannot name a folder: letters, digits, '.', '_' and '-' can, at most 64; see --title."
        )
    return options.name


@contextmanager
def _opened(options: argparse.Namespace, name: str) -> Iterator[tuple[RunStore, Submission]]:
    """The run folder, and what is given; whatever the user got wrong is told before the folder is
    made."""
    from vbbench.data.suites import load_suite
    from vbbench.runner import submission as intake
    from vbbench.runner import video_manifest as own_suite
    from vbbench.runner.store import RunStore
    from vbbench.runner.submission import match_folder
    from vbbench.runner.video_manifest import read_manifest

    expected = intake.Shared(None, None, "lossless")
    if options.videos:
        suite = load_suite(options.suite)
        root = options.out or Path("runs") / f"{suite.name}-{name}"
        submission = match_folder(options.videos, suite, options.scale or suite.scale)
        _scorer(options, suite.metrics, submission.scale, expected)
        intake.check_folder(root, name, own_suite=False)
        with RunStore(root, suite, submission.scale) as store:
            yield store, submission
        return
    rows, notes = read_manifest(options.manifest)
    root, scale = options.out or Path("runs") / f"{own_suite.NAME}-{name}", options.scale or "mini"
    _scorer(options, own_suite.METRICS, scale, expected)
    intake.check_folder(root, name, own_suite=True)
    notes += [MINIATURE] if scale == "mini" else []
    with own_suite.opened(root, rows, scale=scale, num_frames=options.frames, fps=options.fps) as (
        store,
        submission,
    ):
        yield store, replace(submission, notes=(*notes, *submission.notes))


def _scorer(
    options: argparse.Namespace, metrics: tuple[str, ...], scale: str, shared: Shared
) -> MetricScorer:
    from vbbench.core.environment import choose_device

    setting = setting_from(
        options, scale, num_frames=shared.num_frames, fps=shared.fps, storage=shared.storage
    )
    return scorer_from(options, metrics, setting, choose_device(options.device, scale))


def _write_manifest(
    store: RunStore,
    submission: Submission,
    name: str,
    options: argparse.Namespace,
    threads: int,
    shared: Shared,
    scorer: MetricScorer | None,
) -> list[str]:
    """What a reader of the run must know of how it was made; without a scorer, so that a run that
    is stopped early can go on. Names of metrics that do not stay."""
    from vbbench.core.environment import choose_device, describe
    from vbbench.runner.manifest import make_manifest
    from vbbench.runner.submission import model_record

    title = (options.title or name).encode("utf-8", "replace").decode("utf-8")
    record = model_record(store, name, title, shared, own_suite=bool(options.manifest))
    environment = describe(choose_device(options.device, submission.scale), threads)
    specs = scorer.specs if scorer else ()
    return store.write_manifest(
        make_manifest(submission.suite, submission.scale, {name: record}, specs, environment)
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
            f"the scores are incomplete: {len(lost)} of {len(run.items)} items lack a video or a score.{more}"
        )
    return 0


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 3]}..."


def _items(items: tuple[str, ...]) -> str:
    return items[0] if len(items) == 1 else f"{items[0]} and {len(items) - 1} more"
