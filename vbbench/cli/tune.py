"""``vbbench tune``: try settings of a method on validation individuals, with a budget that is
written down."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import add_scoring_options, positive, scoring_from, seed
from vbbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vbbench.runner.scoring import MetricScorer
    from vbbench.runner.tune import Budget
    from vbbench.types import MetricSpec, PromptSuite, Recipe

INTERRUPTED = 130


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "tune",
        help="try settings of a method on validation individuals",
        description="Try settings of a method on validation individuals and write down every trial. The recipe is not changed: put the "
        "chosen settings there yourself. Run the same command again to go on after an interruption.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model's name or recipe folder")
    parser.add_argument(
        "--suite",
        required=True,
        metavar="DIR",
        help="validation individuals: `vbbench world suite --split val` makes them",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="a setting below [scales.<scale>] and the values to try: lr=0.01,0.03 or sampling.guidance_scale=2.0,4.0; once a setting",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="whose mean decides, by name or folder (default: the suite's first about the subject)",
    )
    parser.add_argument(
        "--trials",
        type=positive,
        default=4,
        metavar="N",
        help="combinations tried at most (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        default=0,
        help="of the choice among more combinations (default: %(default)s)",
    )
    parser.add_argument("--scale", metavar="SCALE", help="mini or sd14 (default: the suite's)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="record of the tuning (default: tuning.json in the recipe's folder)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="run folders of the trials (default: runs/tune-<model>)",
    )
    add_scoring_options(parser)
    parser.set_defaults(command=tune)


def tune(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.data.suites import load_suite
    from vbbench.models.registry import resolve_models
    from vbbench.runner import tune as tuning

    recipes = resolve_models(options.model)
    if len(recipes) != 1:
        raise UsageError(
            f"one model is tuned at a time, and {options.model!r} names {len(recipes)}."
        )
    recipe, suite = recipes[0], load_suite(options.suite)
    scale = options.scale or suite.scale
    budget = tuning.Budget(
        _grid(options.set), options.trials, options.seed, _metric(options, suite)
    )
    question = tuning.question_of(recipe, scale, suite, tuning.refuse_held_out(suite), budget)
    trials = tuning.trials_of(budget)
    variants = [
        tuning.variant(recipe, scale, settings) for settings in trials
    ]  # all, so that a wrong value is told before the first trial
    path = options.out or recipe.folder / "tuning.json"
    question["trials"] = (tuning.read_record(path, question) or {}).get("trials", [])
    return _search(
        options, suite, scale, budget, question, list(zip(trials, variants, strict=True)), path
    )


def _metric(options: argparse.Namespace, suite: PromptSuite) -> str:
    """Name of the metric that decides."""
    from vbbench.metrics import metric_name
    from vbbench.metrics.meaning import BUNDLED

    if options.metric is not None:
        return metric_name(options.metric)
    subject = [name for name, known in BUNDLED.items() if known.kind == "subject"]
    deciding = next((name for name in subject if name in suite.metrics), None)
    if deciding is None:
        raise UsageError(f"name the metric that decides: --metric; {suite.name} has no usual one.")
    return deciding


def _grid(texts: list[str]) -> dict[str, tuple[Any, ...]]:
    from vbbench.runner.tune import parse_setting

    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        key, values = parse_setting(text)
        if key in grid:
            raise UsageError(f"--set names {key!r} twice: give all its values at once.")
        grid[key] = values
    if not grid:
        raise UsageError(
            "nothing to tune: name settings and their values, as in --set lr=0.01,0.03."
        )
    return grid


def _search(
    options: argparse.Namespace,
    suite: PromptSuite,
    scale: str,
    budget: Budget,
    question: Mapping[str, Any],
    variants: list[tuple[dict[str, Any], Recipe]],
    path: Path,
) -> int:
    """Run the trials one after the other; the record is written after each."""
    from vbbench.core.environment import choose_device, commit
    from vbbench.core.version import __version__
    from vbbench.runner import tune as tuning

    device = choose_device(options.device, scale)
    names = tuple(dict.fromkeys((*suite.metrics, options.metric or budget.metric)))
    scoring = scoring_from(options)
    setting = scoring.setting(scale, num_frames=suite.num_frames, fps=suite.fps)
    scorer = scoring.scorer(names, setting, device)
    spec = _deciding(scorer, budget.metric)
    work = options.work or Path("runs") / f"tune-{question['model']}"
    record = {**question, "spec": spec.id, "vbbench": __version__, "commit": commit()}
    for settings, recipe in variants:
        found = _try(
            recipe,
            suite,
            scale,
            scorer,
            work / tuning.trial_name(settings),
            device,
            options.threads,
        )
        if found is None:
            return INTERRUPTED
        record["trials"] = tuning.with_trial(record["trials"], {"settings": settings, **found})
        record["chosen"] = tuning.choose(
            record["trials"],
            budget.metric,
            len(suite.items),
            higher_is_better=spec.higher_is_better,
        )
        tuning.write_record(path, record)
    _print(record, path)
    failed = sum(bool(trial["failures"]) for trial in record["trials"])
    if failed:
        raise IncompleteError(
            f"{failed} of {len(variants)} trials are incomplete; the reasons are in {path}."
        )
    return 0


def _deciding(scorer: MetricScorer, name: str) -> MetricSpec:
    spec = next((spec for spec in scorer.specs if spec.name == name), None)
    if spec is None:
        raise UsageError(f"{name!r} decides, but --metrics leaves it out.")
    return spec


def _try(
    recipe: Recipe,
    suite: PromptSuite,
    scale: str,
    scorer: MetricScorer,
    root: Path,
    device: str,
    threads: int | None,
) -> dict[str, Any] | None:
    """One trial in its own run folder; None when Ctrl-C stopped it."""
    from vbbench.cli.run import execute_plan
    from vbbench.runner import plan as plans
    from vbbench.runner.store import RunStore
    from vbbench.runner.tune import outcome

    plan = plans.build(plans.RunConfig((recipe,), scale), suite)
    with RunStore(root, suite, scale) as store:
        if (
            execute_plan(plan, store, scorer, device=device, threads=threads, fresh_process=False)
            is None
        ):
            return None
        return outcome(store, suite, recipe.name, scorer.specs)


def _print(record: Mapping[str, Any], path: Path) -> None:
    from vbbench.cli.tables import console, table

    metrics = list(record["trials"][0]["means"])
    columns = (
        *record["grid"],
        *(metric.replace("-", "-\n") for metric in metrics),
        "fit s",
        "clip s",
        "failed",
    )
    made = table(
        f"Tuning of {record['model']} on {record['suite']['name']}, by {record['metric']}",
        *columns,
        numbers=frozenset(columns),
    )
    for trial in record["trials"]:
        means = [_number(trial["means"][metric], 4) for metric in metrics]
        seconds = [_number(trial[f"{kind}_seconds"], 1) for kind in ("fit", "sample")]
        style = "bold" if trial["settings"] == record["chosen"] else None
        made.add_row(
            *map(str, trial["settings"].values()),
            *means,
            *seconds,
            str(len(trial["failures"]) or ""),
            style=style,
        )
    console().print(made)
    chosen = record["chosen"]
    words = (
        ", ".join(f"{key} = {value}" for key, value in chosen.items())
        if chosen
        else "nothing: no trial scored every item"
    )
    print(f"Chosen: {words}. Record: {path}")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
