"""The local text attention: against its formula written out, and where it must have no
influence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models import tiny
from vbbench.networks.unet.text_attention import LocalPrompt, TextAttention, attention_to_word
from vbbench.networks.unet.unet import VideoUNet

B, T, L, C, S, D, M, HEADS = 2, 3, 5, 8, 6, 7, 4, 2


@pytest.fixture
def layer() -> TextAttention:
    with tiny.seeded(0):
        layer = TextAttention(C, D, HEADS)
        layer.enable_local()
    return tiny.shaken(layer, 1, 0.5)  # type: ignore[return-value]


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, LocalPrompt]:
    """Pixels, text and a local prompt."""
    generator = torch.Generator().manual_seed(2)
    x, text, features = (
        torch.randn(shape, generator=generator) for shape in ((B, T, L, C), (B, S, D), (B, M, D))
    )
    return x, text, LocalPrompt(features, torch.tensor([2, 4]), 0.8)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def written_out(layer: TextAttention, x: Tensor, text: Tensor, local: LocalPrompt) -> np.ndarray:
    """ELITE, section 3, video by video and head by head."""
    weights = {key: value.double().numpy() for key, value in layer.state_dict().items()}
    width = C // HEADS
    out = np.zeros((B, T * L, C))
    for b in range(B):
        pixels = x[b].double().numpy().reshape(T * L, C)
        words, patches = text[b].double().numpy(), local.features_BMD[b].double().numpy()
        q = pixels @ weights["to_q.weight"].T
        k, v = words @ weights["to_k.weight"].T, words @ weights["to_v.weight"].T
        k_local, v_local = (
            patches @ weights["to_k_local.weight"].T,
            patches @ weights["to_v_local.weight"].T,
        )
        columns = [slice(h * width, (h + 1) * width) for h in range(HEADS)]
        maps = [softmax(q[:, c] @ k[:, c].T / width**0.5) for c in columns]
        paid = np.stack([m[:, local.word_B[b]] for m in maps])
        for c, m, of_head in zip(columns, maps, paid, strict=True):
            local_map = (
                softmax(q[:, c] @ k_local[:, c].T / width**0.5) * (of_head / paid.max())[:, None]
            )
            out[b, :, c] = m @ v[:, c] + local.strength * local_map @ v_local[:, c]
    return (out @ weights["to_out.0.weight"].T + weights["to_out.0.bias"]).reshape(B, T, L, C)


@torch.no_grad()
def test_it_is_the_papers_formula(layer: TextAttention, inputs: tuple) -> None:
    x, text, local = inputs
    np.testing.assert_allclose(
        layer(x, text, local).numpy(), written_out(layer, x, text, local), atol=2e-5
    )
    assert np.abs(written_out(layer, x, text, local) - layer(x, text).numpy()).max() > 0.05


def test_it_is_the_same_with_gradients(layer: TextAttention, inputs: tuple) -> None:
    """Training takes another way to compute attention."""
    x, text, local = inputs
    out = layer(x.requires_grad_(), text, local)
    np.testing.assert_allclose(
        out.detach().numpy(), written_out(layer, x.detach(), text, local), atol=2e-5
    )
    out.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


@torch.no_grad()
def test_the_largest_weight_of_each_video_is_one_whatever_the_company() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, word = (
        torch.randn(3, 10, 2, 4, generator=generator),
        torch.randn(3, 6, 2, 4, generator=generator),
        torch.tensor([1, 0, 5]),
    )
    weights = attention_to_word(q, k, word)
    assert weights.shape == (3, 10, 2)
    assert weights.min() > 0
    assert torch.equal(weights.amax((1, 2)), torch.ones(3))
    for row in range(3):
        one = slice(row, row + 1)
        torch.testing.assert_close(attention_to_word(q[one], k[one], word[one]), weights[one])


@torch.no_grad()
def test_no_strength_and_no_foreground_are_no_local_attention(
    layer: TextAttention, inputs: tuple
) -> None:
    x, text, local = inputs
    plain = layer(x, text)
    for changed in (
        replace(local, strength=0.0),
        replace(local, features_BMD=torch.zeros_like(local.features_BMD)),
    ):
        torch.testing.assert_close(layer(x, text, changed), plain, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_new_local_attention_adds_nothing_and_starts_from_the_texts_keys(inputs: tuple) -> None:
    x, text, local = inputs
    layer = TextAttention(C, D, HEADS)
    before = set(layer.state_dict())
    plain = layer(x, text)
    layer.enable_local()
    torch.testing.assert_close(layer(x, text, local), plain, atol=1e-6, rtol=0)
    assert set(layer.state_dict()) - before == {"to_k_local.weight", "to_v_local.weight"}
    assert torch.equal(layer.to_k_local.weight, layer.to_k.weight)
    own = layer.to_k_local
    own.weight.fill_(3.0)
    layer.enable_local()
    assert layer.to_k_local is own
    assert (own.weight == 3.0).all()
    layer.reset_local()
    assert torch.equal(own.weight, layer.to_k.weight)


def test_a_local_prompt_for_a_network_without_local_attention_is_told(inputs: tuple) -> None:
    x, text, local = inputs
    with pytest.raises(RuntimeError, match="enable_local_attention"):
        TextAttention(C, D, HEADS)(x, text, local)


@torch.no_grad()
def test_each_layer_of_the_unet_reads_the_local_prompt() -> None:
    unet: VideoUNet = tiny.make_elite("local").base.unet
    generator = torch.Generator().manual_seed(0)
    latents, text = (
        torch.randn(2, tiny.COMPONENTS, 2, 8, 8, generator=generator),
        torch.randn(2, 16, 16, generator=generator),
    )
    local, time = (
        LocalPrompt(torch.randn(2, 9, 16, generator=generator), torch.tensor([1, 2])),
        torch.tensor([5, 5]),
    )
    plain, both = unet(latents, time, text), unet(latents, time, text, local_prompt=local)
    assert (both - plain).abs().max() > 1e-3
    torch.testing.assert_close(
        unet(
            latents[1:],
            time[1:],
            text[1:],
            local_prompt=LocalPrompt(local.features_BMD[1:], local.word_B[1:]),
        ),
        both[1:],
    )
    layers = list(unet.text_attentions())
    assert len(layers) == 7
    for layer in layers:
        kept = layer.to_v_local.weight.clone()
        layer.to_v_local.weight.zero_()
        assert not torch.equal(unet(latents, time, text, local_prompt=local), both)
        layer.to_v_local.weight.copy_(kept)
