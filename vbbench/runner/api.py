"""From a request to a run: what the command line, Python and the gate share. Nothing here prints;
what a user should read goes to a callback or a `Progress`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.environment import PeakMemory, choose_device, describe
from vbbench.core.names import nearest
from vbbench.data.suites import load_suite
from vbbench.errors import UsageError
from vbbench.models.evaluation import asked, left_as_they_are
from vbbench.models.memory_notes import memory_estimates
from vbbench.models.registry import groups, resolve_models
from vbbench.runner import plan as plans
from vbbench.runner.estimate import Estimate, Speed, estimate, measure_speed
from vbbench.runner.manifest import make_manifest
from vbbench.runner.plan import Plan, manifest_models, missing_jobs
from vbbench.runner.progress import Progress, duration
from vbbench.runner.scoring import ScoringRequest, setting_note
from vbbench.runner.store import RunStore
from vbbench.types import Job, PromptSuite, Recipe

if TYPE_CHECKING:
    from vbbench.runner.execute import Summary
    from vbbench.runner.scoring import Scorer

DEFAULT_MODELS = "videobooth,baselines"
DEFAULT_SUITE = "mini"
REFERENCES = "references"
MOST_THREADS = 1024

_NOT_IN_CALL = ("models", "scoring", "dry_run", "fresh_process", "command")

Tell = Callable[[str], None]
"""Takes a sentence that the user should read, once it is known."""


def _ignore(sentence: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class RunRequest:
    """Everything that a user can ask of a run.

    Attributes:
        models: names, groups and recipe folders, separated by commas.
        suite: a bundled suite's name, a suite's folder, or a suite.
        out: the run folder; None for ``runs/<suite>``.
        scale: None for the suite's own.
        prompts_per_subject: only the first so many items of each subject; None for all.
        items: ids of the only items to do; None for all.
        references: whether the reference rows (real video, still image ...) are added.
        steps, guidance, scheduler, batch_size: in the place of the recipes' own.
        dtype, offload: of the networks, as far as a model takes them.
        scoring: how the videos are scored.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None for the run folder's own, else the scale's.
        dry_run: only plan: nothing is written, and there is no scorer.
        fresh_process: whether nothing else was done in this process before, so that the memory it
            began with means something.
        command: what the manifest says the run was made by; None for the process's own command.
    Raises:
        UsageError: a number that cannot be.
    """

    models: str = DEFAULT_MODELS
    suite: str | Path | PromptSuite = DEFAULT_SUITE
    out: Path | None = None
    scale: str | None = None
    prompts_per_subject: int | None = None
    items: tuple[str, ...] | None = None
    references: bool = True
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    dtype: str | None = None
    offload: bool = False
    batch_size: int | None = None
    scoring: ScoringRequest = field(default_factory=ScoringRequest)
    device: str = "auto"
    threads: int | None = None
    dry_run: bool = False
    fresh_process: bool = True
    command: str | None = None

    def __post_init__(self) -> None:
        for name in ("prompts_per_subject", "steps", "batch_size"):
            check_count(name, getattr(self, name))
        check_count("scoring batch", self.scoring.batch_size)
        check_count("threads", self.threads, MOST_THREADS)
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise UsageError(f"guidance must be finite, not {self.guidance}.")
        check_dtype(self.dtype)

    @property
    def sampling(self) -> dict[str, str | int | float]:
        """Settings that replace those of the recipes' table ``sampling``."""
        return given_values(
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            scheduler=self.scheduler,
            batch_size=self.batch_size,
        )


@dataclass(frozen=True)
class Prepared:
    """A run that can begin; closes its run folder as a context manager.

    Attributes:
        plan: every job.
        store: the open run folder; read-only for a dry run.
        scorer: None for a dry run.
        device: ``cpu`` or ``cuda``.
        speed: this machine's, with the number of threads that the run takes.
        missing: jobs of the plan that have no result yet.
        cost: of the missing jobs.
        memory: for each model of known size, what it needs, and a warning where that will not fit
            (else empty).
        notes: sentences that the user should read; told already.
        resident_mb: memory that the process began with, in MB; None where it means nothing.
        command: as in `RunRequest`.
    """

    plan: Plan
    store: RunStore
    scorer: Scorer | None
    device: str
    speed: Speed
    missing: tuple[Job, ...]
    cost: Estimate
    memory: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    resident_mb: float | None = None
    command: str | None = None

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    @property
    def root(self) -> Path:
        """The run folder."""
        return self.store.root

    @property
    def memory_warnings(self) -> list[str]:
        """Sentences on models that will not fit into memory."""
        return [f"Note: {warning}" for _, warning in self.memory if warning]

    @property
    def announcement(self) -> str:
        """What is left to do and how long it takes, in one sentence."""
        total = len(self.plan.jobs)
        if not self.cost.jobs:
            return f"All {total} jobs of this plan are done in {self.root}."
        kept = total - self.cost.jobs
        kept_words = f", {kept} kept" if kept else ""
        unknown = ""
        if self.cost.unknown:
            unknown = f" (without {', '.join(self.cost.unknown)}, whose cost nobody recorded)"
        time = duration(self.cost.seconds)
        return (
            f"{self.cost.jobs} jobs to do{kept_words}: about {time}{unknown}."
            f" Results go to {self.root}."
        )

    def interruption(self) -> str:
        """What stays of a run that was stopped, in one sentence."""
        total = len(self.plan.jobs)
        done = total - len(missing_jobs(self.plan, self.store))
        return (
            f"stopped; {done} of {total} jobs are done and kept in {self.root}."
            " Run the same command again to go on."
        )


def prepare(request: RunRequest, tell: Tell = _ignore) -> Prepared:
    """Plan a run, open its run folder, make its scorer, and estimate its cost.

    Args:
        tell: called with each of the notes and, unless it is a dry run, each memory warning.
    Returns:
        The prepared run; the caller closes it (``with prepare(request) as prepared``).
    Raises:
        UsageError: a wrong name, or options that do not go together.
        SuiteError, RecipeError, WeightsError: a suite, recipe or weights that cannot be used.
        RunFolderError: the run folder is another suite's, damaged, or open in another process.
    """
    notes: list[str] = []

    def note(sentence: str) -> None:
        notes.append(sentence)
        tell(sentence)

    suite = request.suite
    if not isinstance(suite, PromptSuite):
        suite = load_suite(suite)
    scale = request.scale or suite.scale
    recipes = _recipes(request, suite, scale, note)
    config = plans.RunConfig(tuple(recipes), scale, request.sampling, request.prompts_per_subject)
    plan = plans.build(config, _chosen_items(suite, request.items))
    root = request.out or Path("runs") / suite.name
    device = choose_device(request.device, scale)
    scorer = None
    if not request.dry_run:
        setting = request.scoring.setting(scale, num_frames=suite.num_frames, fps=suite.fps)
        scorer = request.scoring.scorer(suite.metrics, setting, device)
    sampled = [(model.recipe, model.params) for model in plan.models]
    memory = tuple(memory_estimates(sampled, scale, device))
    if not request.dry_run:
        for _, warning in memory:
            if warning:
                tell(f"Note: {warning}")
    store = RunStore(root, suite, scale, read_only=request.dry_run)
    try:
        prepared = prepare_plan(
            plan,
            store,
            scorer,
            device=device,
            threads=request.threads,
            fresh_process=request.fresh_process,
        )
    except BaseException:
        store.close()
        raise
    return replace(prepared, memory=memory, notes=tuple(notes), command=request.command)


def prepare_plan(
    plan: Plan,
    store: RunStore,
    scorer: Scorer | None,
    *,
    device: str,
    threads: int | None = None,
    fresh_process: bool = True,
) -> Prepared:
    """Prepare a plan that is made already, for a run folder that is open.

    Args:
        threads, fresh_process: as in `RunRequest`.
    Raises:
        RecipeError: a recipe's costs cannot be understood.
    """
    missing = missing_jobs(plan, store)
    # a run that goes on keeps its number of threads, and with it its last digits
    count = threads or store.manifest.get("environment", {}).get("threads")
    speed = measure_speed(count, plan.scale, device)
    resident_mb = round(PeakMemory(device).megabytes(), 1) if fresh_process else None
    cost = estimate(plan, missing, speed.slowness)
    return Prepared(
        plan, store, scorer, device, speed, tuple(missing), cost, resident_mb=resident_mb
    )


def run_prepared(prepared: Prepared, progress: Progress) -> Summary:
    """Do what is missing, and score what is not scored. A failed job is a record with its reason.

    Args:
        progress: told of every stage and every finished job; the caller enters and leaves it.
    Returns:
        How the run stands now, earlier invocations included.
    Raises:
        ValueError: it was prepared as a dry run.
        RunFolderError: the run folder holds scores that must not stand beside these.
        KeyboardInterrupt: as it comes; all finished jobs are kept.
    """
    from vbbench.runner.execute import execute

    plan, store, scorer = prepared.plan, prepared.store, prepared.scorer
    if scorer is None:
        raise ValueError(
            "a dry run has no scorer and cannot be executed: prepare it without dry_run."
        )
    manifest = make_manifest(
        plan.suite,
        plan.scale,
        manifest_models(plan),
        scorer.specs,
        _environment(prepared),
        plan.prompts_per_subject,
    )
    if prepared.command is not None:
        manifest["command"] = prepared.command
    left_out = store.write_manifest(manifest)
    if left_out:
        progress.say(setting_note(left_out))
    progress.say(prepared.announcement)
    with _global_generators_kept():
        return execute(
            plan,
            store,
            scorer,
            device=prepared.device,
            threads=prepared.speed.threads,
            progress=progress,
            missing=prepared.missing,
        )


def _environment(prepared: Prepared) -> dict[str, Any]:
    """The manifest's ``environment``.

    The seconds of a finished run belong to the hour in which it was made, not to the one in which
    it is looked at.
    """
    measured: dict[str, Any] = {
        "slowness": round(prepared.speed.slowness, 3),
        "resident_mb": prepared.resident_mb,
    }
    if not prepared.missing:
        earlier = prepared.store.manifest.get("environment", {})
        measured = {name: earlier.get(name) for name in measured}
    return {**describe(prepared.device, prepared.speed.threads), **measured}


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """Jobs seed the global random generators; a program that calls them gets its own back."""
    import numpy as np
    import torch

    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


def _recipes(request: RunRequest, suite: PromptSuite, scale: str, note: Tell) -> list[Recipe]:
    """The models that are named and the reference rows, as ``dtype`` and ``offload`` change them;
    models that these do not change are named in a note."""
    recipes = resolve_models(request.models)
    if request.references:
        recipes = [*recipes, *_references({recipe.name for recipe in recipes}, suite, note)]
    wanted: dict[str, Any] = {"dtype": request.dtype, "offload": request.offload}
    left = left_as_they_are(recipes, scale, **wanted)
    if left:
        note(
            f"Note: --dtype and --offload are not for {', '.join(left)}: fitted models and those"
            " with code of their own."
        )
    return [asked(recipe, scale, **wanted) for recipe in recipes]


def _references(names: Collection[str], suite: PromptSuite, note: Tell) -> list[Recipe]:
    """Reference rows to add; a note names those the suite lacks data for."""
    if REFERENCES not in groups():
        return []
    rows = [recipe for recipe in resolve_models(REFERENCES) if recipe.name not in names]
    lacking = [row for row in rows if not _has_data(suite, row.needs)]
    if lacking:
        needs = {need.replace("_", " ") for row in lacking for need in row.needs}
        note(
            f"Note: {', '.join(row.name for row in lacking)} left out: not every item of the suite"
            f" has its {' and '.join(sorted(needs))}."
        )
    return [row for row in rows if row not in lacking]


def _has_data(suite: PromptSuite, needs: Sequence[str]) -> bool:
    """Whether every item of the suite has the optional fields named."""
    return all(getattr(item, need) is not None for item in suite.items for need in needs)


def _chosen_items(suite: PromptSuite, items: Collection[str] | None) -> PromptSuite:
    """The suite with the named items alone.

    Raises:
        UsageError: an item that it does not have.
    """
    if items is None:
        return suite
    known = {item.id for item in suite.items}
    for item in items:
        if item not in known:
            raise UsageError(f"the suite {suite.name} has no item {item!r}: {nearest(item, known)}")
    return replace(suite, items=tuple(item for item in suite.items if item.id in items))


def model_list(models: str | Path | Sequence[str | Path]) -> str:
    """Models as one text with commas, from a list or a path."""
    if isinstance(models, str):
        return models
    if isinstance(models, Path):
        models = [models]
    return ",".join(str(m.absolute()) if isinstance(m, Path) else m for m in models)


def python_call(request: RunRequest) -> str:
    """The call of `vbbench.run` that makes a request, for the manifest."""
    words = [repr(request.models)]
    for each in fields(request):
        value = getattr(request, each.name)
        if each.name in _NOT_IN_CALL or value == each.default:
            continue
        if isinstance(value, PromptSuite):
            value = value.name
        if isinstance(value, Path):
            value = str(value)
        words.append(f"{each.name}={value!r}")
    return f"vbbench.run({', '.join(words)})"


def given_values(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def check_count(name: str, value: object, most: int | None = None) -> None:
    """Does nothing for None and for whole numbers from 1 to ``most``.

    Raises:
        UsageError: anything else.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
    if most is not None and value > most:
        raise UsageError(f"{name} must be at most {most}, not {value}.")


def check_dtype(dtype: str | None) -> None:
    """Does nothing for None and for a type that networks can have.

    Raises:
        UsageError: another one.
    """
    from vbbench.networks.precision import DTYPES

    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"there is no dtype {dtype!r}: {nearest(dtype, DTYPES)}")
