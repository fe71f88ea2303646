"""``vbbench profile clip``: where the seconds of a whole clip go, from prompt items to frames."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vbbench.core.environment import commit, describe
from vbbench.core.threads import torch_threads
from vbbench.data.suites import load_suite
from vbbench.errors import IncompleteError, UsageError, one_line
from vbbench.models.latent_video import PARTS, LatentVideoModel
from vbbench.models.recipes import build_model, load_recipe, with_training_seed
from vbbench.models.registry import resolve_models
from vbbench.models.videobooth.model import VideoBooth
from vbbench.networks.sampling.speed import Approximate
from vbbench.profiling.ceilings import measure_ceilings
from vbbench.profiling.costs import count_operations
from vbbench.profiling.measure import Timing, clock_for
from vbbench.profiling.memory import peak_in_fresh_process, peak_of
from vbbench.profiling.options import Options, command
from vbbench.profiling.record import Ceiling, Check, Gap, Record, Row, ceiling
from vbbench.runner.plan import sampling_params
from vbbench.types import PromptItem, PromptSuite, Recipe, SamplingParams

PART, SUITE, SCALE, LOADING = "clip", "mini", "mini", "load_seconds"
OUTSIDE = 0.05
"""The target: what lies outside the denoising steps is at most so much of a clip."""
DEFAULT_MODELS = ("text-to-video", "elite", "videobooth")
ROUNDS, QUICK_ROUNDS = 5, 2
SHORT: Mapping[str, Any] = {"num_frames": 2, "num_inference_steps": 1}
"""Sampling parameters of a clip that runs all code and holds little."""


@dataclass
class Stopwatch:
    """Seconds between the beginnings of parts; CPU time of the process on a CPU with one thread,
    else on the wall."""

    device: str
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)
    _part: str = ""
    _since: float = 0.0

    def begin(self, part: str) -> None:
        """The part before has ended; an empty name begins none."""
        now = self._now()
        if self._part:
            self.seconds[self._part] = self.seconds.get(self._part, 0.0) + now - self._since
        self._part, self._since = part, now

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return (
            time.process_time()
            if self.device == "cpu" and self.threads == 1
            else time.perf_counter()
        )


def profile(options: Options) -> Record:
    """Measure.

    `Options.further`: ``models`` (names), ``batch`` (clips at once; None: the recipe's).

    Raises:
        UsageError: unknown models, models that must be fitted or are no latent video model, or
            options of other profiles, or more clips at once than the suite has items.
    """
    if options.backward or options.backends or options.dtypes or options.frames or options.sizes:
        raise UsageError(
            "a clip is measured as its recipe makes it: --models, --batch, --device, --threads and --quick are what it takes."
        )
    chosen, asked = load_suite(SUITE), options.further.get("batch")
    if asked and asked > len(chosen.items):
        raise UsageError(
            f"--batch {asked}: the suite {SUITE} has {len(chosen.items)} items, so no more clips can be made at once."
        )
    environment = describe(options.device, options.threads) | {"commit": commit()}
    rows: list[Row] = []
    gaps: list[Gap] = []
    with torch_threads(options.threads):
        ceilings = measure_ceilings(
            options.device, ("float32",), clock_for(options.device, options.threads)
        )
        for recipe in resolve_models(",".join(options.further.get("models") or DEFAULT_MODELS)):
            if recipe.fitted:
                raise UsageError(
                    f"the model {recipe.name!r} must be fitted to a subject first; its report says what a clip costs."
                )
            options.tell(recipe.name)
            rows.append(_row(batch_of(recipe, chosen, asked), options, ceilings, gaps))
    return Record(
        part=PART,
        title="A whole clip",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=_command(options),
        environment=environment,
        how=HOW,
        baselines=(),
        ceilings=ceilings,
        rows=tuple(rows),
        gaps=tuple(gaps),
        checks=tuple(_check(row) for row in rows),
    )


HOW = (
    "Seconds a clip of the suite mini, in the recipe's own batches, miniature weights: prompt items in, frames out. Loading is not in "
    "them; profile.json tells its median. The first call's figure is of the same kind, right after the first loading.",
    "Each clip is sampled with nothing kept from the rounds before: image prompts pass through the network anew.",
    "Conditions: texts and image prompts are read and encoded. Denoising: the sampling loop with guidance and scheduler. Decoding: latents "
    "to uint8 frames. On a CPU with one thread CPU time of the process, else time on the wall.",
    "Outside of denoising: conditions and decoding together, over the whole.",
    "Memory: the most that one batch holds beyond the loaded model (on a CPU in a fresh process).",
    "Operations: those of all products, counted; their share of the roofline holds them against this device's ceiling of matrix products.",
    "Approximate: the model evaluates less than its own formula asks for. Fewer steps and another image prompt are other settings of "
    "sampling, computed exactly; profile.json tells of each row's.",
)


@dataclass(frozen=True)
class Batch:
    """What is made at once: a model's recipe, items of the suite, and sampling parameters."""

    recipe: Recipe
    items: tuple[PromptItem, ...]
    params: SamplingParams

    def load(self, device: str) -> LatentVideoModel:
        """The model, which has kept nothing yet.

        Raises:
            UsageError: its parts cannot be told apart.
        """
        model = build_model(self.recipe, SCALE, device)
        if not isinstance(model, LatentVideoModel):
            raise UsageError(
                f"the model {self.recipe.name!r} is no latent video model: its parts cannot be told apart."
            )
        return model


def batch_of(recipe: Recipe, chosen: PromptSuite, clips: int | None = None) -> Batch:
    """The suite's first items; ``clips`` None: as many as the recipe makes at once."""
    params = sampling_params(
        recipe, SCALE, num_frames=chosen.num_frames, size=chosen.size, fps=chosen.fps, overrides={}
    )
    return Batch(recipe, chosen.items[: clips or params.batch_size], params)


def _row(batch: Batch, options: Options, ceilings: Sequence[Ceiling], gaps: list[Gap]) -> Row:
    clips, params = len(batch.items), batch.params
    case = f"{params.num_frames} frames, {params.size} px, {params.num_inference_steps} steps, {clips} clip{'' if clips == 1 else 's'} at once"
    first, *rounds = [
        _measured(batch, options) for _ in range(1 + (QUICK_ROUNDS if options.quick else ROUNDS))
    ]
    timing = Timing(
        tuple(sum(each[part] for part in PARTS) / clips for each in rounds),
        sum(first[part] for part in PARTS) / clips,
    )
    parts = {part: median(each[part] / clips for each in rounds) for part in PARTS}
    model = batch.load(options.device)
    flops = operations(batch, model.approximate.reuse_features, options.device) / clips
    peak = ceiling(ceilings, "matmul", "float32")
    facts = {
        "seconds_by_part": parts,
        "outside": 1 - parts["denoising"] / sum(parts.values()),
        LOADING: median(x[LOADING] for x in rounds),
    }
    return Row(
        part=PART,
        case=case,
        variant=batch.recipe.name,
        exact=model.approximate == Approximate(),
        device=options.device,
        dtype="float32",
        grad=False,
        median_seconds=timing.median,
        min_seconds=timing.minimum,
        spread=timing.spread,
        rounds=len(timing.seconds),
        first_seconds=timing.first_seconds,
        peak_memory_mb=None if options.quick else _memory(batch, case, options, gaps),
        flops=flops,
        roofline=flops / peak / timing.median if peak and timing.median else None,
        facts=facts | settings_facts(model, params),
    )


def settings_facts(model: LatentVideoModel, params: SamplingParams) -> dict[str, Any]:
    """In words, what a model leaves out, and how it samples."""
    facts: dict[str, Any] = {"steps": params.num_inference_steps}
    if model.approximate != Approximate():
        settings = ", ".join(f"{key} = {value}" for key, value in asdict(model.approximate).items())
        facts["approximate"] = (
            f"the UNet's inner levels are not evaluated at every step ({settings})"
        )
    if isinstance(model, VideoBooth) and model.network.injects:
        per_frame = model.settings.get("image_prompt_noise") == "per-frame"
        noise = (
            "with a noise of its own each"
            if per_frame
            else "with noise"
            if model.network.noises_image_prompt
            else "without noise"
        )
        facts["image prompt"] = (
            f"{params.num_frames if per_frame else 1} frame{'s' if per_frame else ''} {noise}"
        )
    return facts


def operations(batch: Batch, period: int, device: str) -> float:
    """Operations of the products of a batch. Every ``period`` steps have as many, so one period
    more than a few steps tells of them all."""

    def of(steps: int) -> float:
        few = replace(batch.params, num_inference_steps=steps)
        return count_operations(partial(batch.load(device).generate, batch.items, few)).flops

    periods, rest = divmod(batch.params.num_inference_steps - 1, period)
    start = of(1 + rest)
    return start + periods * (of(1 + rest + period) - start) if periods else start


def _measured(batch: Batch, options: Options) -> dict[str, float]:
    """Seconds of each part of one batch, by a model that has kept nothing, and of loading it."""
    watch = Stopwatch(options.device, options.threads)
    watch.begin(LOADING)
    model = batch.load(options.device)
    watch.begin("")
    model.on_part = watch.begin
    model.generate(batch.items, batch.params)
    watch.begin("")
    return watch.seconds


def prepared(folder: str, training_seed: int, clips: int) -> Callable[[], object]:
    """For a fresh process on the CPU: making a batch, the model loaded and the code too, by a clip
    of a step and few frames."""
    recipe = load_recipe(Path(folder))
    batch = batch_of(
        with_training_seed(recipe, training_seed) if training_seed else recipe,
        load_suite(SUITE),
        clips,
    )
    model = batch.load("cpu")
    model.generate(batch.items[:1], replace(batch.params, **SHORT))
    return_freed_memory()
    return partial(model.generate, batch.items, batch.params)


def return_freed_memory() -> None:
    """Hand what was freed back to the system, where the C library can; else a call would use it
    again unseen."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)


def _memory(batch: Batch, case: str, options: Options, gaps: list[Gap]) -> float | None:
    """In MB, of a batch."""
    if options.device == "cuda":
        return peak_of(partial(batch.load("cuda").generate, batch.items, batch.params), "cuda")
    recipe = batch.recipe
    arguments = {
        "folder": str(recipe.folder),
        "training_seed": recipe.training_seed or 0,
        "clips": len(batch.items),
    }
    try:
        return peak_in_fresh_process(
            f"{__name__}:{prepared.__name__}", arguments, threads=options.threads
        )
    except IncompleteError as error:
        gaps.append(Gap(PART, case, f"memory of {recipe.name}", "float32", one_line(error)[:300]))
        return None


def _check(row: Row) -> Check:
    name = f"{row.variant}: share of a clip outside of the denoising steps"
    return Check(
        name, OUTSIDE, False, "", row.facts["outside"], "", "target: at most 5 %", counts=True
    )


def _command(options: Options) -> str:
    words = [command(PART, options)]
    if models := options.further.get("models"):
        words.append(f"--models {','.join(models)}")
    if batch := options.further.get("batch"):
        words.append(f"--batch {batch}")
    return " ".join(words)
