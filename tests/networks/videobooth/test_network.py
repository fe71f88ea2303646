"""VideoBooth as one network: exactly what each stage trains, and where an image prompt has an
influence."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from tests.models import tiny
from vbbench.errors import InputError
from vbbench.networks.unet.unet import ImagePromptInput
from vbbench.networks.videobooth import COARSE, FINE, VideoBoothNetwork

TRAINED = {
    COARSE: r"mapper\..+|base\.unet\..+\.attn2\.to_[kv]\.weight",
    FINE: r"mapper\..+|base\.unet\..+\.(attn2\.to_[kv]|attn1\.to_[kv](_image)?)\.weight",
}
TEXT = "a dog on the beach"
SUBJECT = 2  # token position of "dog" in it


@pytest.fixture(scope="module")
def networks() -> dict[str, VideoBoothNetwork]:
    return {stage: tiny.make_videobooth(stage) for stage in (COARSE, FINE)}


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("stage", [COARSE, FINE])
def test_each_stage_trains_exactly_its_own(networks: dict, stage: str) -> None:
    network = networks[stage]
    names = dict(network.named_parameters())
    trained = dict(network.trained())
    assert set(trained) == {name for name in names if re.fullmatch(TRAINED[stage], name)}
    assert all(parameter is names[name] for name, parameter in trained.items())
    transformers, levels = 7, 2  # 2 down, 1 in the middle, 4 up; hidden states of the image encoder
    projections = transformers * (2 if stage == COARSE else 6)
    perceptron = 3 * 2 + 2 * 2  # three linear layers, two norms
    assert len(trained) == projections + 2 * levels * perceptron


def test_nothing_is_left_trainable_by_itself(networks: dict) -> None:
    for network in networks.values():
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not network.image_encoder.training


def test_only_the_fine_stage_has_injection(networks: dict) -> None:
    coarse, fine = (
        [
            name
            for name, _ in networks[stage].named_parameters()
            if "to_k_image" in name or "to_v_image" in name
        ]
        for stage in (COARSE, FINE)
    )
    assert not coarse
    assert len(fine) == 14


def test_a_coarse_network_refuses_an_injected_image_prompt(networks: dict) -> None:
    unet, latent = networks[COARSE].base.unet, torch.zeros(1, tiny.COMPONENTS, 1, 8, 8)
    text = networks[COARSE].base.encode_text([TEXT])
    with pytest.raises(RuntimeError, match="injection"):
        unet(
            latent,
            torch.tensor([5]),
            text,
            image_prompt=ImagePromptInput(latent, torch.tensor([5]), text),
        )


def test_a_new_network_injects_copies_of_the_bases_keys_and_values() -> None:
    network = VideoBoothNetwork(tiny.make_network(), tiny.make_image_encoder(), FINE)
    for attention in network.base.unet.cross_frame_attentions():
        assert torch.equal(attention.to_k_image.weight, attention.to_k.weight)
        assert torch.equal(attention.to_v_image.weight, attention.to_v.weight)
        assert attention.to_k_image.weight is not attention.to_k.weight


def test_unknown_stages_are_told() -> None:
    with pytest.raises(ValueError, match="'middle'; there are coarse, fine"):
        VideoBoothNetwork(tiny.make_network(), tiny.make_image_encoder(), "middle")


def test_an_image_prompt_becomes_one_embedding_a_level(networks: dict, pictures: Tensor) -> None:
    with torch.no_grad():
        embeddings = networks[COARSE].embed_image(pictures)
        alone = networks[COARSE].embed_image(pictures[1:])
    assert embeddings.shape == (2, 2, 16)
    torch.testing.assert_close(alone, embeddings[1:])
    assert (embeddings[0] - embeddings[1]).abs().max() > 1e-3


def test_the_image_encoder_gets_no_gradient_but_the_mapper_does(pictures: Tensor) -> None:
    network = tiny.make_videobooth(COARSE).requires_grad_(True)
    network.embed_image(pictures).sum().backward()
    assert all(parameter.grad is None for parameter in network.image_encoder.parameters())
    assert all(parameter.grad is not None for parameter in network.mapper.parameters())


def test_embeddings_change_the_text_from_the_subject_word_on(networks: dict) -> None:
    network, generator = networks[COARSE], torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 1, 2, 16, generator=generator)
    with torch.no_grad():
        first, second = (
            network.encode_text([TEXT], ["dog"], embeddings) for embeddings in (one, other)
        )
        plain = network.base.encode_text([TEXT])
    assert first.shape == plain.shape == (1, 16, 16)
    for states in (second, plain):
        torch.testing.assert_close(first[:, :SUBJECT], states[:, :SUBJECT])
        assert (first[:, SUBJECT:] - states[:, SUBJECT:]).abs().amax(-1).min() > 1e-3


def test_embeddings_are_what_words_would_be(networks: dict) -> None:
    """Word embeddings of two words in the place of one give the states of the text that says those
    words."""
    base = networks[COARSE].base
    ids = base.tokenizer(["red cat"])[0, 1:3]
    embeddings = base.text_encoder.embeddings.token_embedding.weight[ids][None]
    with torch.no_grad():
        injected = networks[COARSE].encode_text([TEXT], ["dog"], embeddings)
        written = base.encode_text([TEXT.replace("dog", "red cat")])
    torch.testing.assert_close(injected, written, atol=1e-5, rtol=1e-5)


def test_each_text_gets_its_own_embeddings_at_its_own_place(networks: dict) -> None:
    network, embeddings = (
        networks[COARSE],
        torch.randn(2, 2, 16, generator=torch.Generator().manual_seed(0)),
    )
    texts, words = ["a dog on the beach", "a photo of a cat"], ["dog", "cat"]
    with torch.no_grad():
        both = network.encode_text(texts, words, embeddings)
        each = [
            network.encode_text([t], [w], embeddings[row : row + 1])[0]
            for row, (t, w) in enumerate(zip(texts, words, strict=True))
        ]
    torch.testing.assert_close(both, torch.stack(each), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "word", "told"), [(TEXT, "cat", "'cat'"), ("a dog on the moon", "dog", "'moon'")]
)
def test_texts_that_cannot_be_used_are_told(
    networks: dict, text: str, word: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        networks[COARSE].encode_text([text], [word], torch.zeros(1, 2, 16))
