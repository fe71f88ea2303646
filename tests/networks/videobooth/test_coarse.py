"""Mapper and word embeddings, beyond the golden files."""

from __future__ import annotations

import pytest
import torch

from tests.parity.golden import Released
from vbbench.networks.unet.coarse import (
    Mapper,
    encode_text_with_embeddings,
    find_word,
    inject_word_embeddings,
)


def test_mapper_adds_class_token_and_mean_of_patches() -> None:
    torch.manual_seed(0)
    mapper = Mapper(levels=2, input_dim=6, hidden_dim=8, output_dim=4)
    states = [torch.randn(3, 5, 6) for _ in range(2)]
    out = mapper(states)
    assert out.shape == (3, 2, 4)
    by_hand = mapper.mapping[1](states[1][:, 0]) + torch.stack(
        [mapper.mapping_patch[1](states[1][:, p]) for p in range(1, 5)]
    ).mean(0)
    torch.testing.assert_close(out[:, 1], by_hand)
    with pytest.raises(ValueError, match="1 hidden states for a mapper of 2"):
        mapper(states[:1])


@pytest.mark.parametrize(
    ("word", "starts", "expected"),
    [
        (1, [2], "0 1 A B 3 4 5 6"),
        (2, [2], "0 1 A B 4 5 6 7"),
        (3, [2], "0 1 A B 5 6 7 7"),
        (1, [7], "0 1 2 3 4 5 6 A"),
        (1, [], "0 1 2 3 4 5 6 7"),
        (3, [5], "0 1 2 3 4 A B 7"),
        (3, [6], "0 1 2 3 4 5 A B"),
        (1, [1, 5], "0 A B 2 3 A B 6"),
    ],
)
def test_words_move_by_the_released_rules(word: int, starts: list[int], expected: str) -> None:
    tokens = torch.arange(8.0).view(1, 8, 1)
    embeddings = torch.tensor([100.0, 101.0]).view(1, 2, 1)
    new = inject_word_embeddings(tokens, embeddings, [starts], [word]).flatten().tolist()
    names = {100.0: "A", 101.0: "B"}
    assert " ".join(names.get(value, f"{value:.0f}") for value in new) == expected


def test_gradients_reach_the_embeddings() -> None:
    embeddings = torch.randn(2, 3, 4, requires_grad=True)
    inject_word_embeddings(torch.zeros(2, 6, 4), embeddings, [[1], []], [1, 1]).sum().backward()
    assert embeddings.grad[0].eq(1).all()
    assert embeddings.grad[1].eq(0).all()
    with pytest.raises(ValueError, match="equally many"):
        inject_word_embeddings(torch.zeros(2, 6, 4), embeddings, [[1]], [1])


def test_find_word() -> None:
    assert find_word(torch.tensor([[9, 4, 4], [4, 9, 5]]), [4, 7]) == [[1, 2], []]


@torch.no_grad()
def test_text_without_embeddings_is_the_models_own_output(released: Released) -> None:
    model = released.clip_text
    ids = torch.tensor([[98, 5, 6, 7, 99] + [99] * 19])
    states, own = encode_text_with_embeddings(model, ids), model(input_ids=ids)
    torch.testing.assert_close(states.last_hidden_BLD, own.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(states.pooled_BD, own.pooler_output, rtol=0, atol=1e-5)
