"""``vbbench power``: how small a difference a run can show, and how many individuals another would
take."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import finite, positive
from vbbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbbench.results.power import Pilot
    from vbbench.results.run_data import RunData
    from vbbench.types import MetricSpec


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "power",
        help="how many individuals it takes to see a difference",
        description="From how much the differences of two models vary between the individuals of a run: the smallest difference that so "
        "many individuals show, and how many a given difference takes. Needs no model.",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders of one suite"
    )
    parser.add_argument(
        "--metric", metavar="LIST", help="names of metrics (default: all of the run)"
    )
    parser.add_argument(
        "--models",
        metavar="A,B",
        help="the two models to compare (default: for each metric those whose differences vary most)",
    )
    parser.add_argument(
        "--difference", type=finite, metavar="D", help="the difference to see, in the metric's unit"
    )
    parser.add_argument(
        "--power",
        type=finite,
        default=0.8,
        metavar="P",
        help="chance to see it (default: %(default)s)",
    )
    parser.add_argument(
        "--comparisons",
        type=positive,
        default=1,
        metavar="N",
        help="of how many comparisons it is one (default: %(default)s)",
    )
    parser.set_defaults(command=power)


@dataclass(frozen=True)
class _Row:
    """One metric, the two models its spread is of, and what they tell."""

    spec: MetricSpec
    models: tuple[str, str]
    pilot: Pilot


def power(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.cli.tables import console
    from vbbench.results.aggregate import load_run, merge_runs

    if options.difference is not None and options.difference <= 0:
        raise UsageError(f"--difference must be above 0, not {options.difference:g}.")
    if not 0.5 <= options.power < 1:
        raise UsageError(f"--power must be at least 0.5 and below 1, not {options.power:g}.")
    run = merge_runs([load_run(path) for path in options.runs])
    specs = _metrics(run, options.metric)
    pairs = _pairs(run, options.models)
    rows = [_widest(run, spec, pairs) for spec in specs]
    _check_enough(run, rows)
    _print(rows, options)
    competitors = sum(not model.is_reference for model in run.models)
    for line in _notes(rows, options, competitors * (competitors - 1) // 2):
        console().print(line)
    return 0


def _metrics(run: RunData, named: str | None) -> list[MetricSpec]:
    """The metrics asked for, in the run's order."""
    from vbbench.core.names import names_in, nearest
    from vbbench.core.plugins import is_folder_word
    from vbbench.metrics import metric_name

    known = {spec.name: spec for spec in run.metrics}
    words = list(known) if named is None else names_in(named)
    names = [metric_name(word) if is_folder_word(word) else word for word in words]
    for name in names:
        if name not in known:
            raise UsageError(f"the run has no metric {name!r}: {nearest(name, known)}")
    if not names:
        raise UsageError("no metric was named." if known else "the run has no metrics.")
    return [known[name] for name in dict.fromkeys(names)]


def _pairs(run: RunData, named: str | None) -> list[tuple[str, str]]:
    """The pair asked for, or all pairs of competitors."""
    from vbbench.core.names import names_in, nearest
    from vbbench.results.aggregate import focus_model
    from vbbench.results.comparisons import all_pairs

    if named is None:
        competitors = [model.name for model in run.models if not model.is_reference]
        if len(competitors) < 2:
            raise UsageError(
                "a difference needs two models, and the run has fewer, besides reference rows: name two with --models A,B."
            )
        return all_pairs(competitors, focus_model(run))
    names = names_in(named)
    if len(names) != 2 or names[0] == names[1]:
        raise UsageError(f"--models takes two different models, A,B, not {named!r}.")
    known = [model.name for model in run.models]
    for name in names:
        if name not in known:
            raise UsageError(f"the run has no model {name!r}: {nearest(name, known)}")
    return [(names[0], names[1])]


def _widest(run: RunData, spec: MetricSpec, pairs: Sequence[tuple[str, str]]) -> _Row:
    """Of the pairs, the one whose differences vary most between individuals: what is enough for it
    is enough for all."""
    from vbbench.results.power import pilot

    values = {model.name: run.values(model.name, spec.name) for model in run.models}
    subject_of = run.subject_of
    rows = [_Row(spec, pair, pilot(values[pair[0]], values[pair[1]], subject_of)) for pair in pairs]
    return max(
        rows,
        key=lambda row: (
            -1.0 if row.pilot.spread is None else row.pilot.spread,
            row.pilot.individuals,
        ),
    )


def _check_enough(run: RunData, rows: Sequence[_Row]) -> None:
    from vbbench.results.statistics import FEWEST_CLUSTERS

    if any(row.pilot.spread is not None for row in rows):
        return
    if not any(result.value is not None for result in run.results.values()):
        raise IncompleteError("the run has no scores.")
    most = max(row.pilot.individuals for row in rows)
    raise IncompleteError(
        f"too few individuals: the models share scores of {most}, and with fewer than {FEWEST_CLUSTERS} nobody can say how much "
        "differences vary."
    )


def _print(rows: Sequence[_Row], options: argparse.Namespace) -> None:
    from vbbench.cli.tables import console, table

    heads = [
        "metric",
        "models",
        "individuals",
        "clips each",
        "difference",
        "spread",
        "smallest visible",
    ]
    heads += [] if options.difference is None else [f"individuals for {options.difference:g}"]
    made = table("What differences can be seen", *heads, numbers=heads[2:], whole=("metric",))
    for row in rows:
        made.add_row(
            row.spec.title,
            f"{row.models[0]} - {row.models[1]}",
            *_numbers(row.pilot, options),
        )
    console().print(made)


def _numbers(pilot: Pilot, options: argparse.Namespace) -> list[str]:
    from vbbench.results.power import individuals_needed, smallest_difference

    counts = [str(pilot.individuals), f"{pilot.clips:.3g}"]
    if pilot.difference is None or pilot.spread is None:
        return [*counts, "-", "too few", "-", *([] if options.difference is None else ["-"])]
    asked = {"power": options.power, "comparisons": options.comparisons}
    visible = smallest_difference(pilot.spread, pilot.individuals, **asked)
    numbers = [*counts, f"{pilot.difference:+.4f}", f"{pilot.spread:.4f}", f"{visible:.4f}"]
    if options.difference is None:
        return numbers
    try:
        return [*numbers, f"{individuals_needed(options.difference, pilot.spread, **asked):,}"]
    except ValueError:
        return [*numbers, "too many"]


def _notes(rows: Sequence[_Row], options: argparse.Namespace, pairs: int) -> list[str]:
    """What the numbers are, and how far they can be trusted."""
    from vbbench.results.power import MOST, spread_factors
    from vbbench.results.statistics import FEW_CLUSTERS

    of = "" if options.comparisons == 1 else f", shared by {options.comparisons} comparisons"
    fewest = min(row.pilot.individuals for row in rows if row.pilot.spread is not None)
    low, high = spread_factors(fewest)
    notes = [
        f"Seen with a chance of {options.power:g} in a paired two-sided test at 5 %{of}. Spread: the standard deviation of the "
        "individuals' mean differences, each over its clips; another number of clips has another spread. All in the metric's own unit.",
        f"A spread from {fewest} individuals may itself be off by a factor of {low:.2f} to {high:.2f} (95 %, if differences are normal), "
        f"and numbers of individuals by {low**2:.2f} to {high**2:.2f}.",
    ]
    if fewest < FEW_CLUSTERS:
        notes.append(
            f"Fewer than {FEW_CLUSTERS} individuals are few, and the report's own test is stricter with few: at 9 it sees in 69 % what is "
            "planned here for 80 %, and in 62 % as one of 6 comparisons."
        )
    if options.models is None:
        notes.append(
            "Of all pairs of competitors, those whose differences vary most: what is enough for them is enough for every pair."
        )
    if options.comparisons == 1 and pairs > 1:
        notes.append(
            f"The leaderboard corrects for its {pairs} pairs of competitors; --comparisons {pairs} plans for that."
        )
    if options.difference is None:
        notes.append("--difference D tells how many individuals a difference takes.")
    elif any(number[-1] == "too many" for number in (_numbers(row.pilot, options) for row in rows)):
        notes.append(f"Too many: more than {MOST:,}.")
    return notes
