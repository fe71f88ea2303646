"""A run held against a recording: one verdict a model and metric, from paired items and measured
noise.

The same code on the same items gives the same numbers up to noise, so that every item is its own
yardstick. In order:

- an item, model or metric that was recorded has no number now: *not measured*;
- another suite or metric spec: *not comparable*;
- no item moved further than noise explains, and that noise could not hide a change of the
tolerance's size: *same*;
- items moved, and the mean by no more than the tolerance, as two one-sided tests show: *same*;
- the interval of the mean's change lies clear of zero, on the better side, and the row is no
reference and the metric has a direction: *better*;
- items moved, and nothing shows that it does not matter: *drifted*.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vbbench.errors import IncompleteError
from vbbench.metrics.spec import differing_fields
from vbbench.results.gate.scores import Cost, Noise, Recording, cost_of
from vbbench.results.gate.tolerances import Tolerance, Tolerances
from vbbench.results.run_data import RunData
from vbbench.results.statistics import EQUIVALENT, Estimate, equivalence, mean_with_interval

NOISE_FACTOR = 3.0
"""An item has moved where its change is above this many times the largest change ever seen between
reruns of the same code."""
LEAST_NOISE = 1e-6
"""Change of one item that is called noise even where reruns gave the very same bits: the last
digits of float32."""
SHOWN_ITEMS = 5
UNCLEAR = "the mean's change is not clear of zero, nor shown to be small"


class Kind(StrEnum):
    """What the gate says of one row."""

    SAME = "same"
    BETTER = "better"
    DRIFTED = "drifted"
    SLOWER = "slower"
    NOT_MEASURED = "not measured"
    NOT_COMPARABLE = "not comparable"


PASSES = (Kind.SAME, Kind.BETTER)
FAILS = (Kind.DRIFTED, Kind.SLOWER)
MISSING = (Kind.NOT_MEASURED, Kind.NOT_COMPARABLE)


@dataclass(frozen=True)
class Moved:
    """One item's value then and now."""

    item: str
    old: float
    new: float


@dataclass(frozen=True)
class Verdict:
    """One row of the gate's table.

    Attributes:
        metric: a metric's name, or ``seconds`` or ``memory``.
        kind: what was found; `sentence` says why.
        old, new: means over the compared items (ratios of costs: the costs).
        change: of the mean, with its interval over individuals; None where nothing was compared.
        tolerance, noise: what the change was held against.
        moved: the items that moved most, the furthest first.
        counts: whether the row decides the exit code; costs on another machine do not.
    """

    model: str
    metric: str
    kind: Kind
    sentence: str
    old: float | None = None
    new: float | None = None
    change: Estimate | None = None
    tolerance: float | None = None
    noise: float | None = None
    moved: tuple[Moved, ...] = ()
    counts: bool = True


@dataclass(frozen=True)
class Outcome:
    """All rows, and the exit code that follows from them: 1 where something drifted, else 3 where
    something was not measured or not comparable, else 0."""

    verdicts: tuple[Verdict, ...]

    @property
    def exit_code(self) -> int:
        """0, 1 or 3."""
        counted = [verdict.kind for verdict in self.verdicts if verdict.counts]
        if any(kind in FAILS for kind in counted):
            return 1
        return 3 if not counted or any(kind in MISSING for kind in counted) else 0


def compare(
    run: RunData,
    recording: Recording,
    tolerances: Tolerances,
    *,
    models: Collection[str] | None = None,
    items: Collection[str] | None = None,
) -> Outcome:
    """Hold a run against a recording.

    Args:
        models, items: which of the recorded ones; all by default.
    Raises:
        IncompleteError: another suite or scale, an empty run, or nothing of it was ever recorded.
    """
    _check_suite(run, recording)
    chosen = [name for name in recording.models if models is None or name in models]
    wanted = [item for item in recording.subject_of if items is None or item in items]
    if not chosen or not wanted:
        raise IncompleteError("nothing that was to be compared has ever been recorded.")
    if not run.has_videos:
        raise IncompleteError("the run is empty: it holds no video.")
    verdicts: list[Verdict] = []
    for name in chosen:
        for metric in recording.models[name].scores:
            verdicts.append(_metric_verdict(run, recording, tolerances, name, metric, wanted))
        verdicts += _cost_verdicts(run, recording, tolerances, name)
    return Outcome(tuple(verdicts))


def _check_suite(run: RunData, recording: Recording) -> None:
    ours = {"name": run.suite.name, "version": run.suite.version, "digest": run.suite.digest}
    if (ours, run.suite.scale) != (dict(recording.suite), recording.scale):
        told = [f"{s['name']} {s['version']} ({s['digest'][:12]})" for s in (ours, recording.suite)]
        raise IncompleteError(
            f"the run cannot be compared: it is of suite {told[0]} at scale {run.suite.scale}, recorded is {told[1]} at {recording.scale}."
        )


def _metric_verdict(
    run: RunData,
    recording: Recording,
    tolerances: Tolerances,
    model: str,
    metric: str,
    wanted: Sequence[str],
) -> Verdict:
    spec, then = {spec.name: spec for spec in run.metrics}.get(metric), recording.metrics[metric]
    known = {facts.name: facts for facts in run.models}.get(model)
    if known is None:
        return Verdict(model, metric, Kind.NOT_MEASURED, f"{model} is not in the run")
    if spec is None:
        return Verdict(model, metric, Kind.NOT_MEASURED, f"the run has no {metric}")
    if spec.id != then.id:
        fields = ", ".join(differing_fields(then, spec))
        return Verdict(
            model,
            metric,
            Kind.NOT_COMPARABLE,
            f"recorded by spec {then.id}, now {spec.id}: they differ in {fields}",
        )
    chosen = set(wanted)
    old = {
        item: value
        for item, value in recording.models[model].scores[metric].items()
        if item in chosen and value is not None
    }
    new = run.values(model, metric)
    lost = [item for item in old if item not in new]
    if lost:
        reason = (
            run.results[model, lost[0], metric].reason
            if (model, lost[0], metric) in run.results
            else "it is not in the run"
        )
        return Verdict(
            model,
            metric,
            Kind.NOT_MEASURED,
            f"{len(lost)} of {len(old)} items have no number now; {lost[0]}: {reason}",
        )
    if not old:
        return Verdict(
            model, metric, Kind.NOT_MEASURED, "none of these items has a recorded number"
        )
    return _compared(
        model,
        metric,
        old,
        new,
        recording,
        tolerances.of(metric),
        better=spec.sign,
        can_improve=not known.is_reference,
    )


def _compared(
    model: str,
    metric: str,
    old: Mapping[str, float],
    new: Mapping[str, float],
    recording: Recording,
    tolerance: Tolerance,
    *,
    better: int,
    can_improve: bool,
) -> Verdict:
    """All items have both numbers. A reference row cannot improve: where it moves, the ruler
    has."""
    differences = [new[item] - old[item] for item in old]
    individuals = [recording.subject_of[item] for item in old]
    change = mean_with_interval(differences, individuals)
    bound = _noise_bound(recording.noise.get(metric))
    moved = sorted(
        (Moved(item, old[item], new[item]) for item in old), key=lambda m: -abs(m.new - m.old)
    )
    beyond = tuple(m for m in moved if abs(m.new - m.old) > bound)
    means = (_mean(old.values()), _mean([new[item] for item in old]))
    said: dict[str, Any] = {
        "old": means[0],
        "new": means[1],
        "change": change,
        "tolerance": tolerance.value,
        "noise": bound,
        "moved": beyond[:SHOWN_ITEMS],
    }
    if not beyond and bound <= tolerance.value:
        return Verdict(model, metric, Kind.SAME, "no item moved beyond noise", **said)
    how_many = (
        f"{len(beyond)} of {len(old)} items moved"
        if beyond
        else f"noise reaches {bound:.4f} an item"
    )
    if equivalence(differences, individuals, tolerance.value).verdict == EQUIVALENT:
        return Verdict(
            model, metric, Kind.SAME, f"{how_many}, the mean by less than the tolerance", **said
        )
    if change.sign == 0 and not beyond:
        return Verdict(
            model,
            metric,
            Kind.NOT_MEASURED,
            f"{how_many}: a change of the tolerance's size could hide in it",
            **said,
        )
    if change.sign == 0:
        why = (
            "too few individuals to show that it does not matter" if change.low is None else UNCLEAR
        )
        return Verdict(
            model,
            metric,
            Kind.DRIFTED,
            f"{how_many}, by {_rms(differences):.4f} (root mean square); {why}",
            **said,
        )
    kind = Kind.BETTER if change.sign == better and can_improve else Kind.DRIFTED
    direction = "up" if change.sign > 0 else "down"
    return Verdict(
        model,
        metric,
        kind,
        f"{how_many}; the mean went {direction} by {abs(change.mean or 0.0):.4f}",
        **said,
    )


def _rms(differences: Sequence[float]) -> float:
    return math.sqrt(math.fsum(d * d for d in differences) / len(differences))


def _noise_bound(noise: Noise | None) -> float:
    return max(LEAST_NOISE, NOISE_FACTOR * noise.largest) if noise else LEAST_NOISE


def _cost_verdicts(
    run: RunData, recording: Recording, tolerances: Tolerances, model: str
) -> list[Verdict]:
    """Speed and memory, only on the recording's own kind of machine."""
    if model not in {known.name for known in run.models}:
        return []
    then, now = recording.models[model].cost, cost_of(run, model)
    if then.machine != now.machine or not then.slowness or not now.slowness:
        why = f"recorded on {then.machine}; this is {now.machine}"
        return [
            Verdict(model, name, Kind.NOT_COMPARABLE, why, counts=False)
            for name in ("seconds", "memory")
        ]
    return [
        _ratio_verdict(
            model, "seconds", _relative_seconds(then), _relative_seconds(now), tolerances.speed
        ),
        _ratio_verdict(
            model, "memory", then.peak_memory_mb, _memory_as_then(then, now), tolerances.memory
        ),
    ]


def _relative_seconds(cost: Cost) -> float | None:
    """Seconds a clip, in those of a machine on which the reference workload takes its usual
    time."""
    if cost.sample_seconds is None or not cost.slowness:
        return None
    return cost.sample_seconds / cost.slowness


def _memory_as_then(then: Cost, now: Cost) -> float | None:
    """The peak in MB, as it would be in a process that was as large as the recorded one before the
    first job."""
    if now.peak_memory_mb is None or now.resident_mb is None or then.resident_mb is None:
        return None
    return now.peak_memory_mb - now.resident_mb + then.resident_mb


def _ratio_verdict(
    model: str, what: str, old: float | None, new: float | None, tolerance: Tolerance
) -> Verdict:
    if old is None or new is None or not all(0 < value < math.inf for value in (old, new)):
        return Verdict(
            model, what, Kind.NOT_COMPARABLE, "it was not measured in one of the two", counts=False
        )
    ratio = new / old
    told = f"{ratio:.2f} times what was recorded"
    if ratio > tolerance.value:
        return Verdict(
            model,
            what,
            Kind.SLOWER if what == "seconds" else Kind.DRIFTED,
            told,
            old,
            new,
            tolerance=tolerance.value,
        )
    kind = Kind.BETTER if ratio < 1 / tolerance.value else Kind.SAME
    return Verdict(model, what, kind, told, old, new, tolerance=tolerance.value)


def _mean(numbers: Collection[float]) -> float:
    return math.fsum(numbers) / len(numbers)


# What changed between two recordings, in sentences.


def changes(old: Recording, new: Recording) -> list[str]:
    """Sentences: who recorded the new one and why, then everything that differs, numbers last;
    empty where all is the same."""
    found = [
        *_facts(old, new),
        *_suite(old, new),
        *_specs(old, new),
        *_models(old, new),
        *_scores(old, new),
        *_noise(old, new),
    ]
    if not found:
        return []
    when, who, why = (new.facts.get(key) for key in ("when", "who", "why"))
    return [f"Recorded {when} by {who}: {why}", *found]


def _facts(old: Recording, new: Recording) -> Iterator[str]:
    for name in ("commit", "vbbench"):
        yield from _change(name, old.facts.get(name), new.facts.get(name))
    then, now = (dict(recording.facts.get("environment") or {}) for recording in (old, new))
    for name in (*then, *(name for name in now if name not in then)):
        if name not in ("slowness", "resident_mb"):  # of the hour, not of the machine
            yield from _change(f"environment: {name}", then.get(name), now.get(name))


def _suite(old: Recording, new: Recording) -> Iterator[str]:
    for name, value in old.suite.items():
        yield from _change(f"suite: {name}", value, new.suite[name])
    yield from _change("scale", old.scale, new.scale)
    yield from _sets("item", old.subject_of, new.subject_of)


def _specs(old: Recording, new: Recording) -> Iterator[str]:
    yield from _sets("metric", old.metrics, new.metrics)
    for name in old.metrics.keys() & new.metrics.keys():
        for field, (then, now) in differing_fields(old.metrics[name], new.metrics[name]).items():
            yield from _change(f"{name}: {field}", then, now)


def _models(old: Recording, new: Recording) -> Iterator[str]:
    yield from _sets("model", old.models, new.models)
    for name in old.models:
        if name in new.models:
            then, now = old.models[name], new.models[name]
            yield from _change(f"{name}: recipe", then.digest[:12], now.digest[:12])
            for part in dict.fromkeys((*then.weights, *now.weights)):
                yield from _change(
                    f"{name}: weights {part}",
                    then.weights.get(part, "")[:12],
                    now.weights.get(part, "")[:12],
                )
            for key in dict.fromkeys((*then.params, *now.params)):
                yield from _change(f"{name}: {key}", then.params.get(key), now.params.get(key))


def _scores(old: Recording, new: Recording) -> Iterator[str]:
    for name in old.models:
        for metric, then in old.models[name].scores.items():
            now = new.models[name].scores.get(metric, {}) if name in new.models else {}
            yield from _moved(name, metric, then, now, old.subject_of)


def _noise(old: Recording, new: Recording) -> Iterator[str]:
    for name in dict.fromkeys((*old.noise, *new.noise)):
        then, now = (recording.noise.get(name) for recording in (old, new))
        if then != now:
            told = [
                "not measured" if noise is None else f"{noise.largest:.1e} at most"
                for noise in (then, now)
            ]
            yield f"noise of {name}: {told[0]} -> {told[1]}"
    yield from _change("quick models", ", ".join(old.quick.models), ", ".join(new.quick.models))
    yield from _change("quick items", len(old.quick.items), len(new.quick.items))


def _moved(
    name: str,
    metric: str,
    then: Mapping[str, float | None],
    now: Mapping[str, float | None],
    subject_of: Mapping[str, str],
) -> Iterator[str]:
    both = {
        item: (value, now[item])
        for item, value in then.items()
        if value is not None and now.get(item) is not None
    }
    differences = {item: b - a for item, (a, b) in both.items() if b is not None}
    moved = sum(difference != 0 for difference in differences.values())
    if moved:
        found = mean_with_interval(
            list(differences.values()), [subject_of[item] for item in differences]
        )
        interval = "" if found.low is None else f" ({found.low:+.4f} to {found.high:+.4f})"
        yield f"{name}: {metric} moved on {moved} of {len(differences)} items, by {found.mean:+.4f} in the mean{interval}."
    lost = sum(
        value is not None and now.get(item) is None for item, value in then.items() if item in now
    )
    if lost:
        yield f"{name}: {metric} has no number any more for {lost} items."


def _change(what: str, then: Any, now: Any) -> Iterator[str]:
    if then != now:
        yield f"{what}: {_shown(then)} -> {_shown(now)}"


def _sets(noun: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for verb, names in (("gone", then.keys() - now.keys()), ("new", now.keys() - then.keys())):
        if names:
            yield f"{noun}s {verb}: {', '.join(sorted(names))}"


def _shown(value: Any) -> str:
    return "none" if value is None or value == "" else str(value)
