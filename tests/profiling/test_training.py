"""A training step by every backend: it trains, and it trains what it says."""

from __future__ import annotations

import pytest
import torch

from vbbench.errors import UsageError
from vbbench.models.videobooth.unet import VideoUNet
from vbbench.profiling import training
from vbbench.profiling.options import Options


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The miniature's kind at a tiny size."""
    size = training.SIZES["mini"]
    config = training.replace(size.config, block_out_channels=(16, 32), num_heads=(1, 2), cross_attention_dim=8, norm_num_groups=4)
    monkeypatch.setitem(training.SIZES, "mini", training.replace(size, config=config, clips=1, frames=3))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[VideoUNet]:
    """The networks that are built from here on."""
    networks: list[VideoUNet] = []
    make = training.build_network
    monkeypatch.setattr(training, "build_network", lambda *a: (networks.append(make(*a)), networks[-1])[1])
    return networks


def test_profile_by_all_backends_that_have_gradients() -> None:
    record = training.profile(Options(quick=True, dtypes=("float32",)))
    assert [row.variant for row in record.rows] == ["released", "plain", "concat", "merge", "table"]
    assert {gap.variant for gap in record.gaps} >= {"flex", "xformers", "flash-attn"}
    assert all(row.grad and row.median_seconds > 0 for row in record.rows)
    assert record.exit_code == 0


def test_a_step_trains_the_fine_stage_and_nothing_else(built: list[VideoUNet]) -> None:
    step = training.step_of("mini", "float32", "merge", "cpu")
    before = {name: parameter.clone() for name, parameter in built[0].named_parameters()}
    step()
    moved = {name for name, parameter in built[0].named_parameters() if not torch.equal(parameter, before[name])}
    wanted = {name for name, _ in (*built[0].text_kv_parameters(), *built[0].injection_parameters())}
    assert moved == wanted


def test_backends_take_the_same_step(built: list[VideoUNet]) -> None:
    for backend in ("released", "merge"):
        training.step_of("mini", "float32", backend, "cpu")()
    gradients = [{name: p.grad for name, p in unet.named_parameters() if p.grad is not None} for unet in built]
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [(Options(backends=("fastest",)), "no attention backend 'fastest'"), (Options(frames=(4,)), "the size of its scale")],
)
def test_what_cannot_be_measured_is_told(options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        training.profile(options)
