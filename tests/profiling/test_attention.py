"""The profile of injection attention: which cases, and what is told of them. On tiny shapes; the
figures are the machine's."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from vbbench.errors import UsageError
from vbbench.profiling import attention, attention_bench
from vbbench.profiling.attention_bench import (
    Errors,
    Work,
    checked_frames,
    make_inputs,
    rotating_inputs,
    variants_for,
)
from vbbench.profiling.attention_cases import Case, cases_for
from vbbench.profiling.costs import Shape
from vbbench.profiling.options import Options
from vbbench.profiling.record import Gap
from vbbench.profiling.targets import CHOSEN, LARGE, LAYERS, MIDDLE

TINY = Case(Shape(16, 8, 2, 4, 16), "mini", {}, ("frames",))


def test_cases_of_everything() -> None:
    cases = {case.name: case for case in cases_for(Options())}
    assert {
        LARGE,
        MIDDLE,
        "64 x 160, 16 frames",
        "16 x 160, 16 frames",
        "64 x 32, 8 frames",
        "16 x 32, 8 frames",
    } <= set(cases)
    assert {f"1024 x 40, {count} frames" for count in (2, 4, 8, 16)} <= set(cases)
    assert "4096 x 40, 16 frames" in cases
    assert (cases["64 x 32, 8 frames"].shape.heads, cases["16 x 32, 8 frames"].shape.heads) == (
        3,
        5,
    )
    assert cases["16 x 160, 16 frames"].layers == {
        256: 1,
        128: 5,
    }  # the lowest level of one size, the third of another
    for size in (128, 256, 512):
        assert sum(case.layers.get(size, 0) for case in cases.values()) == 16


def test_cases_of_sweeps() -> None:
    assert [case.name for case in cases_for(Options(frames=(3, 5)))] == [
        "1024 x 40, 3 frames",
        "1024 x 40, 5 frames",
    ]
    names = [case.name for case in cases_for(Options(sizes=(64,)))]
    assert names == [
        "64 x 40, 16 frames",
        "16 x 80, 16 frames",
        "4 x 160, 16 frames",
        "1 x 160, 16 frames",
    ]
    assert [case.name for case in cases_for(Options(quick=True))][:2] == [LARGE, MIDDLE]
    with pytest.raises(UsageError, match="multiples of 64"):
        cases_for(Options(sizes=(100,)))
    with pytest.raises(UsageError, match="--quick"):
        cases_for(Options(quick=True, frames=(2,)))


def tiny_profile(monkeypatch: pytest.MonkeyPatch, **chosen: object):
    monkeypatch.setattr(attention, "cases_for", lambda _: [TINY])
    monkeypatch.setattr(attention, "CASE_SECONDS", 0.02)
    monkeypatch.setattr(attention, "_remembered", lambda *_: False)
    return attention.profile(Options(**chosen))


@pytest.mark.parametrize("backward", [False, True])
def test_every_backend_has_a_row_or_a_reason(
    monkeypatch: pytest.MonkeyPatch, backward: bool
) -> None:
    made = tiny_profile(monkeypatch, backward=backward, dtypes=("float32", "bfloat16"))
    for dtype in ("float32", "bfloat16"):
        rows = [row for row in made.rows if row.dtype == dtype]
        gaps = {gap.variant: gap.reason for gap in made.gaps if gap.dtype == dtype}
        assert {row.variant for row in rows} | set(gaps) == set(attention.BACKENDS) - {"reference"}
        assert {row.variant for row in rows} >= {"released", "plain", "concat", "merge"}
        assert all(gaps.values())
        assert sum(row.facts[CHOSEN] for row in rows) == 1
        for row in rows:
            assert row.grad is backward
            assert 0 < row.min_seconds <= row.median_seconds
            assert row.error is not None
            assert row.error < (2e-6 if dtype == "float32" else 0.1)
            assert row.roofline is not None
            assert row.facts["bytes_moved"] > row.bytes * 0.9
    assert made.exit_code == 0  # narrowed: none of the targets' cases, and none asked for


def test_a_backend_that_breaks_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = attention_bench.call

    def breaks(variant: str, inputs: object) -> object:
        if variant == "merge":
            raise RuntimeError("the kernel is tired")
        return honest(variant, inputs)

    monkeypatch.setattr(attention_bench, "call", breaks)
    made = tiny_profile(monkeypatch, backends=("merge", "concat"), dtypes=("float32",))
    assert [row.variant for row in made.rows] == ["concat"]
    assert [gap for gap in made.gaps if "tired" in gap.reason] == [
        Gap("attention", "", "merge", "float32", "RuntimeError: the kernel is tired")
    ]


def test_what_does_not_fit_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbbench.profiling.attention_rows.free_bytes", lambda _: 20_000.0)
    made = tiny_profile(monkeypatch, backends=("released", "merge"), dtypes=("float32",))
    assert [row.variant for row in made.rows] == ["merge"]
    assert "at once" in made.gaps[0].reason


def test_wrong_numbers_show_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(TINY.shape, "cpu", "float32", False)
    errors = Errors(work)
    assert errors.of("concat") < 1e-6
    honest = attention_bench.call
    monkeypatch.setattr(
        attention_bench, "call", lambda *words: tuple(1.01 * x for x in honest(*words))
    )
    assert errors.of("concat") == pytest.approx(0.01, rel=1e-3)
    monkeypatch.setattr(
        attention_bench, "call", lambda *words: tuple(x * math.nan for x in honest(*words))
    )
    assert math.isnan(errors.of("concat"))
    errors = Errors(replace(work, grad=True))
    for place in range(6):  # the output and five gradients

        def broken(variant: str, inputs: object, place: int = place) -> tuple[torch.Tensor, ...]:
            return tuple(
                x * math.nan if number == place else x
                for number, x in enumerate(honest(variant, inputs))
            )

        monkeypatch.setattr(attention_bench, "call", broken)
        assert math.isnan(errors.of("concat"))
    monkeypatch.setattr(attention_bench, "call", honest)
    assert Errors(replace(work, shape=Shape(4096, 8, 1, 1, 1))).of("concat") is None


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 3, 9])
def test_the_error_is_of_the_whole_clip_at_frames_all_over_it(
    monkeypatch: pytest.MonkeyPatch, frames: int, grad: bool
) -> None:
    """What is computed has all frames, and a wrong number at any frame that is checked shows, the
    last one's too."""
    work = Work(replace(TINY.shape, frames=frames, batch=2), "cpu", "float32", grad)
    errors = Errors(work)
    honest = attention_bench.call
    assert all(errors.of(name) < 1e-6 for name in ("merge", "concat", "plain"))
    for wrong in checked_frames(frames):

        def off(variant: str, inputs: object, wrong: int = wrong) -> tuple[torch.Tensor, ...]:
            out, *gradients = honest(variant, inputs)
            assert out.shape[1] == frames
            out = out.clone()
            out[:, wrong] *= 2
            return (out, *gradients)

        monkeypatch.setattr(attention_bench, "call", off)
        assert errors.of("concat") > 0.05
        monkeypatch.setattr(attention_bench, "call", honest)
    assert checked_frames(16) == [0, 1, 8, 15]


def test_a_kernel_that_refuses_when_it_is_first_timed_is_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quick profile tries no error of most variants, so that the clock is the first to call
    them."""
    honest = attention_bench.call

    def refuses(variant: str, inputs: object) -> object:
        if variant == "concat" and not isinstance(inputs.tensors[0], FakeTensor):
            raise RuntimeError("no kernel for float32")
        return honest(variant, inputs)

    monkeypatch.setattr(attention_bench, "call", refuses)
    monkeypatch.setattr("vbbench.profiling.attention_rows.choose_backend", lambda *_: "merge")
    made = tiny_profile(monkeypatch, quick=True, dtypes=("float32",))
    assert {row.variant for row in made.rows} == {"released", "merge"}
    assert "no kernel for float32" in next(
        gap.reason for gap in made.gaps if gap.variant == "concat"
    )


def test_a_backend_is_asked_about_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shy:
        @staticmethod
        def refusal(q: torch.Tensor, needs_grad: bool = False) -> str | None:
            return "it has no gradients" if needs_grad else None

    monkeypatch.setattr(attention_bench, "load_backend", lambda _: Shy)
    work = Work(TINY.shape, "cpu", "float32", False)
    assert attention_bench.refusal("merge", work) is None
    assert attention_bench.refusal("merge", replace(work, grad=True)) == "it has no gradients"


def test_a_single_frame_is_no_plural() -> None:
    assert Case(Shape(16, 8, 2, 1, 16), "mini").name == "16 x 8, 1 frame"


def test_inputs_are_many_enough_to_leave_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_bench, "CACHE", 200_000)
    work = Work(TINY.shape, "cpu", "float32", True)
    inputs = rotating_inputs(work)
    size = sum(x.numel() * x.element_size() for x in inputs[0].tensors)
    assert (len(inputs) - 1) * size < 200_000 <= len(inputs) * size
    assert not torch.equal(inputs[0].tensors[0], inputs[1].tensors[0])
    assert torch.equal(inputs[0].tensors[0], make_inputs(work).tensors[0])
    assert all(x.requires_grad for x in inputs[1].tensors)


def test_on_a_gpu_every_kernel_of_sdpa_is_tried() -> None:
    assert variants_for(("merge", "concat"), "cuda") == [
        "merge",
        "concat",
        "concat flash",
        "concat efficient",
        "concat cudnn",
    ]
    assert variants_for(("merge", "concat"), "cpu") == ["merge", "concat"]
    assert variants_for(("merge",), "cuda") == ["merge"]


def test_layers_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tiny levels in the place of the real ones: 5 + 5 + 5 + 1 layers."""
    levels = [
        Case(Shape(4 * (level + 1), 8, 1, 3, 4), "sd14", {256: count}, ("size",))
        for level, count in enumerate((5, 5, 5, 1))
    ]
    monkeypatch.setattr(attention, "cases_for", lambda _: levels)
    monkeypatch.setattr(attention, "CASE_SECONDS", 0.01)
    monkeypatch.setattr(attention, "_remembered", lambda *_: False)
    made = attention.profile(Options(dtypes=("float32",), backends=("concat", "plain", "merge")))
    total = next(row for row in made.rows if (row.case, row.variant) == (LAYERS, "plain"))
    parts = [row for row in made.rows if row.variant == "plain" and row.case != LAYERS]
    for name in ("median_seconds", "flops", "bytes"):
        assert getattr(total, name) == pytest.approx(
            sum(getattr(row, name) * n for row, n in zip(parts, (5, 5, 5, 1), strict=True))
        )
    assert total.error == max(row.error for row in parts)
    dispatched = next(row for row in made.rows if (row.case, row.variant) == (LAYERS, "dispatched"))
    chosen = [row.median_seconds for row in made.rows if row.facts[CHOSEN] and row.case != LAYERS]
    assert dispatched.median_seconds == pytest.approx(
        sum(s * n for s, n in zip(chosen, (5, 5, 5, 1), strict=True))
    )


@pytest.mark.gpu
def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code with events and PyTorch's own count of memory."""
    monkeypatch.setattr(attention, "cases_for", lambda _: [Case(Shape(64, 40, 8, 4, 64), "sd14")])
    made = attention.profile(
        Options(device="cuda", dtypes=("bfloat16",), backends=("released", "concat", "merge"))
    )
    assert {row.variant for row in made.rows} >= {"released", "concat", "merge"}
    for row in made.rows:
        assert row.peak_memory_mb is not None
        assert row.peak_memory_mb > 0
        assert row.median_seconds < 0.1
    assert made.environment["gpu"]
