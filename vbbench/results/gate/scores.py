"""Recorded scores: what a run reached, who recorded it and why, and how much its numbers move by
themselves. One JSON file a suite."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vbbench.core.files import write_atomic
from vbbench.core.schema import NewerFormatError
from vbbench.core.strict_json import parse
from vbbench.errors import InputError
from vbbench.metrics.spec import spec_from_json
from vbbench.results.run_data import RunData
from vbbench.runner.records import RECORDING_FORMAT, RecordingFile, header_of
from vbbench.types import MetricSpec

QUICK_MODELS = ("videobooth", "text-to-video")


@dataclass(frozen=True)
class Cost:
    """What a model took. ``slowness`` is the time a reference workload took in the same run,
    relative to the machine on which costs are estimated (`vbbench.runner.estimate`): seconds
    divided by it can be compared between hours of one machine, not between machines.
    ``resident_mb`` is the memory of the process before the first job, libraries and reference
    workload included."""

    machine: str
    slowness: float | None
    resident_mb: float | None
    sample_seconds: float | None
    fit_seconds: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class RecordedModel:
    """One model's scores: metric -> item id -> value, None where the item had none; and its
    cost."""

    title: str
    digest: str
    weights: Mapping[str, str]
    params: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, float | None]]
    cost: Cost


@dataclass(frozen=True)
class Noise:
    """How far a metric's value of one item moved between runs of the same code: standard deviation
    and largest of ``pairs`` differences."""

    sd: float
    largest: float
    pairs: int


@dataclass(frozen=True)
class Quick:
    """The small fixed part of a recording that ``gate --quick`` runs again."""

    models: tuple[str, ...]
    items: tuple[str, ...]


@dataclass(frozen=True)
class Recording:
    """Everything the gate compares with.

    Attributes:
        subject_of: item id -> subject id.
        noise: metric -> its noise, where reruns were given.
        conditions: what differed between those reruns, in words.
        facts: who, why, when, commit, vbbench, environment.
        quick: what ``gate --quick`` runs.
    """

    suite: Mapping[str, str]
    scale: str
    metrics: Mapping[str, MetricSpec]
    subject_of: Mapping[str, str]
    models: Mapping[str, RecordedModel]
    noise: Mapping[str, Noise]
    conditions: Sequence[str]
    facts: Mapping[str, Any]
    quick: Quick


def recording_of(
    run: RunData, facts: Mapping[str, Any], reruns: Sequence[RunData] = ()
) -> Recording:
    """What is recorded of a run.

    Args:
        facts: who, why, when ...
        reruns: further runs of the same code, models and suite under other threads, batches ...;
            their differences are the noise.
    """
    for rerun in reruns:
        _check_rerun(run, rerun)
    suite = {"name": run.suite.name, "version": run.suite.version, "digest": run.suite.digest}
    models = {model.name: _recorded(run, model.name) for model in run.models}
    environments = [_environment(other) for other in reruns]
    conditions = [
        ", ".join(
            f"{key} {value}" for key, value in found.items() if key in ("threads", "device", "cpu")
        )
        for found in environments
    ]
    return Recording(
        suite=suite,
        scale=run.suite.scale,
        metrics={spec.name: spec for spec in run.metrics},
        subject_of=run.subject_of,
        models=models,
        noise=measured_noise(run, reruns),
        conditions=conditions,
        facts=dict(facts),
        quick=_quick(run),
    )


def _check_rerun(run: RunData, rerun: RunData) -> None:
    """Raises InputError unless the rerun is of the same suite, metrics and models."""
    if run.suite.digest != rerun.suite.digest:
        raise InputError("a rerun is of another suite: its differences are no noise.")
    specs = {spec.name: spec.id for spec in run.metrics}
    if not rerun.metrics or any(specs.get(spec.name) != spec.id for spec in rerun.metrics):
        raise InputError(
            "a rerun was measured by other metric specs: its differences are no noise."
        )
    known = {model.name: model for model in run.models}
    for model in rerun.models:
        # params hold the batch size, which is just what reruns vary
        same = model.name in known and (model.digest, model.weights) == (
            known[model.name].digest,
            known[model.name].weights,
        )
        if not same:
            raise InputError(
                f"a rerun's model {model.name} is not the run's: its differences are no noise."
            )


def _quick(run: RunData) -> Quick:
    """The models that sample at once (a fit takes too long), and the first item of every
    subject."""
    sampled = [
        model.name for model in run.models if not model.is_reference and not run.fits[model.name]
    ]
    chosen = [name for name in QUICK_MODELS if name in sampled] or sampled
    first = {subject: item for item, subject in reversed(run.subject_of.items())}
    return Quick(tuple(chosen), tuple(item.id for item in run.items if item.id in first.values()))


def measured_noise(run: RunData, reruns: Sequence[RunData]) -> dict[str, Noise]:
    """Noise of each metric over all models and items, from the differences of each rerun with the
    run; empty without reruns."""
    found = {}
    for spec in run.metrics if reruns else ():
        values = {model.name: run.values(model.name, spec.name) for model in run.models}
        differences = [
            values[model.name][item] - value
            for other in reruns
            for model in other.models
            for item, value in other.values(model.name, spec.name).items()
            if item in values[model.name]
        ]
        if differences:
            sd = math.sqrt(
                sum(d * d for d in differences) / len(differences)
            )  # about zero: it is the same code
            found[spec.name] = Noise(sd, max(map(abs, differences)), len(differences))
    return found


def cost_of(run: RunData, model: str) -> Cost:
    """What the model took in a run: mean seconds a clip and a subject, the largest peak of
    memory."""
    environment = _environment(run)
    clips = [
        clip for (name, _), clip in run.clips.items() if name == model and clip.status == "done"
    ]
    fits = run.fits[model]
    cpu, device, threads = (environment.get(key) for key in ("cpu", "device", "threads"))
    return Cost(
        machine=f"{cpu}, {device}, {threads} threads",
        slowness=environment.get("slowness"),
        resident_mb=environment.get("resident_mb"),
        sample_seconds=_mean([clip.seconds for clip in clips]),
        fit_seconds=_mean([seconds for _, seconds, _ in fits]),
        peak_memory_mb=max(
            (
                mb
                for mb in [*(c.peak_memory_mb for c in clips), *(m for _, _, m in fits)]
                if mb is not None
            ),
            default=None,
        ),
    )


def write_recording(path: Path, recording: Recording) -> None:
    """Write the file; equal recordings give equal bytes."""
    record = {
        "format": RECORDING_FORMAT,
        "recorded": dict(recording.facts),
        "suite": dict(recording.suite),
        "scale": recording.scale,
        "noise": {
            "conditions": list(recording.conditions),
            "metrics": {name: asdict(noise) for name, noise in recording.noise.items()},
        },
        "quick": asdict(recording.quick),
        "metrics": {name: asdict(spec) for name, spec in recording.metrics.items()},
        "items": dict(recording.subject_of),
        "models": {name: asdict(model) for name, model in recording.models.items()},
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text + "\n")


def read_recording(path: Path) -> Recording:
    """Read recorded scores.

    Raises:
        InputError: there are none, or they are damaged or of another version of vbbench.
    """
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"there are no recorded scores {path}: `vbbench gate record RUN` makes them."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"the recorded scores {path} cannot be read: {error}.") from None
    try:
        recording = _recording(header_of(RecordingFile, content, RECORDING_FORMAT, "the recording"))
        _check(recording)
        return recording
    except NewerFormatError as error:
        raise InputError(f"{path} {error}.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the recorded scores {path} are damaged or from another version of vbbench: {error}."
        ) from None


def _recording(file: RecordingFile) -> Recording:
    models = {
        name: RecordedModel(**{**dict(model), "cost": Cost(**dict(model.cost))})
        for name, model in file.models.items()
    }
    return Recording(
        suite=dict(file.suite),
        scale=file.scale,
        metrics={name: spec_from_json(spec) for name, spec in file.metrics.items()},
        subject_of=file.items,
        models=models,
        noise={name: Noise(**dict(noise)) for name, noise in file.noise.metrics.items()},
        conditions=file.noise.conditions,
        facts=file.recorded,
        quick=Quick(tuple(file.quick.models), tuple(file.quick.items)),
    )


def _check(recording: Recording) -> None:
    """Raises ValueError where something that was recorded is gone or makes no sense."""
    items = set(recording.subject_of)
    if not recording.models or not recording.metrics or not items:
        raise ValueError("it holds no model, no metric or no item")
    if not all(recording.subject_of.values()):
        raise ValueError("an item has no subject")
    for name, model in recording.models.items():
        if set(model.scores) != set(recording.metrics) or any(
            set(values) != items for values in model.scores.values()
        ):
            raise ValueError(f"the scores of {name} are not of every metric and item")
    if not set(recording.noise) <= set(recording.metrics):
        raise ValueError("it holds noise of a metric that was not recorded")


def _recorded(run: RunData, name: str) -> RecordedModel:
    model = next(model for model in run.models if model.name == name)
    scores = {
        spec.name: {item.id: run.results[name, item.id, spec.name].value for item in run.items}
        for spec in run.metrics
    }
    return RecordedModel(
        model.title, model.digest, model.weights, model.params, scores, cost_of(run, name)
    )


def _environment(run: RunData) -> dict[str, Any]:
    return dict(run.manifests[0].get("environment", {}))


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None
