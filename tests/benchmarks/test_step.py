"""A denoising step against the released formulation, side by side. ``pytest tests/benchmarks
--benchmark-only`` runs it."""

from __future__ import annotations

import torch

from vbbench.profiling.measure import interleaved, ratio
from vbbench.profiling.step_cases import build_inputs, build_network, cases
from vbbench.profiling.step_facts import largest_difference
from vbbench.profiling.step_ways import LAST_RUNG, PRODUCTION, RELEASED, WAYS

ROUNDS = 3
FASTER, SAME_NUMBERS = 1.3, 1e-4


def test_a_step_against_the_released_formulation(benchmark) -> None:
    case = cases("small")[0]
    unet, inputs = (
        build_network(case, "cpu", torch.float32),
        build_inputs(case, "cpu", torch.float32),
    )
    steps = {
        way.name: way.make(unet, inputs)
        for way in WAYS
        if way.name in (RELEASED, LAST_RUNG, PRODUCTION)
    }
    outputs = {name: step(inputs) for name, step in steps.items()}
    differences = {
        name: largest_difference(out, outputs[RELEASED]) for name, out in outputs.items()
    }
    timings = interleaved(
        {name: lambda step=step: step(inputs) for name, step in steps.items()}, rounds=ROUNDS
    )
    ratios = {name: ratio(timings[RELEASED], timing) for name, timing in timings.items()}
    seconds = {name: timing.seconds for name, timing in timings.items()}
    benchmark.extra_info.update(
        {"case": case.words, "ratios": ratios, "seconds": seconds, "differences": differences}
    )
    benchmark.pedantic(steps[PRODUCTION], (inputs,), rounds=1)
    assert max(differences.values()) <= SAME_NUMBERS
    assert ratios[PRODUCTION] >= FASTER
