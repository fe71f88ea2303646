"""What changed between two recordings, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vbbench.metrics.spec import differing_fields
from vbbench.results.gate.scores import Recording
from vbbench.results.statistics import mean_with_interval


def changes(old: Recording, new: Recording) -> list[str]:
    """Sentences: who recorded the new one and why, then everything that differs, numbers last; empty where all is the same."""
    found = [*_facts(old, new), *_suite(old, new), *_specs(old, new), *_models(old, new), *_scores(old, new), *_noise(old, new)]
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
                yield from _change(f"{name}: weights {part}", then.weights.get(part, "")[:12], now.weights.get(part, "")[:12])
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
            told = ["not measured" if noise is None else f"{noise.largest:.1e} at most" for noise in (then, now)]
            yield f"noise of {name}: {told[0]} -> {told[1]}"
    yield from _change("quick models", ", ".join(old.quick.models), ", ".join(new.quick.models))
    yield from _change("quick items", len(old.quick.items), len(new.quick.items))


def _moved(
    name: str, metric: str, then: Mapping[str, float | None], now: Mapping[str, float | None], subject_of: Mapping[str, str]
) -> Iterator[str]:
    both = {item: (value, now[item]) for item, value in then.items() if value is not None and now.get(item) is not None}
    differences = {item: b - a for item, (a, b) in both.items() if b is not None}
    moved = sum(difference != 0 for difference in differences.values())
    if moved:
        found = mean_with_interval(list(differences.values()), [subject_of[item] for item in differences])
        interval = "" if found.low is None else f" ({found.low:+.4f} to {found.high:+.4f})"
        yield f"{name}: {metric} moved on {moved} of {len(differences)} items, by {found.mean:+.4f} in the mean{interval}."
    lost = sum(value is not None and now.get(item) is None for item, value in then.items() if item in now)
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
