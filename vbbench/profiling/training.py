"""``vbbench profile training``: a training step of the fine stage, by every attention backend that
has gradients.

Shape suffixes: B clips, C channels, T frames, H/W latent pixels, S text tokens, D width.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import torch

from vbbench.attention import BACKENDS, load_backend
from vbbench.core.environment import commit, describe
from vbbench.core.threads import torch_threads
from vbbench.errors import IncompleteError, UsageError, one_line
from vbbench.networks.network import mini_config
from vbbench.networks.sampling.speed import Speed, apply_speed
from vbbench.networks.unet.unet import ImagePromptInput, UNetConfig, VideoUNet
from vbbench.profiling.ceilings import measure_ceilings
from vbbench.profiling.costs import count_operations
from vbbench.profiling.measure import Clock, Meter, Timing, clock_for, clock_words
from vbbench.profiling.memory import peak_in_fresh_process, peak_of
from vbbench.profiling.options import Options, command, refuse_unknown_names
from vbbench.profiling.record import Ceiling, Gap, Record, Row, ceiling
from vbbench.profiling.step_cases import SD14, SMALL, Case, build_network
from vbbench.profiling.step_facts import COUNTED_BACKEND
from vbbench.profiling.targets import CHOSEN

PART, TABLE = "training", "table"
BASELINES = ("released", "concat")
ROUNDS, QUICK_ROUNDS, LEARNING_RATE = 7, 3, 1e-4
TEXT_TOKENS = 16
ALONE = ("sd14",)
"""Scales of which two networks at once would be too much."""
FAILURES = (RuntimeError, ValueError, NotImplementedError, MemoryError, ImportError)
"""What a backend may fail with; a GPU without memory is a RuntimeError too."""


@dataclass(frozen=True)
class Size:
    """A network's and a batch's size."""

    config: UNetConfig
    latent: int
    frames: int
    clips: int


SIZES = {
    "mini": Size(replace(mini_config(["a"]).unet, injection=True, zero_init=False), 8, 8, 8),
    "small": Size(SMALL, 16, 16, 1),
    "sd14": Size(SD14, 32, 16, 1),
}
TINY = Size(
    replace(
        SIZES["mini"].config,
        block_out_channels=(16, 32),
        num_heads=(1, 2),
        cross_attention_dim=8,
        norm_num_groups=4,
    ),
    8,
    3,
    1,
)


def profile(options: Options) -> Record:
    """Measure.

    `Options.further`: ``scale``, a key of `SIZES`.

    Raises:
        UsageError: unknown names, or options of other profiles.
    """
    if options.frames or options.sizes or options.backward:
        raise UsageError(
            "a training step has the size of its scale: --scale, --backends, --dtype, --device and --quick are what it takes."
        )
    scale = options.further.get("scale") or "mini"
    refuse_unknown_names("attention backend {!r}", options.backends, BACKENDS)
    rows: list[Row] = []
    gaps: list[Gap] = []
    with torch_threads(options.threads):
        clock = clock_for(options.device, options.threads)
        dtypes = options.dtypes or ("float32", "bfloat16")
        ceilings = measure_ceilings(options.device, dtypes, clock)
        for dtype in dtypes:
            bench = Bench(scale, dtype, options, clock)
            rows += bench.measure(ceilings)
            gaps += bench.gaps
    return Record(
        part=PART,
        title="A training step",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"{command(PART, options)} --scale {scale}",
        environment=describe(options.device, options.threads) | {"commit": commit()},
        how=_how(options, scale),
        baselines=BASELINES,
        ceilings=ceilings,
        rows=tuple(rows),
        gaps=tuple(gaps),
        checks=(),
    )


class Bench:
    """One scale in one type.

    Args:
        scale: a key of `SIZES`.
        dtype: name of the type that the forward pass computes in.
        options: device, threads, quick, backends.
        clock: see `vbbench.profiling.measure.clock_for`.
    """

    def __init__(self, scale: str, dtype: str, options: Options, clock: Clock) -> None:
        self.gaps: list[Gap] = []
        self._scale, self._dtype, self._options, self._clock = scale, dtype, options, clock

    def measure(self, ceilings: Sequence[Ceiling]) -> list[Row]:
        """A row a backend that has gradients and did not fail."""
        names = self._willing()
        rows = []
        for group in [[name] for name in names] if self._scale in ALONE else [names]:
            self._options.tell(f"{self._dtype}: {', '.join(group)}")
            # The networks are gone before a fresh process makes one of its own.
            timed = self._timed(group)
            release(self._options.device)
            for name, (timing, peak) in timed.items():
                rows.append(
                    self._row(
                        name,
                        timing,
                        peak if self._options.device == "cuda" else self._memory(name),
                        ceilings,
                    )
                )
        return rows

    def _willing(self) -> list[str]:
        """Every backend that has gradients; a refusal is a gap."""
        query = torch.zeros(
            1, 2, 4, 1, 8, dtype=getattr(torch, self._dtype), device=self._options.device
        )
        names = []
        for name in (
            *(self._options.backends or (name for name in BACKENDS if name != "reference")),
            TABLE,
        ):
            reason = None if name == TABLE else load_backend(name).refusal(query, True)
            if reason is None:
                names.append(name)
            else:
                self._missing(name, reason)
        return names

    def _timed(self, names: Sequence[str]) -> dict[str, tuple[Timing, float | None]]:
        """Timing, and on CUDA the peak of memory, of steps whose networks are held together until
        this returns."""
        meter, steps = Meter({}, self._clock), dict[str, FineStep]()
        for name in names:
            try:
                step = step_of(self._scale, self._dtype, name, self._options.device)
                meter.add(name, step)
                steps[name] = step
            except FAILURES as error:
                self._missing(name, one_line(error))
        peaks: dict[str, float | None] = dict.fromkeys(steps)
        try:
            if steps:
                meter.run(QUICK_ROUNDS if self._options.quick else ROUNDS)
            if self._options.device == "cuda" and not self._options.quick:
                peaks = {name: peak_of(step, "cuda") for name, step in steps.items()}
        except FAILURES as error:
            self._missing(", ".join(steps), one_line(error))
            return {}
        timings = meter.timings()
        return {name: (timings[name], peak) for name, peak in peaks.items()}

    def _memory(self, name: str) -> float | None:
        """In MB, on the CPU, by a fresh process."""
        if self._options.quick:
            return None
        arguments: dict[str, Any] = {"scale": self._scale, "dtype": self._dtype, "backend": name}
        try:
            return peak_in_fresh_process(
                f"{__name__}:{prepared.__name__}", arguments, threads=self._options.threads
            )
        except IncompleteError as error:
            self._missing(f"memory of {name}", one_line(error))
            return None

    def _missing(self, name: str, reason: str) -> None:
        self.gaps.append(Gap(PART, _case(self._scale), name, self._dtype, reason[:300]))

    def _row(
        self, name: str, timing: Timing, memory: float | None, ceilings: Sequence[Ceiling]
    ) -> Row:
        flops, peak = needed_flops(SIZES[self._scale]), ceiling(ceilings, "matmul", self._dtype)
        return Row(
            part=PART,
            case=_case(self._scale),
            variant=name,
            exact=True,
            device=self._options.device,
            dtype=self._dtype,
            grad=True,
            median_seconds=timing.median,
            min_seconds=timing.minimum,
            spread=timing.spread,
            rounds=len(timing.seconds),
            first_seconds=timing.first_seconds,
            peak_memory_mb=memory,
            flops=flops,
            roofline=flops / peak / timing.median if peak and timing.median else None,
            facts={CHOSEN: name == TABLE},
        )


def release(device: str) -> None:
    """Give back what nobody holds any more: a network lies in cycles of references, and PyTorch
    keeps a GPU's memory."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


class FineStep:
    """A step: forward, backward and AdamW on what the fine stage trains of the UNet, on random
    latents.

    Args:
        unet: on ``device``, or on ``meta``, where gradients can be made, and counted, without
            computing.
        size: the batch's.
        dtype: name of the forward pass's type; other than float32: under autocast.
        device: where the batch goes.
    """

    def __init__(self, unet: VideoUNet, size: Size, dtype: str, device: str) -> None:
        self._unet = unet
        trained = [
            parameter.requires_grad_()
            for _, parameter in (*unet.text_kv_parameters(), *unet.injection_parameters())
        ]
        self._trained, self._optimizer = trained, torch.optim.AdamW(trained, lr=LEARNING_RATE)
        draw = torch.Generator().manual_seed(0)
        shape = (size.clips, size.config.in_channels, size.frames, size.latent, size.latent)
        self._sample_BCTHW, self._target_BCTHW = (
            torch.randn(shape, generator=draw).to(device) for _ in range(2)
        )
        self._text_BSD = torch.randn(
            size.clips, TEXT_TOKENS, size.config.cross_attention_dim, generator=draw
        ).to(device)
        self._timestep_B = torch.full((size.clips,), 500, device=device)
        image_BC1HW = torch.randn((*shape[:2], 1, *shape[3:]), generator=draw).to(device)
        self._image = ImagePromptInput(image_BC1HW, self._timestep_B, self._text_BSD)
        # A device without autocast is never asked for it.
        self._autocast = (
            nullcontext() if dtype == "float32" else torch.autocast(device, getattr(torch, dtype))
        )

    def __call__(self) -> None:
        """All of it."""
        self._optimizer.zero_grad(set_to_none=True)
        self.gradients()
        self._optimizer.step()

    def gradients(self) -> None:
        """Forward and backward."""
        with self._autocast:
            prediction = self._unet(
                self._sample_BCTHW, self._timestep_B, self._text_BSD, image_prompt=self._image
            )
        (prediction.float() - self._target_BCTHW).square().mean().backward()

    def make_state(self) -> None:
        """AdamW's moments, which its first step makes and keeps; nothing else of a step is run, and
        no weight moves."""
        for group in self._optimizer.param_groups:
            group["lr"] = 0.0
        for parameter in self._trained:
            parameter.grad = torch.zeros_like(parameter)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE


def step_of(scale: str, dtype: str, backend: str, device: str) -> FineStep:
    """A step of a network of random weights; backend `TABLE`: as the table of
    `vbbench.attention.dispatch` chooses."""
    return _step(SIZES[scale], dtype, backend, device)


def _step(size: Size, dtype: str, backend: str, device: str) -> FineStep:
    unet = build_network(Case("", size.config, size.latent, size.frames), device, torch.float32)
    return FineStep(
        apply_speed(unet, Speed(attention="" if backend == TABLE else backend)), size, dtype, device
    )


def prepared(scale: str, dtype: str, backend: str) -> Callable[[], object]:
    """For a fresh process on the CPU: the step with network and optimiser in place, moments too;
    the code loaded by a step of a tiny one.

    A whole step before the weighed one would leave its freed memory with the process, to be used
    again unseen.
    """
    _step(TINY, dtype, backend, "cpu")()
    step = step_of(scale, dtype, backend, "cpu")
    step.make_state()
    return step


@cache
def needed_flops(size: Size) -> float:
    """Operations of the products and convolutions of a step, forward and backward, whatever a
    backend does; nothing is computed."""
    with torch.device("meta"):
        unet = VideoUNet(size.config).eval().requires_grad_(False)
    apply_speed(unet, Speed(attention=COUNTED_BACKEND))
    return count_operations(FineStep(unet, size, "float32", "meta").gradients).flops


def _case(scale: str) -> str:
    size = SIZES[scale]
    return (
        f"{scale}, {size.clips} clips, {size.latent} x {size.latent} latents, {size.frames} frames"
    )


def _how(options: Options, scale: str) -> tuple[str, ...]:
    turns = (
        "each variant by itself, its network dropped before the next is made, as several would not fit"
        if scale in ALONE
        else "variants run in turn"
    )
    return (
        "A step of the fine stage on the UNet: forward with an image prompt of one frame, backward, AdamW on text K, V and on the keys and "
        "values of frames and image prompt; the rest is frozen. Random weights and latents. Image encoder and mapper are not in it.",
        f"Time: {clock_words(options.device, options.threads)}; {turns}; what counts is the median.",
        "Memory: what a step holds at most beyond weights, batch and the optimiser's moments, which are there before (on a CPU in a fresh "
        "process).",
        "Needed operations: those of all products and convolutions, forward and backward, of what has to be trained; equal for all "
        "backends. Their share of the roofline holds them against this device's ceiling of matrix products.",
        "bfloat16 rows: the forward pass under autocast; weights, gradients and optimiser stay float32.",
        f"{TABLE}: the backend that the table of vbbench.attention.dispatch chooses, layer by layer.",
    )
