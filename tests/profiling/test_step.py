"""The ladder of a denoising step: what is compared with what, and that nothing approximate is
called exact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo

from tests.profiling.test_released_step import TINY
from vbbench.errors import UsageError
from vbbench.networks.sampling.speed import Speed
from vbbench.profiling import step, step_facts, step_rows, step_ways
from vbbench.profiling.measure import cpu_seconds
from vbbench.profiling.options import Options
from vbbench.profiling.record import Row
from vbbench.profiling.record_json import read_record, write_record
from vbbench.profiling.released import KINDS, LADDER, Removals, StepInputs
from vbbench.profiling.step_cases import build_inputs, build_network, cases, with_image_frames
from vbbench.profiling.step_facts import stored_bytes
from vbbench.profiling.step_parts import (
    OTHER,
    count_flops,
    layers_by_kind,
    seconds_own,
    seconds_released,
)
from vbbench.profiling.step_ways import (
    APPROXIMATE,
    CONDITIONED,
    LAST_RUNG,
    PRODUCTION,
    RELEASED,
    SAMPLED,
    WAYS,
    SampledStep,
    StepWay,
    twin,
)

ON_GPU = Options(device="cuda")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Everything that needs no compiler, on a tiny network; memory in fresh processes is another
    test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_rows, "peak_in_fresh_process", lambda target, arguments, threads: 1.0)
        patch.setattr(
            step_facts,
            "flops_of",
            lambda case, removals: (1e9 if removals.dead_blocks else 2e9, {}),
        )
        ways = [way for way in WAYS if not way.asked and not way.device]
        return step_rows.Bench(TINY, "float32", ways, Options(), cpu_seconds).measure(1, ())


def _row(rows: list[Row], variant: str) -> Row:
    return next(row for row in rows if row.variant == variant)


def test_rungs_stand_in_order_and_give_the_same_numbers(rows: list[Row]) -> None:
    rungs = [row for row in rows if row.facts["section"] == "ladder" and not row.facts["needs"]]
    assert [row.variant for row in rungs] == [
        RELEASED,
        *(f"without {name.replace('_', ' ')}" for name in LADDER),
    ]
    product = 1.0
    for row in rungs[1:]:
        product *= row.facts[step_rows.ALONE]
    assert product == pytest.approx(rungs[-1].facts[step_rows.TOTAL])
    assert rungs[0].facts[step_rows.DIFFERENCE] == 0
    assert step_rows.ALONE not in rungs[0].facts
    assert rungs[0].facts[step_rows.FLOPS_DONE] == 2e9
    assert 0 <= rungs[0].facts[step_rows.SYSTEM_SHARE] < 1
    assert rungs[-1].facts[step_rows.BYTES_MOVED] < rungs[0].facts[step_rows.BYTES_MOVED]
    assert rungs[-1].flops == rungs[-1].facts[step_rows.FLOPS_DONE]
    for row in rows:
        if row.exact:
            assert row.facts[step_rows.DIFFERENCE] <= 3e-5
            assert row.error is not None
            assert row.error <= 3e-5


def test_approximate_rows_stand_apart(rows: list[Row]) -> None:
    apart = [row for row in rows if not row.exact]
    assert [row.variant for row in apart] == [
        way.name for way in WAYS if way.section == APPROXIMATE
    ]
    assert all(row.facts[step_rows.DIFFERENCE] > 1e-3 for row in apart)
    assert all(row.roofline is None and row.flops is None and row.error is None for row in apart)


def test_rows_with_a_condition_are_cases_of_their_own(rows: list[Row]) -> None:
    conditioned = [way for way in WAYS if way.section == CONDITIONED and not way.asked]
    for way in conditioned:
        case = _row(rows, way.name).case
        assert case == f"{TINY.words}; {way.needs}"
        assert [row.variant for row in rows if row.case == case] == [RELEASED, way.name]


def test_several_steps_stay_together(rows: list[Row]) -> None:
    found = [
        row.facts[step_rows.STEPS_DIFFERENCE] for row in rows if row.facts["section"] == SAMPLED
    ]
    assert len(found) >= 4
    assert max(found) <= step.SAME_NUMBERS


def test_a_record_with_these_rows_can_be_read_back(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step.Bench, "measure", lambda self, rounds, ceilings: rows)
    monkeypatch.setattr(step, "cases", lambda scale, sizes, frames: (TINY,))
    record = step.profile(Options(further={"rounds": 2, "ways": ("released", "production")}))
    write_record(record, tmp_path / "profile.json")
    assert read_record(tmp_path / "profile.json").rows[0].variant == RELEASED
    assert (
        record.command
        == 'vbbench profile step --device cpu --scale small --rounds 2 --ways "released,production"'
    )
    checks = {check.name: check for check in record.checks}
    numbers = next(check for name, check in checks.items() if "exact variant" in name)
    assert numbers.passed
    assert numbers.measured == max(row.facts[step_rows.DIFFERENCE] for row in rows if row.exact)
    assert all(
        check.measured is None and not check.counts
        for name, check in checks.items()
        if "all switches" in name
    )


def test_targets_are_about_cases_that_are_measured() -> None:
    words = {cases("small")[0].words, cases("sd14")[0].words}
    assert {target.case for target in step.STEP_TARGETS} == words
    assert {target.baseline for target in step.STEP_TARGETS} == {RELEASED}
    assert {variant for _, variant, _ in step.LOWER_PRECISION} <= {way.name for way in WAYS}


def test_lower_precision_is_held_against_float32(rows: list[Row]) -> None:
    real = cases("sd14")[0].words
    theirs = replace(rows[0], case=real, median_seconds=3.0)
    ours = replace(
        rows[0],
        case=real,
        variant=step.LOWER_PRECISION[0][1],
        dtype="bfloat16",
        median_seconds=0.75,
    )
    measured, missing = step._lower_precision(
        [theirs, ours], ON_GPU, {"gpu": "NVIDIA H100 80GB HBM3"}
    )
    assert (measured.measured, measured.counts) == (4.0, True)
    assert (missing.measured, missing.counts) == (None, True)
    assert not any(
        check.counts
        for check in step._lower_precision([theirs, ours], ON_GPU, {"gpu": "some other"})
    )
    for narrowed in (
        replace(ON_GPU, dtypes=("bfloat16",)),
        replace(ON_GPU, further={"ways": (RELEASED,)}),
    ):
        assert not any(
            check.counts for check in step._lower_precision([], narrowed, {"gpu": "NVIDIA H100"})
        )
        assert not any(
            check.counts for check in step._numbers([], narrowed, {"gpu": "NVIDIA H100"})
        )
    assert all(check.counts for check in step._numbers([], ON_GPU, {"gpu": "NVIDIA H100"}))
    assert not any(check.counts for check in step._numbers([], Options(), {}))


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
def test_a_difference_that_is_no_number_is_missed(rows: list[Row], places: tuple[int, int]) -> None:
    good, bad = rows[1], replace(rows[1], facts={**rows[1].facts, step_rows.DIFFERENCE: math.nan})
    check, _ = step._numbers([(good, bad)[place] for place in places], Options(), {})
    assert (check.passed, check.counts) == (False, True)


def test_memory_that_runs_out_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(unet: Any, first: StepInputs) -> Any:
        def run(inputs: StepInputs) -> torch.Tensor:
            raise torch.OutOfMemoryError("out of memory")

        return run

    def measure(*ways: StepWay) -> tuple[list[str], list[str]]:
        bench = step_rows.Bench(TINY, "float32", ways, Options(quick=True), cpu_seconds)
        return [row.variant for row in bench.measure(0, ())], [gap.variant for gap in bench.gaps]

    last = next(way for way in WAYS if way.name == LAST_RUNG)
    assert measure(WAYS[0], replace(last, make=too_large)) == ([RELEASED], [LAST_RUNG])
    monkeypatch.setattr(step_rows, "free_bytes", lambda _: 1e3)
    assert measure(WAYS[0]) == ([RELEASED], ["errors against float64"])
    monkeypatch.setattr(step_rows, "WAYS", (replace(WAYS[0], make=too_large), *WAYS[1:]))
    assert measure(WAYS[0], last) == ([], [RELEASED, LAST_RUNG])
    monkeypatch.setattr(step, "Bench", too_large_bench)
    assert (
        step._measure(TINY, "float32", [], Options(), cpu_seconds, ())[1][0].reason
        == "OutOfMemoryError: out of memory"
    )


def too_large_bench(*_: Any) -> Any:
    raise torch.OutOfMemoryError("out of memory")


def test_production_is_what_the_models_run_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        step_ways,
        "speed_of",
        lambda settings, device: asked.append((settings, device)) or Speed(batched_guidance=True),
    )
    unet, inputs = (
        build_network(TINY, "cpu", torch.float32),
        build_inputs(TINY, "cpu", torch.float32),
    )
    next(way for way in WAYS if way.name == PRODUCTION).make(unet, inputs)
    assert asked == [({}, "cpu")]


def test_the_compiler_fails_instead_of_giving_up() -> None:
    config = torch._dynamo.config
    with step._compiler(True):
        assert config.fail_on_recompile_limit_hit
    assert not config.fail_on_recompile_limit_hit
    assert all(way.compiled == ("compiled" in way.name) for way in WAYS)
    assert issubclass(
        torch._dynamo.exc.FailOnRecompileLimitHit,
        step_rows._failures(replace(WAYS[0], compiled=True)),
    )


def test_a_compilers_limit_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that the compiler may compile for two shapes alone, as ``torch.compile`` would for
    a third."""

    def make(unet: Any, first: StepInputs) -> Any:
        run = torch.compile(lambda x: x + 1, backend="eager", dynamic=False)
        return lambda inputs: torch.cat([run(torch.zeros(size)) for size in (2, 3, 4)])

    monkeypatch.setattr(step, "cases", lambda *_: (TINY,))
    monkeypatch.setattr(
        step,
        "_ways",
        lambda _: ([WAYS[0], StepWay("compiled", "", make, SAMPLED, compiled=True)], []),
    )
    with torch._dynamo.config.patch(recompile_limit=2):
        made = step.profile(Options(quick=True, further={"rounds": 1}))
    assert [row.variant for row in made.rows] == [RELEASED]
    assert ["imit" in gap.reason for gap in made.gaps if gap.variant == "compiled"] == [True]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(further={"ways": ("relased",)}), "no way 'relased'.*released"),
        (Options(further={"scale": "huge"}), "no scale 'huge'"),
        (Options(sizes=(100,)), "multiples of 64"),
        (Options(backward=True), "no gradients"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: Options, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        step.profile(options)


def test_a_way_that_fails_is_a_gap_and_a_first_call_can_be_the_figure() -> None:
    def fails(unet: Any, first: StepInputs) -> Any:
        def run(inputs: StepInputs) -> torch.Tensor:
            raise RuntimeError("no compiler here")

        return run

    ticks: Iterator[float] = iter([3.0, 2.0])

    def clock(run: Any) -> float:
        run()
        return next(ticks)

    ways = [
        WAYS[0],
        StepWay("broken", "", fails, SAMPLED),
        next(way for way in WAYS if way.name == LAST_RUNG),
    ]
    bench = step_rows.Bench(TINY, "float32", ways, Options(quick=True), clock)
    rows = bench.measure(0, ())
    assert [(row.variant, row.median_seconds, row.rounds) for row in rows] == [
        (RELEASED, 3.0, 1),
        (LAST_RUNG, 2.0, 1),
    ]
    assert [(gap.variant, gap.reason) for gap in bench.gaps] == [
        ("broken", "RuntimeError: no compiler here")
    ]


def test_a_twin_shares_weights_and_leaves_the_network_alone() -> None:
    unet = build_network(TINY, "cpu", torch.float32)
    before = unet.conv_in.weight.stride()
    other = twin(unet, Speed(channels_last=True, fused_qkv=True))
    assert unet.conv_in.weight.stride() == before != other.conv_in.weight.stride()
    ours, theirs = next(unet.cross_frame_attentions()), next(other.cross_frame_attentions())
    assert ours.to_q.weight.data_ptr() == theirs.to_q.weight.data_ptr()
    assert theirs.fused_qkv
    assert not ours.fused_qkv


def test_weights_keep_the_size_of_what_passes() -> None:
    unet, inputs = (
        build_network(TINY, "cpu", torch.float32),
        build_inputs(TINY, "cpu", torch.float32),
    )
    with torch.no_grad():
        out = unet(inputs.sample_BCTHW, inputs.timestep_B, inputs.text_BSD)
    assert 0.2 < out.std() < 5
    again = build_network(TINY, "cpu", torch.float32)
    assert all(
        torch.equal(a, b) for a, b in zip(unet.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(
        unet.conv_in.weight, build_network(TINY, "cpu", torch.float32, seed=1).conv_in.weight
    )


def test_image_frames() -> None:
    inputs = build_inputs(TINY, "cpu", torch.float32)
    latent = inputs.image.latent_BCTHW
    assert torch.equal(
        with_image_frames(inputs, first_only=True).image.latent_BCTHW, latent[:, :, :1]
    )
    shared = with_image_frames(inputs, first_only=False).image.latent_BCTHW
    assert shared.shape == latent.shape
    assert torch.equal(shared[:, :, -1], latent[:, :, 0])
    assert not torch.equal(latent[:, :, -1], latent[:, :, 0])


def test_parts_of_a_steps_time_and_operations() -> None:
    unet, inputs = (
        build_network(TINY, "cpu", torch.float32),
        build_inputs(TINY, "cpu", torch.float32),
    )
    own = SampledStep(unet, inputs, Speed())
    for found in (
        seconds_released(unet, inputs, "cpu", Removals()),
        seconds_own(own.network, own, inputs, "cpu"),
    ):
        assert list(found) == [*KINDS, OTHER]
        assert all(seconds > 0 for seconds in found.values())
    layers = layers_by_kind(own.network)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in layers)
    inside = {id(part) for module in layers for part in module.modules() if part is not module}
    assert not any(id(module) in inside for module in layers)
    total, by_kind = count_flops(unet, inputs, Removals(backend="plain"))
    # Two evaluations and the image prompt's, its transformers twice: the feed-forward's products by
    # hand.
    blocks = [module for module in unet.modules() if hasattr(module, "attn_temp")]
    tokens = {8: TINY.latent**2, 16: (TINY.latent // 2) ** 2}
    by_hand = sum(
        2
        * 4
        * TINY.frames
        * tokens[block.norm1.normalized_shape[0]]
        * sum(p.numel() for p in block.ff.parameters() if p.ndim == 2)
        for block in blocks
    )
    assert by_kind["feed-forward"] == by_hand
    assert sum(by_kind.values()) == pytest.approx(total)


def test_what_a_fresh_process_weighs() -> None:
    run = step_facts.prepared(
        **step_facts.preparation(
            PRODUCTION, replace(cases("small")[0], latent=8, frames=2), "float32"
        )
    )
    assert run().shape == (1, 4, 2, 8, 8)


def test_scores_that_no_memory_holds_are_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases("small")[0]
    assert (
        stored_bytes(case, "float32") == 2 * 4 * 16 * 8 * 256 * 512
    )  # two matrices of frames x heads x tokens x 2 tokens
    assert stored_bytes(case, "bfloat16") == stored_bytes(case, "float32") // 2
    monkeypatch.setattr(step, "free_bytes", lambda _: 1e6)
    record = step.profile(Options(quick=True))
    assert record.rows == ()
    assert "0.1 GB of scores at once, and 0.0 GB may be taken" in record.gaps[0].reason
    assert record.exit_code == 3
