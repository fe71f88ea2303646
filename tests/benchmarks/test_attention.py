"""Injection attention, the cases of ``vbbench profile attention``, as ratios measured side by side.

``pytest tests/benchmarks --benchmark-only`` runs them; the targets themselves are checked by
``vbbench profile attention --quick``.
"""

from __future__ import annotations

import pytest

from vbbench.attention import choose_backend
from vbbench.profiling.attention_bench import Errors, Runner, Work, rotating_inputs
from vbbench.profiling.attention_cases import Case, cases_for
from vbbench.profiling.measure import Meter, cpu_seconds, ratio
from vbbench.profiling.options import Options

ROUNDS = 3
CASES = [case for case in cases_for(Options()) if 256 in case.layers or case.scale == "mini"]
FASTER_THAN_RELEASED, WORST_ERROR = 1.2, 2e-6
"""What every shape gives, with room for a busy machine; small shapes have less to gain than the
targets ask of large ones."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_injection_attention_against_the_released_formulation(benchmark, case: Case) -> None:
    work = Work(case.shape, "cpu", "float32", grad=False)
    inputs = rotating_inputs(work)
    chosen = choose_backend(inputs[0].tensors[0])
    runners = {name: Runner(name, inputs) for name in dict.fromkeys(("released", "concat", chosen))}
    meter = Meter(runners, cpu_seconds, sample_seconds=0.01)
    meter.run(ROUNDS)
    timings = meter.timings()
    ratios = {name: ratio(timings[name], timings[chosen]) for name in ("released", "concat")}
    benchmark.extra_info.update(
        {
            "backend": chosen,
            "ratios": ratios,
            "seconds": {name: timings[name].seconds for name in timings},
        }
    )
    benchmark.pedantic(runners[chosen], rounds=ROUNDS)
    assert ratios["released"] >= FASTER_THAN_RELEASED
    assert Errors(work).of(chosen) <= WORST_ERROR
