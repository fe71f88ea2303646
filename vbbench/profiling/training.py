"""``vbbench profile training``: a training step of the fine stage, by every attention backend that has gradients.

Shape suffixes: B clips, C channels, T frames, H/W latent pixels, S text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch

from vbbench.attention import BACKENDS, load_backend
from vbbench.errors import IncompleteError, UsageError, one_line
from vbbench.models.network import mini_config
from vbbench.models.videobooth.speed import Speed, apply_speed
from vbbench.models.videobooth.unet import ImagePromptInput, UNetConfig
from vbbench.profiling.ceilings import measure_ceilings
from vbbench.profiling.measure import Meter, Timing, clock_for, clock_words
from vbbench.profiling.memory import peak_in_fresh_process, peak_of
from vbbench.profiling.options import Options, command, refuse_unknown_names
from vbbench.profiling.record import Gap, Record, Row
from vbbench.profiling.step_cases import SD14, SMALL, Case, build_network
from vbbench.run.environment import commit, describe
from vbbench.threads import torch_threads

PART, TABLE = "training", "table"
BASELINES = ("released", "concat")
ROUNDS, QUICK_ROUNDS, LEARNING_RATE = 7, 3, 1e-4
TEXT_TOKENS = 16


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


def profile(options: Options) -> Record:
    """Measure.

    `Options.further`: ``scale``, a key of `SIZES`.

    Raises:
        UsageError: unknown names, or options of other profiles.
    """
    if options.frames or options.sizes or options.backward:
        raise UsageError("a training step has the size of its scale: --scale, --backends, --dtype, --device and --quick are what it takes.")
    scale = options.further.get("scale") or "mini"
    refuse_unknown_names("attention backend {!r}", options.backends, BACKENDS)
    rows: list[Row] = []
    gaps: list[Gap] = []
    with torch_threads(options.threads):
        clock = clock_for(options.device, options.threads)
        dtypes = options.dtypes or ("float32", "bfloat16")
        ceilings = measure_ceilings(options.device, dtypes, clock)
        for dtype in dtypes:
            steps = dict(_steps(scale, dtype, options, gaps))
            options.tell(f"{dtype}: {', '.join(steps)}")
            meter = Meter(steps, clock)
            meter.run(QUICK_ROUNDS if options.quick else ROUNDS)
            rows += [_row(scale, dtype, name, timing, steps[name], options, gaps) for name, timing in meter.timings().items()]
    return Record(
        part=PART,
        title="A training step",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"{command(PART, options)} --scale {scale}",
        environment=describe(options.device, options.threads) | {"commit": commit()},
        how=_how(options),
        baselines=BASELINES,
        ceilings=ceilings,
        rows=tuple(rows),
        gaps=tuple(gaps),
        checks=(),
    )


def _steps(scale: str, dtype: str, options: Options, gaps: list[Gap]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every backend that has gradients; a refusal is a gap."""
    query = torch.zeros(1, 2, 4, 1, 8, dtype=getattr(torch, dtype), device=options.device)
    for name in (*(options.backends or (name for name in BACKENDS if name != "reference")), TABLE):
        reason = None if name == TABLE else load_backend(name).refusal(query, True)
        if reason is None:
            yield name, step_of(scale, dtype, name, options.device)
        else:
            gaps.append(Gap(PART, _case(scale), name, dtype, reason))


def prepared(scale: str, dtype: str, backend: str) -> Callable[[], object]:
    """For a fresh process on the CPU: the step, its network and optimiser in place."""
    run = step_of(scale, dtype, backend, "cpu")
    apply_speed(build_network(Case("small", SMALL, 8, 2), "cpu", torch.float32), Speed())
    return run


def step_of(scale: str, dtype: str, backend: str, device: str) -> Callable[[], object]:
    """A step: forward, backward and AdamW on what the fine stage trains of the UNet, from random weights and random latents."""
    size = SIZES[scale]
    unet = build_network(Case(scale, size.config, size.latent, size.frames), device, torch.float32)
    apply_speed(unet, Speed(attention="" if backend == TABLE else backend))
    trained = [parameter.requires_grad_() for _, parameter in (*unet.text_kv_parameters(), *unet.injection_parameters())]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)
    draw = torch.Generator().manual_seed(0)
    shape = (size.clips, size.config.in_channels, size.frames, size.latent, size.latent)
    sample, target = (torch.randn(shape, generator=draw).to(device) for _ in range(2))
    text = torch.randn(size.clips, TEXT_TOKENS, size.config.cross_attention_dim, generator=draw).to(device)
    timestep = torch.full((size.clips,), 500, device=device)
    image = ImagePromptInput(torch.randn((*shape[:2], 1, *shape[3:]), generator=draw).to(device), timestep, text)
    autocast = torch.autocast(device, getattr(torch, dtype), enabled=dtype != "float32")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            prediction = unet(sample, timestep, text, image_prompt=image)
        (prediction.float() - target).square().mean().backward()
        optimizer.step()

    return step


def _row(scale: str, dtype: str, name: str, timing: Timing, step: Callable[[], object], options: Options, gaps: list[Gap]) -> Row:
    return Row(
        part=PART,
        case=_case(scale),
        variant=name,
        exact=True,
        device=options.device,
        dtype=dtype,
        grad=True,
        median_seconds=timing.median,
        min_seconds=timing.minimum,
        spread=timing.spread,
        rounds=len(timing.seconds),
        first_seconds=timing.first_seconds,
        peak_memory_mb=_memory(scale, dtype, name, step, options, gaps),
        facts={"chosen": name == TABLE},
    )


def _memory(scale: str, dtype: str, name: str, step: Callable[[], object], options: Options, gaps: list[Gap]) -> float | None:
    if options.quick:
        return None
    if options.device == "cuda":
        return peak_of(step, "cuda")
    arguments: dict[str, Any] = {"scale": scale, "dtype": dtype, "backend": name}
    try:
        return peak_in_fresh_process(f"{__name__}:{prepared.__name__}", arguments, threads=options.threads)
    except IncompleteError as error:
        gaps.append(Gap(PART, _case(scale), f"memory of {name}", dtype, one_line(error)))
        return None


def _case(scale: str) -> str:
    size = SIZES[scale]
    return f"{scale}, {size.clips} clips, {size.latent} x {size.latent} latents, {size.frames} frames"


def _how(options: Options) -> tuple[str, ...]:
    return (
        "A step of the fine stage on the UNet: forward with an image prompt of one frame, backward, AdamW on text K, V and on the keys and "
        "values of frames and image prompt; the rest is frozen. Random weights and latents. Image encoder and mapper are not in it.",
        f"Time: {clock_words(options.device, options.threads)}; variants run in turn, what counts is the median.",
        "bfloat16 rows: the forward pass under autocast; weights, gradients and optimiser stay float32.",
        f"{TABLE}: the backend that the table of vbbench.attention.dispatch chooses, layer by layer.",
    )
