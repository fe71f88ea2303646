"""Tuning with a recorded budget: which settings are tried, in which order, what each reached, and
which are best.

Nothing here runs a model; `vbbench.cli.tune` does. The record keeps every trial, the bad ones too,
so that a reader sees how much a method was helped.
"""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from vbbench.core.digests import sha256_of
from vbbench.core.files import write_atomic
from vbbench.core.names import nearest
from vbbench.core.strict_json import parse
from vbbench.errors import InputError, UsageError
from vbbench.models.recipes import scale_settings
from vbbench.runner.store import RunStore
from vbbench.types import MetricSpec, PromptSuite, Recipe

FORMAT = 1
HELD_OUT = "test"  # the split of the miniature world that nothing may be tuned on
Settings = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """What may be spent on a method.

    Attributes:
        grid: dotted setting below ``[scales.<scale>]`` -> the values it may take, in the order
            given.
        trials: at most so many combinations are tried.
        seed: of the choice among more combinations.
        metric: whose mean decides.
    """

    grid: Mapping[str, tuple[Any, ...]]
    trials: int
    seed: int
    metric: str


def parse_setting(text: str) -> tuple[str, tuple[Any, ...]]:
    """``key=v1,v2`` as a key and its values: numbers, true, false, and anything else as a word.

    Raises:
        UsageError: no key, no value, or a value twice.
    """
    key, mark, values = text.partition("=")
    words = [word.strip() for word in values.split(",")]
    if not mark or not key.strip() or not all(words):
        raise UsageError(
            f"--set takes a setting and its values, as in --set lr=0.01,0.03, not {text!r}."
        )
    found = tuple(_value(word) for word in words)
    if len(set(map(repr, found))) < len(found):
        raise UsageError(f"--set {text} names a value twice.")
    return key.strip(), found


def _value(word: str) -> Any:
    try:
        value = tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{word} is no value to try: settings are finite.")
    return value if isinstance(value, bool | int | float | str) else word


def trials_of(budget: Budget) -> list[Settings]:
    """The combinations that are tried, in order: the whole grid (its last setting changes
    quickest), or a random part of it."""
    combinations = [
        dict(zip(budget.grid, values, strict=True))
        for values in itertools.product(*budget.grid.values())
    ]
    if len(combinations) <= budget.trials:
        return combinations
    chosen = np.random.default_rng(budget.seed).permutation(len(combinations))[: budget.trials]
    return [combinations[place] for place in sorted(chosen)]


def variant(recipe: Recipe, scale: str, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with other settings at a scale; its files are left alone.

    Raises:
        UsageError: a setting that the recipe does not have there, or a value of another kind.
    """
    scale_settings(recipe, scale)  # tells if the recipe has no such scale
    changed = dict(recipe.scales[scale])
    for key, value in settings.items():
        _change(changed, key, value, recipe.name)
    return replace(recipe, scales={**recipe.scales, scale: changed})


def _change(table: Settings, dotted: str, value: Any, name: str) -> None:
    *tables, last = dotted.split(".")
    for part in tables:
        inner = table.get(part)
        if not isinstance(inner, Mapping):
            raise UsageError(
                f"the model {name!r} has no settings {part!r} to tune: {nearest(part, table)}"
            )
        table[part] = table = dict(inner)
    if last in table and isinstance(table[last], Mapping | list):
        raise UsageError(
            f"{dotted} of the model {name!r} is a table or a list; name one setting in it, as in {dotted}.key."
        )
    if last not in table:
        raise UsageError(
            f"the model {name!r} has no setting {dotted!r} to tune: {nearest(last, table)}"
        )
    own = table[last]
    if isinstance(value, int) and not isinstance(value, bool) and isinstance(own, float):
        value = float(value)
    if type(value) is not type(own):
        raise UsageError(
            f"{dotted} of the model {name!r} is a {type(own).__name__} ({own!r}), which {value!r} is not."
        )
    table[last] = value


def refuse_held_out(suite: PromptSuite) -> list[str]:
    """The splits of the miniature world that the suite's subjects are of; empty for real subjects.

    Raises:
        UsageError: some are held out for scoring.
    """
    splits = {
        str(subject.world.get("split")) for subject in suite.subjects if subject.world is not None
    }
    if HELD_OUT in splits:
        raise UsageError(
            f"the suite {suite.name} holds individuals of the split {HELD_OUT!r}, on which methods are scored: tune on a suite made by "
            "`vbbench world suite --split val`."
        )
    return sorted(splits)


def trial_name(settings: Mapping[str, Any]) -> str:
    """Name of a trial's run folder."""
    return sha256_of(json.dumps(dict(settings), sort_keys=True))[:12]


def outcome(
    store: RunStore, suite: PromptSuite, name: str, specs: Sequence[MetricSpec]
) -> dict[str, Any]:
    """What a trial's run folder says: mean and number of scored items of each metric, mean seconds,
    reasons of what failed."""
    jobs = [record for record in store.jobs.values() if record["model"] == name]
    rows = [
        row
        for row in (
            store.scores.get((name, item.id, spec.id)) for item in suite.items for spec in specs
        )
        if row
    ]
    failed = {record["reason"] for record in jobs if record["status"] == "failed"} | {
        row["reason"] for row in rows if row["value"] is None
    }
    means, scored = {}, {}
    for spec in specs:
        values = [
            row["value"] for row in rows if row["spec_id"] == spec.id and row["value"] is not None
        ]
        means[spec.name], scored[spec.name] = (
            (round(fmean(values), 5) if values else None),
            len(values),
        )
    seconds = {
        kind: [
            record["seconds"]
            for record in jobs
            if record["kind"] == kind and record["status"] == "done"
        ]
        for kind in ("fit", "sample")
    }
    return {
        "means": means,
        "scored": scored,
        **{
            f"{kind}_seconds": round(fmean(values), 4) if values else None
            for kind, values in seconds.items()
        },
        "failures": sorted(filter(None, failed)),
    }


def with_trial(
    trials: Sequence[Mapping[str, Any]], new: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The trials with a new one in the place of an earlier one of the same settings, else at the
    end."""
    if not any(trial["settings"] == new["settings"] for trial in trials):
        return [*trials, new]
    return [new if trial["settings"] == new["settings"] else trial for trial in trials]


def choose(
    trials: Sequence[Mapping[str, Any]], metric: str, items: int, *, higher_is_better: bool
) -> Settings | None:
    """Settings of the trial with the best mean; of equal ones the first. Only trials that scored
    every item count; None if none did."""
    whole = [trial for trial in trials if trial["scored"].get(metric) == items]
    if not whole:
        return None
    sign = 1 if higher_is_better else -1
    return dict(max(whole, key=lambda trial: sign * trial["means"][metric])["settings"])


def read_record(path: Path, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """An earlier record of the same tuning; None where there is none.

    Raises:
        UsageError: the file holds another tuning, which must not be lost.
        InputError: it cannot be read.
    """
    if not path.exists():
        return None
    try:
        record = dict(parse(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read as the record of a tuning: {error}.") from None
    if {key: record.get(key) for key in question} != dict(question):
        raise UsageError(
            f"{path} records another tuning, which is kept: name another file with --out, or remove it."
        )
    return record


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the record in the place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def question_of(
    recipe: Recipe, scale: str, suite: PromptSuite, splits: Sequence[str], budget: Budget
) -> dict[str, Any]:
    """What a tuning asks: the part of its record that is there before the first trial."""
    combinations = int(np.prod([len(values) for values in budget.grid.values()]))
    return {
        "format": FORMAT,
        "model": recipe.name,
        "scale": scale,
        "suite": {
            "name": suite.name,
            "version": suite.version,
            "digest": suite.digest,
            "splits": list(splits),
            "individuals": len(suite.subjects),
            "items": len(suite.items),
        },
        "metric": budget.metric,
        "budget": {"trials": budget.trials, "combinations": combinations, "seed": budget.seed},
        "grid": {key: list(values) for key, values in budget.grid.items()},
    }
