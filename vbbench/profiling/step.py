"""``vbbench profile step``: a guided denoising step, from the released formulation to what the
models run, one removal at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import torch

from vbbench.core.environment import commit, describe
from vbbench.core.threads import torch_threads
from vbbench.errors import UsageError, one_line
from vbbench.profiling.ceilings import measure_ceilings
from vbbench.profiling.finite import worst
from vbbench.profiling.measure import Clock, clock_for, clock_words
from vbbench.profiling.memory import free_bytes
from vbbench.profiling.options import Options, command, refuse_unknown_names
from vbbench.profiling.record import BROKEN, Ceiling, Check, Gap, Record, Row
from vbbench.profiling.step_cases import Case, cases
from vbbench.profiling.step_facts import stored_bytes
from vbbench.profiling.step_rows import DIFFERENCE, OUT_OF_MEMORY, PART, STEPS_DIFFERENCE, Bench
from vbbench.profiling.step_ways import CONDITIONED, PRODUCTION, RELEASED, WAYS, StepWay
from vbbench.profiling.targets import SPEEDUP, Target, checks_of, elsewhere, system_notes

SAME_NUMBERS = 1e-4
"""How far a prediction or a latent may be off in float32, over the largest value."""
_SMALL, _REAL = cases("small")[0].words, cases("sd14")[0].words
_CPU = "target for the CPU: float32, 1 thread, 16 frames"
_GPU = "target for an H100: 256 px, 16 frames"


def _same_precision(device: str, dtype: str, case: str, wanted: float, source: str) -> Target:
    return Target(
        f"step faster than the released one, {dtype}",
        PART,
        device,
        dtype,
        case,
        SPEEDUP,
        wanted,
        source,
        RELEASED,
    )


STEP_TARGETS = (
    _same_precision("cpu", "float32", _SMALL, 1.3, _CPU),
    _same_precision("cuda", "float32", _REAL, 1.6, _GPU),
    _same_precision("cuda", "bfloat16", _REAL, 1.6, _GPU),
)
LOWER_PRECISION = (
    ("bfloat16, all switches", "compiled CUDA graph", 3.0),
    ("the same, image prompt kept", "compiled CUDA graph and image prompt kept", 4.0),
)
"""Name, variant and bound of the targets against the released formulation in float32 without
TF32."""
QUICK = (RELEASED, PRODUCTION, *(variant for _, variant, _ in LOWER_PRECISION))


def profile(options: Options) -> Record:
    """Measure.

    `Options.further`: ``scale`` (``small`` or ``sd14``), ``rounds`` (None: by scale and device),
    ``ways`` (names in `WAYS`; None: all that run here and do not take long to set up).

    Raises:
        UsageError: unknown names, sizes that cannot be, or options of other profiles.
    """
    if options.backward or options.backends:
        raise UsageError(
            "a step has no gradients and chooses its attention itself: `vbbench profile attention` takes these options."
        )
    scale = options.further.get("scale") or "small"
    chosen = cases(scale, options.sizes, options.frames)
    ways, gaps = _ways(options)
    environment = describe(options.device, options.threads) | {"commit": commit()}
    rows: list[Row] = []
    with torch_threads(options.threads), _without_tf32():
        clock = clock_for(options.device, options.threads)
        options.tell("ceilings of this device")
        ceilings = measure_ceilings(options.device, _dtypes(options), clock)
        for case in chosen:
            for dtype in _dtypes(options):
                stored, free = stored_bytes(case, dtype), free_bytes(options.device)
                if stored > free:
                    reason = f"the released formulation would hold {stored / 1e9:.1f} GB of scores at once, and {free / 1e9:.1f} GB may be taken"
                    gaps.append(Gap(PART, case.words, "", dtype, reason))
                    continue
                found, missing = _measure(case, dtype, ways, options, clock, ceilings)
                rows += found
                gaps += missing
    return Record(
        part=PART,
        title="A denoising step",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=_command(options, scale),
        environment=environment,
        how=_how(options),
        baselines=(RELEASED,),
        ceilings=ceilings,
        rows=tuple(rows),
        gaps=tuple(gaps),
        checks=(
            *checks_of(STEP_TARGETS, rows, options, environment),
            *_lower_precision(rows, options, environment),
            *_numbers(rows, options, environment),
        ),
        notes=system_notes(STEP_TARGETS, rows),
    )


def _measure(
    case: Case,
    dtype: str,
    ways: Sequence[StepWay],
    options: Options,
    clock: Clock,
    ceilings: Sequence[Ceiling],
) -> tuple[list[Row], list[Gap]]:
    """A case in one type; if memory runs out, the other cases are measured all the same."""
    with _compiler(any(way.compiled for way in ways)):
        try:
            bench = Bench(case, dtype, ways, options, clock)
            return bench.measure(_rounds(case, options), ceilings), bench.gaps
        except OUT_OF_MEMORY as error:
            return [], [Gap(PART, case.words, "", dtype, one_line(error)[:300])]
        finally:
            if options.device == "cuda":
                torch.cuda.empty_cache()


@contextmanager
def _compiler(wanted: bool) -> Iterator[None]:
    """A compiler that remembers nothing of earlier cases, and that fails, where it can, instead of
    leaving code as it is unasked."""
    if not wanted:
        yield
        return
    import torch._dynamo

    torch._dynamo.reset()
    config: Any = torch._dynamo.config
    fails = hasattr(config, "fail_on_recompile_limit_hit")
    with config.patch(fail_on_recompile_limit_hit=True) if fails else nullcontext():
        yield


def _ways(options: Options) -> tuple[list[StepWay], list[Gap]]:
    """What is measured; the released formulation always is."""
    ways = options.further.get("ways")
    named = ways or (QUICK if options.quick else None)
    refuse_unknown_names("way {!r} to compute a step", named, [way.name for way in WAYS])
    wanted = [
        way
        for way in WAYS
        if way.name == RELEASED
        or (way.name in named if named else not way.asked or options.device == "cuda")
    ]
    here = [way for way in wanted if way.device in ("", options.device)]
    gaps = [
        Gap(PART, "", way.name, "", f"it needs {way.device}")
        for way in wanted
        if way not in here and (ways or not options.quick)
    ]
    return here, gaps


def _dtypes(options: Options) -> tuple[str, ...]:
    """Float32 first: what the others are held against."""
    return options.dtypes or (("float32", "bfloat16") if options.device == "cuda" else ("float32",))


def _rounds(case: Case, options: Options) -> int:
    """0: a step takes so long that its first call is its figure (nothing is compiled or loaded in
    it worth a second)."""
    asked = options.further.get("rounds")
    slow = options.device == "cpu" and case.scale == "sd14"
    if asked is None:
        return 0 if slow else 10 if options.device == "cuda" else 5
    return 0 if slow and asked == 1 else int(asked)


def _command(options: Options, scale: str) -> str:
    words = [command(PART, options), "--scale", scale]
    for name in ("rounds", "ways"):
        if (value := options.further.get(name)) is not None:
            words += [
                f"--{name}",
                f'"{",".join(value)}"' if isinstance(value, tuple) else str(value),
            ]
    return " ".join(words)


def _lower_precision(
    rows: Sequence[Row], options: Options, environment: Mapping[str, Any]
) -> Iterator[Check]:
    """Bfloat16 against float32, which no table row may be."""
    theirs = _find(rows, RELEASED, "float32", _REAL)
    for name, variant, wanted in LOWER_PRECISION:
        ours = _find(rows, variant, "bfloat16", _REAL)
        measured = theirs.median_seconds / ours.median_seconds if ours and theirs else None
        away = elsewhere("cuda", options, environment)
        counts = not away and (measured is not None or not options.narrowed)
        words = f"step faster than the released one in float32: {name}"
        reason = away or ("" if measured else "it was not measured")
        yield Check(words, wanted, True, "x", None if away else measured, reason, _GPU, counts)


def _find(rows: Sequence[Row], variant: str, dtype: str, case: str) -> Row | None:
    return next(
        (
            row
            for row in rows
            if (row.variant, row.dtype) == (variant, dtype) and row.case.startswith(case)
        ),
        None,
    )


def _numbers(
    rows: Sequence[Row], options: Options, environment: Mapping[str, Any]
) -> Iterator[Check]:
    """Whether exact rows are; what was measured counts anywhere, what was not where the targets are
    for."""
    missed = not elsewhere("cuda", options, environment) and not options.narrowed
    for fact, words in (
        (DIFFERENCE, "prediction of any exact variant"),
        (STEPS_DIFFERENCE, "latents of several steps"),
    ):
        found = [
            row.facts[fact]
            for row in rows
            if row.exact and row.dtype == "float32" and row.facts.get(fact) is not None
        ]
        largest = worst(found) if found else None
        reason = (
            "it was not measured" if largest is None else "" if math.isfinite(largest) else BROKEN
        )
        name = f"{words}, largest difference over the largest value, float32"
        yield Check(
            name,
            SAME_NUMBERS,
            False,
            "",
            largest if reason == "" else None,
            reason,
            "exactness",
            bool(found) or missed,
        )


def _how(options: Options) -> tuple[str, ...]:
    """A paragraph each."""
    again = [
        f"{way.name} ({way.needs})" for way in WAYS if way.section == CONDITIONED and not way.asked
    ]
    return (
        "A step: a conditional evaluation with the image prompt, an unconditional one, and guidance of all channels, of one clip. Random "
        "weights that keep the size of what passes through them; 77 text tokens; the image prompt has as many frames as the clip, each "
        "with noise of its own, as released.",
        "The released formulation is written by this project's authors over the network's own weights, and held against tensors recorded "
        "from the released code. Each rung below it removes one thing more than the one above; a removal's own ratio is to the rung above.",
        f"Time: {clock_words(options.device, options.threads)}. Variants run in turn, once a round, every round beginning with another; "
        "what counts is the median. Where a round would be too long, the figure is the first call. What is done once a clip is not in it.",
        "Without TF32. Inputs do not rotate: a step touches far more memory than any cache holds.",
        f"Exact only where something else holds, and told as cases of their own: {'; '.join(again)}.",
        "Needed operations: those of the last rung; a multiplication and an addition are two. Least traffic: every weight once.",
        "Several steps: DDIM from equal noise, the image prompt noised anew at each step.",
    )


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Float32 that is float32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
