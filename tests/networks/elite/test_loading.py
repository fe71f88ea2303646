"""ELITE's weights: what was trained comes back, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models import tiny
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import load_weights, save_weights
from vbbench.errors import WeightsError
from vbbench.networks.elite import GLOBAL, LOCAL, EliteNetwork, load_elite
from vbbench.networks.loading import differences

WEIGHTS_OF = {GLOBAL: "elite-global", LOCAL: "elite"}


def load(stage: str, weights: str | None) -> EliteNetwork:
    return load_elite(stage, "base", "image-encoder", weights)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny weights of one's own."""
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tiny.write_weights(tmp_path)))
    return tmp_path / "mini"


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("stage", [GLOBAL, LOCAL])
def test_it_is_the_base_but_for_what_was_trained(stage: str) -> None:
    network = load(stage, WEIGHTS_OF[stage])
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    trained, base = dict(tiny.make_elite(stage).shipped()), tiny.make_network().state_dict()
    for key, value in network.state_dict().items():
        if key in trained:
            torch.testing.assert_close(value, trained[key].detach().half().float(), msg=key)
        elif key.startswith("base."):
            torch.testing.assert_close(
                value, base[key.removeprefix("base.")].half().float(), msg=key
            )


@pytest.mark.parametrize("stage", [GLOBAL, LOCAL])
def test_stored_differences_come_back(stage: str, folder: Path) -> None:
    trained = load(stage, WEIGHTS_OF[stage])
    stored = differences(trained, load(stage, None), {name for name, _ in trained.shipped()})
    save_weights(
        folder / "x.safetensors", stored, {"config": {"stage": stage, "differences": True}}
    )
    again, wanted = load(stage, "x").state_dict(), trained.state_dict()
    for key, value in wanted.items():
        torch.testing.assert_close(again[key], value, atol=2e-3, rtol=2e-3, msg=key)


@pytest.mark.usefixtures("tiny_weights")
def test_the_local_stage_goes_on_from_global_weights() -> None:
    local, before = load(LOCAL, "elite-global"), load(GLOBAL, "elite-global").state_dict()
    after = local.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    for layer in local.base.unet.text_attentions():
        assert torch.equal(layer.to_k_local.weight, layer.to_k.weight)
        assert not layer.to_v_local.weight.any()


@pytest.mark.usefixtures("tiny_weights")
def test_weights_of_a_later_stage_or_another_method_are_refused() -> None:
    with pytest.raises(WeightsError, match="elite are of the stage local, not global"):
        load(GLOBAL, "elite")
    with pytest.raises(WeightsError, match="of the stage coarse, not local"):
        load(LOCAL, "videobooth-coarse")


@pytest.mark.parametrize(
    "key",
    [
        "mapper.mapping.0.0.weight",
        "base.unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k_local.weight",
    ],
)
def test_what_lacks_is_named(folder: Path, key: str) -> None:
    path = folder / "elite.safetensors"
    tensors, card = load_weights(path)
    del tensors[key]
    save_weights(path, tensors, card)
    with pytest.raises(WeightsError, match=f"do not fit: {key}"):
        load(LOCAL, "elite")


# Levels, widths of image encoder and text, channels of all text attentions together.
SIZES = {
    "mini": (3, 128, 128, 3 * 96 + 4 * 160),
    "sd14": (5, 1024, 768, 5 * 320 + 5 * 640 + 6 * 1280),
}


@pytest.mark.parametrize("scale", ["mini", "sd14"])
def test_it_is_built_without_weights_on_the_meta_device(scale: str) -> None:
    network = load_elite(LOCAL, "base", "image-encoder", "elite", scale, "meta")
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    levels, width, text, channels = SIZES[scale]
    perceptron = 2 * (width + 1) * width + 2 * 2 * width + (width + 1) * text
    global_and_local_projections = 2 * 2 * text * channels
    assert (
        sum(parameter.numel() for _, parameter in network.shipped())
        == 3 * levels * perceptron + global_and_local_projections
    )
