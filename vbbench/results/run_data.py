"""The record of one or more runs that reports are made from: a row for everything that was to be
done, finished or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from vbbench.data.suite import first_prompts
from vbbench.errors import IncompleteError, UsageError
from vbbench.metrics.spec import differing_fields
from vbbench.types import MetricSpec

REFERENCES = "references"
T = TypeVar("T")


@dataclass(frozen=True)
class SuiteFacts:
    """What a run folder says about its suite."""

    name: str
    version: str
    digest: str
    description: str
    scale: str
    num_frames: int
    size: int
    fps: int


@dataclass(frozen=True)
class ItemFacts:
    """A prompt item as the page shows it; `image` is the image prompt's file."""

    id: str
    subject_id: str
    class_name: str
    text: str
    subject_word: str
    image: Path


@dataclass(frozen=True)
class ModelFacts:
    """A model of the run. Two are equal when they make the same videos, whatever is said about
    them.

    Attributes:
        recipe: name of the recipe; several models are one recipe with the weights of several
            trainings.
        training_seed: which of these trainings; None for a model that has no trained weights of its
            own.
        fitted: whether it must be fitted to a subject before it samples.
        trained: of its own training, ``steps`` and ``parameters``, as far as the run says.
        role: of a reference row: ``ceiling``, ``floor``, ``copy`` ...; else empty.
    """

    name: str
    groups: tuple[str, ...]
    digest: str
    weights: Mapping[str, str]
    settings: Mapping[str, Any]
    params: Mapping[str, Any]
    title: str = field(compare=False)
    recipe: str = field(compare=False)
    training_seed: int | None = field(compare=False, default=None)
    description: str = field(compare=False, default="")
    citation: str = field(compare=False, default="")
    fitted: bool = field(compare=False, default=False)
    trained: Mapping[str, float] = field(compare=False, default_factory=dict)
    role: str = field(compare=False, default="")

    @property
    def is_reference(self) -> bool:
        """Whether its row is a ceiling or floor rather than a competitor."""
        return REFERENCES in self.groups


@dataclass(frozen=True)
class Clip:
    """What became of one sample job: a video, or the reason why there is none."""

    status: str  # "done", "failed" or "missing"
    reason: str | None = None
    video: Path | None = None
    digest: str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class FitFacts:
    """What a fit to a subject did and left behind; None where its record does not say.

    Attributes:
        done: whether there is an adapter.
        steps: steps of optimisation, or whatever the method counts as such.
        stored_bytes: size of the adapter's file.
    """

    subject_id: str
    done: bool
    steps: float | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True)
class Result:
    """A metric's value for one clip, or the reason why there is none."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class RunData:
    """One run, or several of one suite put together.

    Attributes:
        clips: (model, item id) -> what was sampled; has every model and item.
        results: (model, item id, metric) -> score; has every model, item and metric.
        fits: model -> (subject id, seconds, peak memory in MB or None), of the fits that are done.
        manifests: as they were written, one a run folder.
        fit_facts: model -> one for each subject whose fit was done or failed.
        prompts_per_subject: the runs are of the first so many items of each subject; None where
            they are of all.
    """

    suite: SuiteFacts
    items: tuple[ItemFacts, ...]
    models: tuple[ModelFacts, ...]
    metrics: tuple[MetricSpec, ...]
    clips: Mapping[tuple[str, str], Clip]
    results: Mapping[tuple[str, str, str], Result]
    fits: Mapping[str, tuple[tuple[str, float, float | None], ...]]
    manifests: tuple[Mapping[str, Any], ...]
    fit_facts: Mapping[str, tuple[FitFacts, ...]] = field(default_factory=dict)
    prompts_per_subject: int | None = None
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def remembered(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, worked out once for this run however often it is asked for; nobody may
        change it."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def first_prompts(self, count: int) -> RunData:
        """The same, of the first ``count`` items of each subject alone."""
        items = first_prompts(self.items, lambda item: item.subject_id, count)
        kept = {item.id for item in items}
        return replace(
            self,
            items=items,
            clips={key: clip for key, clip in self.clips.items() if key[1] in kept},
            results={key: result for key, result in self.results.items() if key[1] in kept},
            prompts_per_subject=count,
        )

    def values(self, model: str, metric: str) -> dict[str, float]:
        """Item id -> value, of the items that have one."""
        return dict(self.remembered(("values", model, metric), lambda: self._values(model, metric)))

    def _values(self, model: str, metric: str) -> dict[str, float]:
        found = {item.id: self.results[model, item.id, metric].value for item in self.items}
        return {item: value for item, value in found.items() if value is not None}

    def of_role(self, role: str) -> str | None:
        """Name of the first reference row with a role; None where there is none."""
        return next((model.name for model in self.models if model.role == role), None)

    @property
    def bounds(self) -> tuple[str, ...]:
        """Names of the reference rows that bound what a model can reach: ceiling, then floor."""
        names = (self.of_role("ceiling"), self.of_role("floor"))
        return tuple(name for name in names if name is not None)

    @property
    def has_videos(self) -> bool:
        """Whether any clip is there."""
        return any(clip.status == "done" for clip in self.clips.values())

    @property
    def subject_of(self) -> dict[str, str]:
        """Item id -> subject id."""
        return dict(
            self.remembered("subject_of", lambda: {item.id: item.subject_id for item in self.items})
        )


def merge_runs(runs: Sequence[RunData]) -> RunData:
    """Several runs of one suite, measured alike, as one; of the items that all of them were to do,
    where some were restricted.

    Raises:
        UsageError: no run.
        IncompleteError: they cannot be compared: another suite, metric spec, or two different
            models of one name.
    """
    if not runs:
        raise UsageError("a report needs at least one run folder.")
    counts = [run.prompts_per_subject for run in runs if run.prompts_per_subject is not None]
    if counts:
        runs = [run.first_prompts(min(counts)) for run in runs]
    first = runs[0]
    for run in runs[1:]:
        _check_comparable(first, run)
    merged = first
    for run in runs[1:]:
        known = {model.name: model for model in merged.models}
        for model in run.models:
            if known.get(model.name, model) != model:
                raise IncompleteError(
                    f"two runs hold a model {model.name} with different recipes, weights or settings: rename one of them."
                )
        merged = replace(
            merged,
            models=merged.models + tuple(model for model in run.models if model.name not in known),
            # A model that both runs hold is taken from the first: the same jobs give the same
            # videos.
            clips={**run.clips, **merged.clips},
            results={**run.results, **merged.results},
            fits={**run.fits, **merged.fits},
            fit_facts={**run.fit_facts, **merged.fit_facts},
            manifests=merged.manifests + run.manifests,
        )
    return merged


def _check_comparable(first: RunData, other: RunData) -> None:
    """Same suite, same items, same metric specs, or a sentence that says what differs."""
    a, b = first.suite, other.suite
    if (a.name, a.version, a.digest) != (b.name, b.version, b.digest):
        raise IncompleteError(
            f"these runs cannot be compared: one is of suite {a.name} {a.version} ({a.digest[:12]}), "
            f"the other of {b.name} {b.version} ({b.digest[:12]})."
        )
    if [item.id for item in first.items] != [item.id for item in other.items]:
        raise IncompleteError(
            "these runs cannot be compared: they hold different prompt items of the suite."
        )
    specs_a, specs_b = ({spec.name: spec for spec in run.metrics} for run in (first, other))
    for name in sorted(specs_a.keys() | specs_b.keys()):
        if name not in specs_a or name not in specs_b:
            raise IncompleteError(
                f"these runs cannot be compared: {name} was measured in one of them alone."
            )
        if specs_a[name].id != specs_b[name].id:
            raise IncompleteError(_difference_in_words(specs_a[name], specs_b[name]))


def _difference_in_words(a: MetricSpec, b: MetricSpec) -> str:
    fields = [
        f"{name} ({_shown(one)} and {_shown(two)})"
        for name, (one, two) in differing_fields(a, b).items()
    ]
    specs = f"{a.name} was measured by spec {a.id} in one and {b.id} in the other"
    return f"these runs cannot be compared: {specs}, which differ in {', '.join(fields)}."


def _shown(value: object) -> str:
    text = "any" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
