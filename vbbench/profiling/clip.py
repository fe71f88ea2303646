"""``vbbench profile clip``: where the seconds of a whole clip go, from prompt items to frames."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any

import torch

from vbbench import suite
from vbbench.errors import UsageError
from vbbench.models.text_to_video import PARTS, LatentVideoModel
from vbbench.profiling.ceilings import measure_ceilings
from vbbench.profiling.costs import count_operations
from vbbench.profiling.measure import clock_for
from vbbench.profiling.options import Options, command
from vbbench.profiling.record import Ceiling, Check, Record, Row, ceiling
from vbbench.recipes import build_model
from vbbench.registry import resolve_models
from vbbench.run.environment import PeakMemory, commit, describe
from vbbench.run.plan import sampling_params
from vbbench.threads import torch_threads
from vbbench.types import PromptItem, SamplingParams

PART, SUITE = "clip", "mini"
OUTSIDE = 0.05
"""The target: what lies outside the denoising steps is at most so much of a clip."""
DEFAULT_MODELS = ("text-to-video", "elite", "videobooth")
ROUNDS, QUICK_ROUNDS = 5, 2


@dataclass
class Stopwatch:
    """Seconds between the beginnings of parts; CPU time of the process on a CPU with one thread, else on the wall."""

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
        return time.process_time() if self.device == "cpu" and self.threads == 1 else time.perf_counter()


def profile(options: Options) -> Record:
    """Measure.

    `Options.further`: ``models`` (names), ``batch`` (clips at once; None: the recipe's).

    Raises:
        UsageError: unknown models, models that must be fitted or are no latent video model, or options of other profiles.
    """
    if options.backward or options.backends or options.dtypes or options.frames or options.sizes:
        raise UsageError("a clip is measured as its recipe makes it: --models, --batch, --device, --threads and --quick are what it takes.")
    environment = describe(options.device, options.threads) | {"commit": commit()}
    rows = []
    with torch_threads(options.threads):
        ceilings = measure_ceilings(options.device, ("float32",), clock_for(options.device, options.threads))
        for recipe in resolve_models(",".join(options.further.get("models") or DEFAULT_MODELS)):
            if recipe.fitted:
                raise UsageError(f"the model {recipe.name!r} must be fitted to a subject first; its report says what a clip costs.")
            options.tell(recipe.name)
            rows.append(_row(recipe, options, ceilings))
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
        gaps=(),
        checks=tuple(_check(row) for row in rows),
    )


HOW = (
    "Seconds a clip of the suite mini, in the recipe's own batches, miniature weights: prompt items in, frames out. Loading weights is "
    "apart: the first call's figure holds it.",
    "Each clip is sampled with nothing kept from the rounds before: image prompts pass through the network anew.",
    "Conditions: texts and image prompts are read and encoded. Denoising: the sampling loop with guidance and scheduler. Decoding: latents "
    "to uint8 frames. On a CPU with one thread CPU time of the process, else time on the wall.",
    "Outside of denoising: conditions and decoding together, over the whole.",
    "Operations: those of all products, counted; their share of the roofline holds them against this device's ceiling of matrix products.",
)


def _row(recipe: Any, options: Options, ceilings: Sequence[Ceiling]) -> Row:
    chosen = suite.load(SUITE)
    params = sampling_params(recipe, "mini", num_frames=chosen.num_frames, size=chosen.size, fps=chosen.fps, overrides={})
    batch = options.further.get("batch") or params.batch_size
    items = chosen.items[:batch]
    start = time.perf_counter()
    _measured(recipe, items, params, options)
    first = time.perf_counter() - start
    memory = PeakMemory(options.device)
    rounds = [_measured(recipe, items, params, options) for _ in range(QUICK_ROUNDS if options.quick else ROUNDS)]
    seconds = sorted(sum(parts.values()) / batch for parts in rounds)
    middle = median(seconds)
    flops = _operations(recipe, items, params, options) / batch
    peak = ceiling(ceilings, "matmul", "float32")
    parts = {part: median(one[part] / batch for one in rounds) for part in PARTS}
    quartiles = seconds[len(seconds) // 4], seconds[(3 * len(seconds)) // 4 if len(seconds) > 1 else 0]
    return Row(
        part=PART,
        case=f"{chosen.num_frames} frames, {chosen.size} px, {params.num_inference_steps} steps, {batch} clips at once",
        variant=recipe.name,
        exact=True,
        device=options.device,
        dtype="float32",
        grad=False,
        median_seconds=middle,
        min_seconds=seconds[0],
        spread=(quartiles[1] - quartiles[0]) / middle,
        rounds=len(rounds),
        first_seconds=first,
        peak_memory_mb=memory.megabytes(),
        flops=flops,
        roofline=flops / peak / middle if peak else None,
        facts={"seconds_by_part": parts, "outside": 1 - parts["denoising"] / sum(parts.values())},
    )


def _operations(recipe: Any, items: Sequence[PromptItem], params: SamplingParams, options: Options) -> float:
    """Operations of the products of a batch. Every step has as many, so two are enough to know them all."""
    found = []
    for steps in (1, 2):
        model = build_model(recipe, "mini", options.device)
        few = replace(params, num_inference_steps=steps)
        found.append(count_operations(partial(model.generate, items, few)).flops)
    return found[0] + (params.num_inference_steps - 1) * (found[1] - found[0])


def _measured(recipe: Any, items: Sequence[PromptItem], params: SamplingParams, options: Options) -> dict[str, float]:
    """Seconds of each part of one batch, by a model that has kept nothing."""
    model = build_model(recipe, "mini", options.device)
    if not isinstance(model, LatentVideoModel):
        raise UsageError(f"the model {recipe.name!r} is no latent video model: its parts cannot be told apart.")
    watch = Stopwatch(options.device, options.threads)
    model.on_part = watch.begin
    model.generate(items, params)
    watch.begin("")
    return watch.seconds


def _check(row: Row) -> Check:
    name = f"{row.variant}: share of a clip outside of the denoising steps"
    return Check(name, OUTSIDE, False, "", row.facts["outside"], "", "target: at most 5 %", counts=True)


def _command(options: Options) -> str:
    words = [command(PART, options)]
    if models := options.further.get("models"):
        words.append(f"--models {','.join(models)}")
    if batch := options.further.get("batch"):
        words.append(f"--batch {batch}")
    return " ".join(words)
