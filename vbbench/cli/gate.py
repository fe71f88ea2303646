"""``vbbench gate``: is a run as good as what was recorded?"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import threads
from vbbench.errors import CheckFailed, IncompleteError, UsageError

if TYPE_CHECKING:
    from vbbench.results.gate.check import Held
    from vbbench.results.gate.compare import Outcome, Verdict
    from vbbench.results.gate.scores import Recording
    from vbbench.types import PromptSuite

SHOWN_ITEMS = 3


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "gate",
        help="hold a run against recorded scores, for CI",
        description="Hold a run against recorded scores. Exit code 0: all the same or better; 1: something drifted or got slower; "
        "3: something was not measured or cannot be compared. `vbbench gate record RUN` records new scores.",
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="run folder, or `record`")
    parser.add_argument(
        "recorded",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="with record: run folder whose scores are to be recorded",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="recorded scores (default: the bundled ones of the run's suite)",
    )
    parser.add_argument(
        "--old",
        type=Path,
        metavar="RUN",
        help="run folder of the recorded scores, to show its videos beside the new ones",
    )
    parser.add_argument(
        "--models", metavar="LIST", help="recorded models to compare (default: all)"
    )
    parser.add_argument(
        "--tolerances",
        type=Path,
        metavar="FILE",
        help="tolerances with their reasons (default: the bundled ones)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder of the results; with record: the file to write",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="check the encoders, run a few recorded items anew, and compare",
    )
    parser.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="with --quick: CPU threads (default: 1 at scale mini)",
    )
    parser.add_argument(
        "--explain",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="tell what changed between two recordings",
    )
    parser.add_argument(
        "--workflow", metavar="NAME", help="print a ready workflow: github or gitlab"
    )
    parser.add_argument(
        "--reruns",
        nargs="+",
        type=Path,
        default=[],
        metavar="RUN",
        help="with record: reruns that tell the noise",
    )
    parser.add_argument("--who", metavar="NAME", help="with record: who records")
    parser.add_argument("--why", metavar="TEXT", help="with record: why the numbers are new")
    parser.set_defaults(command=gate)


def gate(options: argparse.Namespace) -> int:
    """The command."""
    alone = [name for name in ("workflow", "explain", "quick") if getattr(options, name)]
    if alone and options.run is not None:
        raise UsageError(f"--{alone[0]} takes no run folder, but {options.run} is given.")
    if options.recorded is not None and options.run != "record":
        raise UsageError(f"one run is held at a time, but {options.recorded} is given too.")
    if options.workflow is not None:
        from vbbench.cli.workflows import workflow

        print(workflow(options.workflow))
        return 0
    if options.explain is not None:
        return _explain(*options.explain)
    if options.run == "record":
        return _record(options)
    if options.quick:
        return _quick(options)
    if options.run is None:
        raise UsageError(
            "`vbbench gate` needs a run folder, or --quick, --explain or --workflow; `vbbench gate --help` tells more."
        )
    return _gate(Path(options.run), options)


def _gate(root: Path, options: argparse.Namespace) -> int:
    from vbbench.results.gate.check import hold

    held = hold(root, options.against, models=options.models, tolerances=options.tolerances)
    return _judge(held, options.old, options.out or root / "gate")


def _judge(held: Held, old: Path | None, out: Path) -> int:
    """Show, write, and end with the outcome's code."""
    from vbbench.report.gate.outputs import write_outputs
    from vbbench.results.run_folder import load_run

    page = write_outputs(held, out, load_run(old) if old else None)
    _print(held.outcome)
    print(f"Report: {page}")
    return _end(held.outcome)


def _print(outcome: Outcome) -> None:
    from vbbench.cli.tables import console, table

    columns = ("model", "metric", "verdict", "recorded", "now", "change", "why")
    shown = table("Gate", *columns, numbers=("recorded", "now", "change"))
    for verdict in outcome.verdicts:
        change = (
            ""
            if verdict.change is None or verdict.change.mean is None
            else f"{verdict.change.mean:+.4f}"
        )
        numbers = ["" if value is None else f"{value:.4f}" for value in (verdict.old, verdict.new)]
        style = None if verdict.kind in ("same", "better") else "bold" if verdict.counts else "dim"
        shown.add_row(
            verdict.model,
            verdict.metric,
            str(verdict.kind),
            *numbers,
            change,
            verdict.sentence,
            style=style,
        )
    console().print(shown)


def _end(outcome: Outcome) -> int:
    """0, or the error that names what is wrong."""
    from vbbench.results.gate.compare import FAILS, MISSING

    failed = [v for v in outcome.verdicts if v.counts and v.kind in FAILS]
    unknown = [v for v in outcome.verdicts if v.counts and v.kind in MISSING]
    if failed:
        raise CheckFailed(f"the gate is shut: {'; '.join(map(_told, failed))}.")
    if unknown:
        raise IncompleteError(f"the gate cannot tell: {'; '.join(map(_told, unknown))}.")
    print("The gate is open: nothing drifted.")
    return outcome.exit_code


def _told(verdict: Verdict) -> str:
    moved = ", ".join(f"{m.item} {m.old:.3f} to {m.new:.3f}" for m in verdict.moved[:SHOWN_ITEMS])
    return f"{verdict.model} {verdict.metric} {verdict.kind} ({verdict.sentence}{f'; most: {moved}' if moved else ''})"


def _quick(options: argparse.Namespace) -> int:
    """Canary first: where the encoders have drifted, videos tell nothing."""
    from vbbench.cli.metrics import check_canary
    from vbbench.data.suites import load_suite
    from vbbench.metrics.encoders.setting import Setting
    from vbbench.results.gate.check import bundled_scores, chosen_names, hold
    from vbbench.results.gate.scores import read_recording

    against = options.against or bundled_scores("mini")
    recording = read_recording(against)
    models = chosen_names(options.models) or recording.quick.models
    check_canary(Setting(recording.scale), "cpu")
    root = _run_quick(recording, load_suite(recording.suite["name"]), models, options)
    held = hold(
        root, against, models=models, items=recording.quick.items, tolerances=options.tolerances
    )
    return _judge(held, options.old, root / "gate")


def _run_quick(
    recording: Recording, suite: PromptSuite, models: Sequence[str], options: argparse.Namespace
) -> Path:
    """The recorded items of the recorded models, with the metrics of the recording."""
    from vbbench.cli.run import execute_request
    from vbbench.runner.api import RunRequest
    from vbbench.runner.scoring import ScoringRequest

    root = options.out or Path("runs") / f"gate-{suite.name}"
    known = {item.id for item in suite.items}
    request = RunRequest(
        models=",".join(models),
        suite=suite,
        out=root,
        scale=recording.scale,
        items=tuple(item for item in recording.quick.items if item in known),
        references=False,
        scoring=ScoringRequest(tuple(recording.metrics), cache=False),
        device="cpu",
        threads=options.threads,
        fresh_process=False,
    )
    _make_room(root, own=options.out is None)
    if execute_request(request) is None:
        raise KeyboardInterrupt
    return root


def _make_room(root: Path, *, own: bool) -> None:
    """Remove the command's own folder of an earlier time; refuse a user's that is not empty."""
    if own:  # other libraries in it would go unnoticed
        shutil.rmtree(root, ignore_errors=True)
    elif root.is_dir() and any(root.iterdir()):
        raise UsageError(
            f"--quick measures everything anew and needs a new folder, but {root} is not empty:"
            " name another with --out."
        )


def _record(options: argparse.Namespace) -> int:
    """What a run reached becomes what later runs are held against; nobody overwrites scores without
    a name and a reason."""
    from datetime import UTC, datetime

    from vbbench.results.gate.check import bundled_scores
    from vbbench.results.gate.scores import recording_of, write_recording
    from vbbench.results.run_folder import load_run

    if options.recorded is None:
        raise UsageError(
            "`vbbench gate record` needs a run folder: vbbench gate record RUN --who NAME --why TEXT."
        )
    if not (options.who or "").strip() or not (options.why or "").strip():
        raise UsageError("recorded scores say who recorded them and why: --who NAME --why TEXT.")
    run, reruns = load_run(options.recorded), [load_run(rerun) for rerun in options.reruns]
    if options.recorded.resolve() in [rerun.resolve() for rerun in options.reruns]:
        raise UsageError("a run is no rerun of itself: its noise would be nothing.")
    if not run.has_videos:
        raise IncompleteError("an empty run cannot be recorded: it holds no video.")
    manifest = run.manifests[0]
    facts = {
        "who": options.who.strip(),
        "why": options.why.strip(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    facts |= {key: manifest.get(key) for key in ("commit", "vbbench", "environment")}
    path = options.out or bundled_scores(run.suite.name)
    recording = recording_of(run, facts, reruns)
    write_recording(path, recording)
    noise = (
        f"noise from {len(reruns)} reruns"
        if reruns
        else "no noise measured: only equal bits will count as the same"
    )
    print(
        f"Recorded {len(recording.models)} models and {len(recording.metrics)} metrics in {path}; {noise}."
    )
    return 0


def _explain(old: Path, new: Path) -> int:
    from vbbench.results.gate.compare import changes
    from vbbench.results.gate.scores import read_recording

    print(
        "\n".join(changes(read_recording(old), read_recording(new)))
        or "The two recordings hold the same."
    )
    return 0
