"""``vbbench run``: from prompts to a leaderboard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import (
    add_sampling_options,
    add_scoring_options,
    positive,
    sampling_overrides,
    scorer_from,
    setting_from,
    setting_note,
)
from vbbench.errors import IncompleteError
from vbbench.models.memory_notes import memory_estimates

if TYPE_CHECKING:
    from vbbench.runner.estimate import Estimate, Speed
    from vbbench.runner.execute import Summary
    from vbbench.runner.plan import Plan
    from vbbench.runner.scoring import Scorer
    from vbbench.runner.store import RunStore
    from vbbench.types import PromptSuite, Recipe

DEFAULT_MODELS = "videobooth,baselines"
REFERENCES = "references"


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "run",
        help="sample and score models on a suite, and rank them",
        description="Sample and score models on a suite, and rank them. Run the same command again to go on after an interruption; "
        "only what is missing, has failed, or was made by other code is done.",
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
        help="only the first N prompts of each individual (default: all); a run folder may go on with more, and keeps what is done",
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
    from vbbench.core.environment import choose_device
    from vbbench.data.suites import load_suite
    from vbbench.models.registry import resolve_models
    from vbbench.runner import plan as plans
    from vbbench.runner.store import RunStore

    suite = load_suite(options.suite)
    recipes = resolve_models(options.models)
    if not options.no_references:
        recipes = [*recipes, *_references({recipe.name for recipe in recipes}, suite)]
    scale = options.scale or suite.scale
    recipes = _asked(recipes, scale, options)
    plan = plans.build(
        plans.RunConfig(tuple(recipes), scale, _overrides(options), options.prompts_per_subject),
        suite,
    )
    root = options.out or Path("runs") / suite.name
    device = choose_device(options.device, scale)
    if options.dry_run:
        return _dry_run(plan, RunStore(root, suite, scale, read_only=True), device, options.threads)
    setting = setting_from(options, scale, num_frames=suite.num_frames, fps=suite.fps)
    scorer = scorer_from(options, suite.metrics, setting, device)
    _warn_of_memory(
        warning
        for _, warning in memory_estimates(
            [(model.recipe, model.params) for model in plan.models], scale, device
        )
    )
    with RunStore(root, suite, scale) as store:
        summary = execute_plan(plan, store, scorer, device=device, threads=options.threads)
    if summary is None:
        return 130
    _tell_results(root, report=not options.no_report)
    if not summary.complete:
        failed = (
            f"{summary.failed} videos failed"
            if summary.failed
            else f"{summary.unscored} videos lack a score"
        )
        raise IncompleteError(
            f"the run is incomplete: {failed}; the reasons are in {root}. Run the same command again to retry."
        )
    return 0


def _references(names: Collection[str], suite: PromptSuite) -> list[Recipe]:
    """The reference rows that are not among these already and that the suite has what they are made
    of; the others are told."""
    from vbbench.models.registry import groups, resolve_models

    if REFERENCES not in groups():
        return []
    rows = [recipe for recipe in resolve_models(REFERENCES) if recipe.name not in names]
    lacking = [
        row
        for row in rows
        if not all(getattr(item, need) is not None for need in row.needs for item in suite.items)
    ]
    if lacking:
        what = " and ".join(
            sorted({need.replace("_", " ") for row in lacking for need in row.needs})
        )
        print(
            f"Note: {', '.join(row.name for row in lacking)} left out: not every item of the suite has its {what}.",
            file=sys.stderr,
        )
    return [row for row in rows if row not in lacking]


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    batch = {} if options.batch_size is None else {"batch_size": options.batch_size}
    return {**sampling_overrides(options), **batch}


def _asked(recipes: list[Recipe], scale: str, options: argparse.Namespace) -> list[Recipe]:
    """The recipes as --dtype and --offload change them; which they do not change is told."""
    from vbbench.models.evaluation import asked, left_as_they_are

    wanted: dict[str, Any] = {"dtype": options.dtype, "offload": options.offload}
    if left := left_as_they_are(recipes, scale, **wanted):
        print(
            f"Note: --dtype and --offload are not for {', '.join(left)}: fitted models and those with code of their own.",
            file=sys.stderr,
        )
    return [asked(recipe, scale, **wanted) for recipe in recipes]


def _dry_run(plan: Plan, store: RunStore, device: str, threads: int | None) -> int:
    from vbbench.cli.tables import print_plan
    from vbbench.runner.estimate import estimate
    from vbbench.runner.plan import missing_jobs

    speed = _speed(store, plan.scale, device, threads)
    print_plan(plan, estimate(plan, missing_jobs(plan, store), speed.slowness), store.root)
    estimates = list(
        memory_estimates(
            [(model.recipe, model.params) for model in plan.models], plan.scale, device
        )
    )
    for need, _ in estimates:
        print(f"Memory of {need}")
    _warn_of_memory(warning for _, warning in estimates)
    return 0


def _warn_of_memory(warnings: Iterable[str]) -> None:
    for warning in filter(None, warnings):
        print(f"Note: {warning}", file=sys.stderr)


def _speed(store: RunStore, scale: str, device: str, threads: int | None) -> Speed:
    """This machine's speed. A run that goes on keeps its number of threads, and with it its last
    digits."""
    from vbbench.runner.estimate import measure_speed

    return measure_speed(
        threads or store.manifest.get("environment", {}).get("threads"), scale, device
    )


def execute_plan(
    plan: Plan,
    store: RunStore,
    scorer: Scorer,
    *,
    device: str,
    threads: int | None,
    fresh_process: bool = True,
) -> Summary | None:
    """Do the plan; None when Ctrl-C stopped it.

    Args:
        fresh_process: whether nothing else was done before, so that the memory it began with says
            something.
    """
    from vbbench.core.environment import PeakMemory, describe
    from vbbench.runner.estimate import estimate
    from vbbench.runner.execute import execute
    from vbbench.runner.manifest import make_manifest
    from vbbench.runner.plan import manifest_models, missing_jobs
    from vbbench.runner.progress import make_progress

    missing = missing_jobs(plan, store)
    speed = _speed(store, plan.scale, device, threads)
    # the seconds of a finished run belong to the hour in which it was made, not to the one in which
    # it is looked at
    measured = {
        "slowness": round(speed.slowness, 3),
        "resident_mb": round(PeakMemory(device).megabytes(), 1) if fresh_process else None,
    }
    if not missing:
        measured = {name: store.manifest.get("environment", {}).get(name) for name in measured}
    environment = {**describe(device, speed.threads), **measured}
    manifest = make_manifest(
        plan.suite,
        plan.scale,
        manifest_models(plan),
        scorer.specs,
        environment,
        plan.prompts_per_subject,
    )
    left_out = store.write_manifest(manifest)
    try:
        with make_progress() as progress:
            if left_out:
                progress.say(setting_note(left_out))
            progress.say(_announcement(plan, estimate(plan, missing, speed.slowness), store.root))
            return execute(
                plan, store, scorer, device=device, threads=speed.threads, progress=progress
            )
    except KeyboardInterrupt:
        left = len(missing_jobs(plan, store))
        print(
            f"vbbench: stopped; {len(plan.jobs) - left} of {len(plan.jobs)} jobs are done and kept in {store.root}. "
            "Run the same command again to go on.",
            file=sys.stderr,
        )
        return None


def _announcement(plan: Plan, cost: Estimate, root: Path) -> str:
    from vbbench.cli.tables import duration

    if not cost.jobs:
        return f"All {len(plan.jobs)} jobs of this plan are done in {root}."
    kept = len(plan.jobs) - cost.jobs
    unknown = (
        f" (without {', '.join(cost.unknown)}, whose cost nobody recorded)" if cost.unknown else ""
    )
    return f"{cost.jobs} jobs to do{f', {kept} kept' if kept else ''}: about {duration(cost.seconds)}{unknown}. Results go to {root}."


def _tell_results(root: Path, *, report: bool) -> None:
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
