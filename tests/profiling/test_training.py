"""A training step by every backend: it trains, and it trains what it says."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vbbench.errors import UsageError
from vbbench.networks.unet.unet import VideoUNet
from vbbench.profiling import training
from vbbench.profiling.options import Options
from vbbench.profiling.record import Ceiling


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The miniature's kind at a tiny size."""
    size = training.SIZES["mini"]
    config = training.replace(
        size.config,
        block_out_channels=(16, 32),
        num_heads=(1, 2),
        cross_attention_dim=8,
        norm_num_groups=4,
    )
    monkeypatch.setattr(training, "ROUNDS", 2)
    monkeypatch.setattr(
        training, "measure_ceilings", lambda *_: (Ceiling("matmul", "float32", 1e13),)
    )
    monkeypatch.setitem(
        training.SIZES, "mini", training.replace(size, config=config, clips=1, frames=3)
    )


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[VideoUNet]:
    """The networks that are built from here on."""
    networks: list[VideoUNet] = []
    make = training.build_network
    monkeypatch.setattr(
        training, "build_network", lambda *a: (networks.append(make(*a)), networks[-1])[1]
    )
    return networks


def test_profile_by_all_backends_that_have_gradients() -> None:
    record = training.profile(Options(quick=True, dtypes=("float32",)))
    assert [row.variant for row in record.rows] == ["released", "plain", "concat", "merge", "table"]
    assert {gap.variant for gap in record.gaps} >= {"flex", "xformers", "flash-attn"}
    assert all(row.grad and row.median_seconds > 0 for row in record.rows)
    assert record.exit_code == 0
    assert len({row.flops for row in record.rows}) == 1
    assert all(row.flops and row.roofline and 0 < row.roofline < 1 for row in record.rows)


def test_needed_operations_are_those_of_a_real_step() -> None:
    step = training.step_of("mini", "float32", "plain", "cpu")
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    assert training.needed_flops(training.SIZES["mini"]) == counter.get_total_flops() > 0


def test_a_failing_backend_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    make = training.step_of

    def failing(scale: str, dtype: str, backend: str, device: str) -> training.FineStep:
        if backend == "merge":
            raise torch.OutOfMemoryError("no memory")
        step = make(scale, dtype, backend, device)
        if backend == "concat":
            monkeypatch.setattr(step, "gradients", _refuse)
        return step

    monkeypatch.setattr(training, "step_of", failing)
    record = training.profile(
        Options(quick=True, dtypes=("float32",), backends=("merge", "concat", "plain"))
    )
    assert [row.variant for row in record.rows] == ["plain", "table"]
    assert {(gap.variant, gap.reason) for gap in record.gaps} == {
        ("merge", "OutOfMemoryError: no memory"),
        ("concat", "NotImplementedError: no gradients"),
    }


def _refuse() -> None:
    raise NotImplementedError("no gradients")


@pytest.mark.parametrize(("alone", "most"), [(("mini",), 1), ((), 3)])
def test_large_networks_are_held_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, alone: tuple[str, ...], most: int
) -> None:
    held: weakref.WeakSet[VideoUNet] = weakref.WeakSet()
    counts: list[int] = []
    make = training.build_network

    def build(*arguments: Any) -> VideoUNet:
        unet = make(*arguments)
        held.add(unet)
        counts.append(len(held))
        return unet

    monkeypatch.setattr(training, "build_network", build)
    monkeypatch.setattr(training, "ALONE", alone)
    weighed: list[int] = []
    monkeypatch.setattr(
        training, "peak_in_fresh_process", lambda *_, **__: weighed.append(len(held)) or 5.0
    )
    record = training.profile(Options(dtypes=("float32",), backends=("merge", "concat")))
    assert max(counts) == most
    assert weighed == [0, 0, 0]
    assert [row.peak_memory_mb for row in record.rows] == [5.0] * 3


def test_weighed_is_a_step_whose_moments_are_there(built: list[VideoUNet]) -> None:
    step = training.prepared("mini", "float32", "merge")
    assert isinstance(step, training.FineStep)
    weights = {name: parameter.clone() for name, parameter in built[-1].named_parameters()}
    moments = {id(parameter): set(state) for parameter, state in step._optimizer.state.items()}
    trained = [parameter for parameter in built[-1].parameters() if parameter.requires_grad]
    assert (
        moments == {id(parameter): {"step", "exp_avg", "exp_avg_sq"} for parameter in trained} != {}
    )
    fresh = training.step_of("mini", "float32", "merge", "cpu")
    assert all(
        torch.equal(parameter, weights[name]) for name, parameter in built[-1].named_parameters()
    ), "no weight has moved"
    step()
    assert all(parameter.grad is not None for parameter in trained)
    assert (
        fresh._optimizer.param_groups[0]["lr"]
        == step._optimizer.param_groups[0]["lr"]
        == training.LEARNING_RATE
    )


def test_a_step_trains_the_fine_stage_and_nothing_else(built: list[VideoUNet]) -> None:
    step = training.step_of("mini", "float32", "merge", "cpu")
    before = {name: parameter.clone() for name, parameter in built[0].named_parameters()}
    step()
    moved = {
        name
        for name, parameter in built[0].named_parameters()
        if not torch.equal(parameter, before[name])
    }
    wanted = {
        name for name, _ in (*built[0].text_kv_parameters(), *built[0].injection_parameters())
    }
    assert moved == wanted


def test_backends_take_the_same_step(built: list[VideoUNet]) -> None:
    for backend in ("released", "merge"):
        training.step_of("mini", "float32", backend, "cpu")()
    gradients = [
        {name: p.grad for name, p in unet.named_parameters() if p.grad is not None}
        for unet in built
    ]
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(backends=("fastest",)), "no attention backend 'fastest'"),
        (Options(frames=(4,)), "the size of its scale"),
    ],
)
def test_what_cannot_be_measured_is_told(options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        training.profile(options)
