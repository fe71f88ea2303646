"""Networks from weights: everything fits, or the error names what does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models import tiny
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import load_weights, save_weights
from vbbench.data.world import VOCABULARY
from vbbench.errors import WeightsError
from vbbench.networks import loading
from vbbench.networks.network import NetworkConfig, mini_config
from vbbench.networks.videobooth import COARSE, FINE, FINE_ONLY

LOADERS = {
    "codec": loading.load_codec,
    "base": loading.load_network,
    "image-encoder": loading.load_image_encoder,
}
A_KEY = {"codec": "basis", "base": "unet.conv_in.weight", "image-encoder": "stem.0.0.weight"}
Change = Callable[[dict[str, Tensor]], None]


@pytest.fixture
def folder(tmp_path: Path, weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny weights that may be damaged."""
    shutil.copytree(weights_root / "mini", tmp_path / "weights" / "mini")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights" / "mini"


def rewrite(path: Path, change: Change) -> None:
    tensors, card = load_weights(path)
    change(tensors)
    save_weights(path, tensors, card)


@pytest.mark.parametrize(
    "config", [NetworkConfig(), mini_config(VOCABULARY), tiny.network_config()]
)
def test_a_networks_configuration_survives_a_card(config: NetworkConfig) -> None:
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_the_miniature_knows_every_word_of_the_world() -> None:
    config = mini_config(VOCABULARY, 32)
    assert config.vocabulary == VOCABULARY
    assert config.text.vocab_size == len(VOCABULARY) + 2
    assert config.unet.in_channels == config.unet.out_channels == 32
    assert config.text.width == config.unet.cross_attention_dim


@pytest.mark.usefixtures("tiny_weights")
def test_what_was_saved_is_what_is_loaded() -> None:
    for name, made in (
        ("codec", tiny.make_codec()),
        ("base", tiny.make_network()),
        ("image-encoder", tiny.make_image_encoder()),
    ):
        loaded = LOADERS[name](name)
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
        for key, value in made.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[key], value.half().float(), msg=key)


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_key_is_named(folder: Path, name: str) -> None:
    rewrite(folder / f"{name}.safetensors", lambda tensors: tensors.pop(A_KEY[name]))
    with pytest.raises(WeightsError, match=f"{name} do not fit: 1 missing: {A_KEY[name]}"):
        LOADERS[name](name)


@pytest.mark.parametrize("name", LOADERS)
def test_an_unexpected_key_is_named(folder: Path, name: str) -> None:
    rewrite(folder / f"{name}.safetensors", lambda tensors: tensors.update(surplus=torch.zeros(1)))
    with pytest.raises(WeightsError, match="1 unexpected: surplus"):
        LOADERS[name](name)


@pytest.mark.parametrize("name", LOADERS)
def test_a_misshapen_key_is_named_with_its_shapes(folder: Path, name: str) -> None:
    rewrite(
        folder / f"{name}.safetensors",
        lambda tensors: tensors.update({A_KEY[name]: torch.zeros(1, 2)}),
    )
    with pytest.raises(WeightsError, match=rf"1 misshapen: {A_KEY[name]} \(1, 2\) for \("):
        LOADERS[name](name)


@pytest.mark.parametrize("name", LOADERS)
def test_missing_weights_are_told_with_the_remedy(folder: Path, name: str) -> None:
    (folder / f"{name}.safetensors").unlink()
    with pytest.raises(WeightsError, match=f"vbbench train {name}"):
        LOADERS[name](name)


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_weights_are_told(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged"):
        LOADERS[name](name)


WEIGHTS_OF = {COARSE: "videobooth-coarse", FINE: "videobooth", FINE_ONLY: "videobooth-fine"}


def videobooth(stage: str, weights: str | None) -> torch.nn.Module:
    return loading.load_videobooth(stage, "base", "image-encoder", weights)


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("stage", [COARSE, FINE, FINE_ONLY])
def test_videobooth_is_the_base_but_for_what_was_trained(stage: str) -> None:
    network = videobooth(stage, WEIGHTS_OF[stage])
    assert not network.training
    trained, base = dict(tiny.make_videobooth(stage).trained()), tiny.make_network().state_dict()
    for key, value in network.state_dict().items():
        if key.startswith("image_encoder."):
            continue
        expected = trained[key] if key in trained else base[key.removeprefix("base.")]
        torch.testing.assert_close(value, expected.detach().half().float(), msg=key)


@pytest.mark.usefixtures("tiny_weights")
def test_coarse_weights_start_a_fine_network_whose_injection_copies_the_base() -> None:
    network, coarse = (
        videobooth(FINE, "videobooth-coarse"),
        dict(tiny.make_videobooth(COARSE).trained()),
    )
    state = network.state_dict()
    for key, value in coarse.items():
        torch.testing.assert_close(state[key], value.detach().half().float(), msg=key)
    for attention in network.base.unet.cross_frame_attentions():
        assert torch.equal(attention.to_k_image.weight, attention.to_k.weight)
        assert torch.equal(attention.to_v_image.weight, attention.to_v.weight)


@pytest.mark.usefixtures("tiny_weights")
def test_without_weights_the_base_is_untouched() -> None:
    network = videobooth(COARSE, None)
    base = loading.load_network("base").state_dict()
    for key, value in network.base.state_dict().items():
        assert torch.equal(value, base[key]), key


@pytest.mark.usefixtures("tiny_weights")
def test_a_coarse_network_takes_the_coarse_path_of_fine_weights() -> None:
    network, fine = videobooth(COARSE, "videobooth"), dict(tiny.make_videobooth(FINE).trained())
    base = tiny.make_network().state_dict()
    for key, value in network.state_dict().items():
        if key.startswith("mapper.") or ".attn2.to_k" in key or ".attn2.to_v" in key:
            torch.testing.assert_close(value, fine[key].detach().half().float(), msg=key)
        elif key.startswith("base."):
            torch.testing.assert_close(
                value, base[key.removeprefix("base.")].half().float(), msg=key
            )


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize(
    ("stage", "weights"),
    [(FINE_ONLY, "videobooth"), (FINE, "videobooth-fine"), (COARSE, "videobooth-fine")],
)
def test_weights_of_another_stage_are_refused(stage: str, weights: str) -> None:
    with pytest.raises(WeightsError, match=f"of the stage .*, not {stage}"):
        videobooth(stage, weights)


@pytest.mark.usefixtures("tiny_weights")
def test_weights_say_whether_the_image_prompt_is_noised() -> None:
    assert videobooth(FINE, "videobooth").noises_image_prompt
    assert not videobooth(FINE, "videobooth-clean-prompt").noises_image_prompt


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize("stage", [COARSE, FINE, FINE_ONLY])
def test_differences_in_eight_bits_come_back(stage: str, tmp_path: Path) -> None:
    """Of the base's parameters only the difference is rounded, to 1/254 of a row's largest."""
    trained = tiny.make_videobooth(stage)
    untrained = videobooth(stage, None)
    untrained.load_state_dict(
        {k: v for k, v in untrained.state_dict().items() if k.startswith("image_encoder")},
        strict=False,
    )
    names = {name for name, _ in trained.trained()}
    stored = loading.differences(trained, untrained, names)
    save_weights(
        tmp_path / "x.safetensors",
        stored,
        {"config": {"stage": stage, "differences": True}},
        eight_bit=True,
    )
    restored, card = load_weights(tmp_path / "x.safetensors")
    loading.fill(untrained, restored, card["config"], "x")
    after, wanted = untrained.state_dict(), trained.state_dict()
    for name in names:
        step = (
            stored[name].flatten(1).abs().amax(1) / 127
            if stored[name].dim() > 1
            else stored[name].abs() / 1024
        )
        assert (
            (after[name] - wanted[name]).abs()
            <= 0.51 * step.view(-1, *[1] * (after[name].dim() - 1)) + 1e-6
        ).all(), name


@pytest.mark.parametrize("scale", ["mini", "sd14"])
@pytest.mark.parametrize("stage", [COARSE, FINE, FINE_ONLY])
def test_networks_are_built_without_weights_on_the_meta_device(scale: str, stage: str) -> None:
    network = loading.load_videobooth(stage, "base", "image-encoder", "videobooth", scale, "meta")
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    trained = sum(parameter.numel() for _, parameter in network.trained())
    assert (
        trained
        == {"mini": (537_856, 1_058_048, 520_192), "sd14": (48_074_240, 97_635_840, 49_561_600)}[
            scale
        ][(COARSE, FINE, FINE_ONLY).index(stage)]
    )


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        (COARSE, "mapper.mapping.0.0.weight"),
        (FINE, "base.unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k_image.weight"),
    ],
)
def test_videobooth_weights_that_lack_or_exceed_are_named(
    folder: Path, stage: str, key: str
) -> None:
    path = folder / f"{WEIGHTS_OF[stage]}.safetensors"
    rewrite(path, lambda tensors: tensors.pop(key))
    with pytest.raises(WeightsError, match=f"do not fit: {key}"):
        videobooth(stage, path.stem)
    rewrite(
        path,
        lambda tensors: tensors.update(
            {key: torch.zeros(1), "base.unet.conv_in.weight": torch.zeros(1)}
        ),
    )
    with pytest.raises(WeightsError, match=r"do not fit: base.unet.conv_in.weight"):
        videobooth(stage, path.stem)


def test_a_misshapen_videobooth_key_is_named(folder: Path) -> None:
    key = "mapper.mapping.0.0.weight"
    rewrite(
        folder / "videobooth-coarse.safetensors",
        lambda tensors: tensors.update({key: torch.zeros(2)}),
    )
    with pytest.raises(WeightsError, match=rf"1 misshapen: {key} \(2,\)"):
        videobooth(COARSE, "videobooth-coarse")


@pytest.mark.parametrize("name", LOADERS)
def test_a_card_without_a_sound_configuration_is_a_sentence(folder: Path, name: str) -> None:
    card = folder / f"{name}.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "config": {"unet": 3}}))
    with pytest.raises(WeightsError, match=f"'{name}' has no configuration"):
        LOADERS[name](name)
