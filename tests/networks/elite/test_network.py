"""ELITE as one network: exactly what each stage trains, what the mappers compute, and where the
primary word stands."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models import tiny
from vbbench.errors import InputError
from vbbench.networks.elite import (
    GLOBAL,
    LOCAL,
    EliteNetwork,
    LocalMapper,
    covered_patches,
    not_white,
)

OF_STAGE = {
    GLOBAL: r"mapper\..+|base\.unet\..+\.attn2\.to_[kv]\.weight",
    LOCAL: r"local_mapper\..+|base\.unet\..+\.attn2\.to_[kv]_local\.weight",
}
TEXT = "a dog on the beach"
SUBJECT = 2  # token position of "dog" in it


@pytest.fixture(scope="module")
def networks() -> dict[str, EliteNetwork]:
    return {stage: tiny.make_elite(stage) for stage in (GLOBAL, LOCAL)}


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("stage", [GLOBAL, LOCAL])
def test_each_stage_trains_exactly_its_own_and_ships_all_so_far(networks: dict, stage: str) -> None:
    network = networks[stage]
    names = dict(network.named_parameters())
    trained, shipped = dict(network.trained()), dict(network.shipped())
    assert set(trained) == {name for name in names if re.fullmatch(OF_STAGE[stage], name)}
    so_far = OF_STAGE[GLOBAL] if stage == GLOBAL else "|".join(OF_STAGE.values())
    assert set(shipped) == {name for name in names if re.fullmatch(so_far, name)}
    assert all(parameter is names[name] for name, parameter in (*trained.items(), *shipped.items()))
    transformers, levels, perceptron = (
        7,
        2,
        3 * 2 + 2 * 2,
    )  # 2 down, 1 in the middle, 4 up; three linear layers, two norms
    assert len(trained) == 2 * transformers + levels * perceptron * (2 if stage == GLOBAL else 1)


def test_nothing_is_left_trainable_by_itself(networks: dict) -> None:
    for network in networks.values():
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not network.image_encoder.training


def test_unknown_stages_are_told() -> None:
    with pytest.raises(ValueError, match="'middle'; there are global, local"):
        EliteNetwork(tiny.make_network(), tiny.make_image_encoder(), "middle")


@torch.no_grad()
def test_the_deepest_hidden_state_becomes_the_primary_word(
    networks: dict, pictures: Tensor
) -> None:
    network = networks[GLOBAL]
    states = network.encode_image(pictures)
    words, primary = network.words(states), network.primary_word(states)
    assert words.shape == (2, 2, 16)
    assert primary.shape == (2, 1, 16)
    torch.testing.assert_close(primary, words[:, :1])
    deepest = network.image_encoder.vision(
        pixel_values=network.image_encoder.stem(pictures), output_hidden_states=True
    ).hidden_states[-1]
    mapper = network.mapper
    by_hand = mapper.mapping[0](deepest[:, 0]) + mapper.mapping_patch[0](deepest[:, 1:]).mean(1)
    torch.testing.assert_close(primary[:, 0], by_hand, atol=1e-5, rtol=1e-5)
    other = [states[0], torch.zeros_like(states[1])]
    torch.testing.assert_close(network.primary_word(other), primary)


@torch.no_grad()
def test_the_local_mapper_is_the_mean_over_levels_patch_by_patch() -> None:
    with tiny.seeded(0):
        mapper = LocalMapper(levels=2, input_dim=6, hidden_dim=8, output_dim=4)
        states = [torch.randn(2, 10, 6) for _ in range(2)]
    foreground = torch.zeros(2, 6, 6)
    foreground[0, :2, 2:4] = 1  # patch 1 of the first picture
    foreground[1, 4:, :] = 1  # the last row of the second
    out = mapper(states, foreground)
    assert out.shape == (2, 9, 4)
    shown = np.zeros((2, 9), dtype=bool)
    shown[0, 1], shown[1, 6:] = True, True
    for picture, patch in np.ndindex(2, 9):
        each = [
            mapper.mapping_patch[level](states[level][picture, 1 + patch]) for level in range(2)
        ]
        expected = torch.stack(each).mean(0) if shown[picture, patch] else torch.zeros(4)
        torch.testing.assert_close(out[picture, patch], expected, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="1 hidden states for a local mapper of 2"):
        mapper(states[:1], foreground)


def test_a_patch_shows_the_subject_from_a_quarter_on() -> None:
    foreground = torch.zeros(1, 8, 8, dtype=torch.bool)
    foreground[0, 0, 0:4] = True  # 4 of 16 pixels
    foreground[0, 4, 4:7] = True  # 3 of 16
    assert covered_patches(foreground, 4).tolist() == [[True, False, False, False]]
    assert not covered_patches(torch.zeros(1, 8, 8), 4).any()


def test_what_is_not_white_is_the_subject() -> None:
    picture = np.full((1, 4, 3), 255, np.uint8)
    picture[0, 1], picture[0, 2], picture[0, 3] = (250, 250, 250), (255, 249, 255), (0, 0, 0)
    assert not_white(picture).tolist() == [[False, False, True, True]]


@torch.no_grad()
def test_the_local_prompt_points_at_the_primary_word(networks: dict, pictures: Tensor) -> None:
    network, foreground = networks[LOCAL], torch.ones(2, 64, 64)
    states = network.encode_image(pictures)
    texts, words = [TEXT, "a photo of a cat"], ["dog", "cat"]
    local = network.local_prompt(states, foreground, texts, words, 0.5)
    assert local.word_B.tolist() == [SUBJECT, 5]
    assert local.strength == 0.5
    assert local.features_BMD.shape == (2, 16, 16)
    assert local.features_BMD.abs().amax(-1).min() > 0
    assert not network.local_prompt(states, 0 * foreground, texts, words).features_BMD.any()
    text = network.encode_text(texts, words, network.primary_word(states))
    plain = network.base.encode_text(texts)
    for row, place in enumerate(local.word_B.tolist()):
        torch.testing.assert_close(text[row, :place], plain[row, :place])
        assert (text[row, place] - plain[row, place]).abs().max() > 1e-3
    assert networks[GLOBAL].local_prompt(states, foreground, texts, words) is None
    with pytest.raises(InputError, match="'cat'"):
        network.local_prompt(states, foreground, texts, ["cat", "cat"])
