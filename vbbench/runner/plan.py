"""What a run is to do: every job, explicitly, with the hash of everything that decides its
result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from vbbench.core.names import nearest
from vbbench.core.paths import weights_path
from vbbench.core.weights_file import read_card
from vbbench.data.suite import derive_seed, first_prompts
from vbbench.errors import RecipeError
from vbbench.models.recipes import SEED_MARK, scale_settings
from vbbench.runner.hashing import (
    digest_of,
    item_content,
    model_content,
    params_content,
    subject_content,
    weights_digests,
)
from vbbench.types import Job, PromptItem, PromptSuite, Recipe, SamplingParams

if TYPE_CHECKING:
    from vbbench.runner.store import RunStore

# The released code's sampler is slower; a recipe says in [scales.<scale>.sampling] what it wants
# instead of these.
SAMPLING_DEFAULTS: Mapping[str, Any] = {
    "num_inference_steps": 25,
    "guidance_scale": 3.0,
    "scheduler": "ddim",
    "batch_size": 1,
}

MOST = 1_000_000
"""No sampling setting is as large as that, nor infinite, nor no number."""


@dataclass(frozen=True)
class RunConfig:
    """What the user asked for.

    Attributes:
        models: recipes, in the order they are run and shown.
        scale: ``mini`` or ``sd14``.
        sampling: settings that replace the recipes' own, by the names in `SAMPLING_DEFAULTS`.
        prompts_per_subject: only the first so many items of each subject; None for all.
    """

    models: tuple[Recipe, ...]
    scale: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    prompts_per_subject: int | None = None


@dataclass(frozen=True)
class ModelPlan:
    """The jobs of one model: fits first, then samples in fixed batches."""

    recipe: Recipe
    settings: Mapping[str, Any]
    params: SamplingParams
    weights: Mapping[str, str]
    fits: tuple[Job, ...]
    batches: tuple[tuple[Job, ...], ...]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.recipe.name

    @property
    def samples(self) -> tuple[Job, ...]:
        """All sample jobs, in order."""
        return tuple(job for batch in self.batches for job in batch)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs, in the order in which they are done."""
        return (*self.fits, *self.samples)


@dataclass(frozen=True)
class Plan:
    """Everything a run is to do.

    Attributes:
        suite: the whole suite, whatever part of it is planned.
        prompts_per_subject: how many items of each subject are planned; None for all.
    """

    suite: PromptSuite
    scale: str
    models: tuple[ModelPlan, ...]
    prompts_per_subject: int | None = None

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of all models, in the order in which they are done."""
        return tuple(job for model in self.models for job in model.jobs)


def build(config: RunConfig, suite: PromptSuite) -> Plan:
    """The plan for a suite.

    Raises:
        UsageError: a model has no settings for the scale.
        RecipeError: a recipe's settings cannot be understood.
        WeightsError: weights are missing or damaged.
    """
    planned = first_prompts(
        suite.items, lambda item: item.subject.id, config.prompts_per_subject or len(suite.items)
    )
    part = replace(suite, items=planned)
    subjects = {subject.id: subject_content(subject) for subject in part.subjects}
    items = {item.id: item_content(item, subjects[item.subject.id]) for item in planned}
    models = tuple(_plan_model(recipe, config, part, items) for recipe in config.models)
    return Plan(
        suite,
        config.scale,
        models,
        config.prompts_per_subject if len(planned) < len(suite.items) else None,
    )


def sampling_params(
    recipe: Recipe,
    scale: str,
    *,
    num_frames: int,
    size: int,
    fps: int,
    overrides: Mapping[str, Any] | None = None,
) -> SamplingParams:
    """A recipe's sampling parameters at the given frames; ``overrides`` touch only models that
    sample by steps at all.

    Raises:
        UsageError: the recipe has no such scale.
        RecipeError: an unknown key or a value of the wrong kind in ``[scales.<scale>.sampling]``.
    """
    own = scale_settings(recipe, scale).get("sampling", {})
    values = {**SAMPLING_DEFAULTS, **own, **(overrides or {} if own else {})}
    for key, value in values.items():
        default = SAMPLING_DEFAULTS.get(key)
        if default is None:
            raise RecipeError(
                f"the model {recipe.name!r} has the unknown sampling setting {key!r}: {nearest(key, SAMPLING_DEFAULTS)}"
            )
        kinds = (int, float) if isinstance(default, float) else type(default)
        if (
            not isinstance(value, kinds)
            or isinstance(value, bool)
            or not (isinstance(value, str) or abs(value) < MOST)
        ):
            raise RecipeError(
                f"{key} of the model {recipe.name!r} must be a {type(default).__name__}, not {value!r}."
            )
    if values["num_inference_steps"] < 1 or values["batch_size"] < 1:
        raise RecipeError(
            f"the model {recipe.name!r} needs at least one step and a batch of at least one."
        )
    values["guidance_scale"] = float(values["guidance_scale"])
    return SamplingParams(num_frames=num_frames, size=size, fps=fps, **values)


EVALUATION_TABLES = ("speed", "approximate", "memory", "dtype")


def _check_evaluation(recipe: Recipe, scale: str) -> None:
    """Tables of a recipe that runs one of the package's own models are read now, not at its first
    video.

    Raises:
        RecipeError: unknown settings or values that cannot be.
    """
    settings = scale_settings(recipe, scale)
    if recipe.entry.startswith("vbbench.models.") and any(
        table in settings for table in EVALUATION_TABLES
    ):
        from vbbench.networks.placement import memory_of
        from vbbench.networks.precision import dtype_name
        from vbbench.networks.sampling.speed import approximate_of, speed_of

        speed = speed_of(settings, device="")  # what the device cannot do is told when there is one
        approximate_of(settings)
        memory_of(settings, speed)
        dtype_name(settings)


def _check_scheduler(recipe: Recipe, params: SamplingParams) -> None:
    """A wrong name is told now, not at each video.

    Raises:
        UsageError: there is no such scheduler.
    """
    from vbbench.models.evaluation import LATENT_MODELS

    if recipe.entry in LATENT_MODELS and params.scheduler != SAMPLING_DEFAULTS["scheduler"]:
        from vbbench.networks.sampling.denoising import check_scheduler

        check_scheduler(params.scheduler)


def _plan_model(
    recipe: Recipe, config: RunConfig, suite: PromptSuite, items: Mapping[str, Any]
) -> ModelPlan:
    params = sampling_params(
        recipe,
        config.scale,
        num_frames=suite.num_frames,
        size=suite.size,
        fps=suite.fps,
        overrides=config.sampling,
    )
    _check_evaluation(recipe, config.scale)
    _check_scheduler(recipe, params)
    weights = weights_digests(recipe, config.scale)
    model = model_content(recipe, config.scale, weights)
    fits: dict[str, Job] = {}
    if recipe.fitted:
        for subject in suite.subjects:
            content = {
                "kind": "fit",
                "model": model,
                "subject": subject_content(subject),
                "seed": fit_seed(suite, subject.id),
            }
            fits[subject.id] = Job("fit", recipe.name, subject.id, None, digest_of(content))
    sampled = params_content(params)

    def sample_job(item: PromptItem) -> Job:
        needs = fits[item.subject.id].hash if recipe.fitted else None
        content = {
            "kind": "sample",
            "model": model,
            "item": items[item.id],
            "params": sampled,
            "needs": needs,
        }
        return Job("sample", recipe.name, item.subject.id, item.id, digest_of(content), needs)

    batches = tuple(
        tuple(map(sample_job, batch)) for batch in _batches(recipe, suite.items, params.batch_size)
    )
    settings = scale_settings(recipe, config.scale)
    return ModelPlan(recipe, settings, params, weights, tuple(fits.values()), batches)


def fit_seed(suite: PromptSuite, subject_id: str) -> int:
    """Seed of a fit, from the suite's seed and the subject."""
    return derive_seed(suite.seed, f"fit:{subject_id}")


def _batches(
    recipe: Recipe, items: Sequence[PromptItem], size: int
) -> Iterator[Sequence[PromptItem]]:
    """Batches that depend on the plan alone, never on what is already done; for fitted models each
    of one subject."""
    parts: list[list[PromptItem]] = [list(items)]
    if recipe.fitted:
        by_subject = sorted(items, key=lambda item: item.subject.id)
        parts = [list(part) for _, part in groupby(by_subject, key=lambda item: item.subject.id)]
    for part in parts:
        yield from (part[start : start + size] for start in range(0, len(part), size))


def missing_jobs(plan: Plan, store: RunStore) -> tuple[Job, ...]:
    """The plan's jobs without a good result: not done, done by other code, failed, or with a
    damaged file."""
    return tuple(job for job in plan.jobs if not store.is_done(job))


def _trained(model: ModelPlan, scale: str) -> dict[str, int]:
    """How long a method's own weights were trained, over all stages, and how many numbers they are;
    empty where it has none."""
    names = [model.settings["weights"][part] for part in model.settings.get("own", [])]
    cards = [read_card(weights_path(name, scale)) for name in names]
    known = {"steps": "total_steps", "parameters": "parameters"}
    return {
        what: sum(card[key] for card in cards)
        for what, key in known.items()
        if cards and all(key in card for card in cards)
    }


def manifest_models(plan: Plan) -> dict[str, dict[str, Any]]:
    """What the manifest says of each model."""
    return {
        model.name: {
            "digest": model.recipe.digest,
            "recipe": model.name.split(SEED_MARK)[0],
            "training_seed": model.recipe.training_seed,
            "trained": _trained(model, plan.scale),
            "title": model.recipe.title,
            "description": model.recipe.description,
            "citation": model.recipe.citation,
            "groups": list(model.recipe.groups),
            "role": model.recipe.role,
            "fitted": model.recipe.fitted,
            "weights": dict(model.weights),
            "settings": dict(model.settings),
            "params": asdict(model.params),
        }
        for model in plan.models
    }
