"""Textual Inversion: one word is learned, and nothing else moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import tiny
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.errors import InputError
from vbbench.models.recipes import build_model
from vbbench.models.registry import all_recipes
from vbbench.types import PromptItem, Recipe, Subject

RECIPE = all_recipes()["textual-inversion"]


def with_settings(**settings: object) -> Recipe:
    return replace(RECIPE, scales={"mini": {**RECIPE.scales["mini"], **settings}})


@pytest.fixture
def model(tiny_weights: object) -> Any:
    return build_model(with_settings(steps=4), "mini", "cpu")


def test_the_adapter_is_one_embedding_that_started_at_the_class_word(
    model: Any, items: Sequence[PromptItem]
) -> None:
    subject = items[0].subject
    adapter = model.fit(subject, seed=0)
    assert list(adapter.tensors) == ["word_embedding"]
    embedding = adapter.tensors["word_embedding"]
    assert embedding.shape == (16,)
    table = model.network.text_encoder.embeddings.token_embedding.weight
    start = table[model.network.tokenizer([subject.class_name])[0, 1]]
    moved = float((embedding - start).norm())
    assert (
        0 < moved < 4 * 16**0.5 * 1.2 * RECIPE.scales["mini"]["lr"]
    )  # AdamW moves a number by about lr a step
    assert adapter.facts["moved"] == pytest.approx(moved, rel=1e-4)
    assert adapter.facts["steps"] == 4


def test_the_learned_word_is_a_row_of_the_word_table_and_nothing_else(
    model: Any, items: Sequence[PromptItem]
) -> None:
    """The same videos come from a plain network whose one row, the class word's, holds the
    embedding."""
    pair = items[:2]
    adapter = model.fit(pair[0].subject, seed=0)
    ours = model.generate(pair, tiny.PARAMS, adapter)
    plain = build_model(all_recipes()["text-to-video"], "mini", "cpu")
    word = int(plain.network.tokenizer(["bear"])[0, 1])
    with torch.no_grad():
        plain.network.text_encoder.embeddings.token_embedding.weight[word] = adapter.tensors[
            "word_embedding"
        ]
    for one, other in zip(ours, plain.generate(pair, tiny.PARAMS), strict=True):
        assert abs(one.frames.astype(int) - other.frames).max() <= 1


def test_exactly_one_token_is_replaced(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text, place = "a photo of a bear on the grass", 5
    seen: list[torch.Tensor] = []
    embeddings = model.network.text_encoder.embeddings
    original = embeddings.forward

    def spy(*arguments: Any, **named: Any) -> torch.Tensor:
        seen.append(named.get("inputs_embeds"))
        return original(*arguments, **named)

    monkeypatch.setattr(embeddings, "forward", spy)
    learned = torch.randn(16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = model._states([text], ["bear"], learned)
        plain_tokens = embeddings.token_embedding(model.network.tokenizer([text]))
        plain = model.network.encode_text([text])
    changed = (seen[0] != plain_tokens).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [place]
    torch.testing.assert_close(seen[0][0, place], learned)
    torch.testing.assert_close(
        states[:, :place], plain[:, :place]
    )  # causal: what stands before it cannot know


def test_fitting_lowers_the_error_on_the_subjects_own_frames(
    tiny_weights: object, items: Sequence[PromptItem]
) -> None:
    """Measured where the fit cannot choose: the same frames, noise and timesteps before and
    after."""
    model = build_model(with_settings(steps=30, batch=8), "mini", "cpu")
    subject = items[0].subject
    latents, captions, index = model._frames(subject)
    word = model.network.tokenizer([subject.class_name])[0, 1]
    start = model.network.text_encoder.embeddings.token_embedding.weight[word]
    learned = model.fit(subject, seed=0).tensors["word_embedding"]
    with torch.no_grad():
        before, after = (
            float(
                model._loss(
                    word,
                    latents,
                    captions,
                    subject.class_name,
                    index,
                    torch.Generator().manual_seed(5),
                )
            )
            for word in (start, learned)
        )
    assert after < before


def test_every_frame_keeps_its_caption_and_its_place_in_time(
    model: Any, items: Sequence[PromptItem]
) -> None:
    latents, captions, index = model._frames(items[0].subject)
    clips = len(items[0].subject.clips)
    assert latents.shape == (8 * clips, tiny.COMPONENTS, 1, 8, 8)
    assert captions == [caption for caption in items[0].subject.captions for _ in range(8)]
    assert index.flatten().tolist() == list(range(8)) * clips


def test_a_subject_without_clips_is_told(model: Any, items: Sequence[PromptItem]) -> None:
    with pytest.raises(InputError, match="no clips"):
        model.fit(replace(items[0].subject, clips=(), captions=()), seed=0)


def test_a_class_that_the_text_encoder_has_never_seen_is_told(
    model: Any, items: Sequence[PromptItem]
) -> None:
    with pytest.raises(InputError, match="'zebra'"):
        model.fit(replace(items[0].subject, class_name="zebra"), seed=0)


def test_a_network_that_predicts_noise_is_fitted_too(
    sd14_weights_root: Path, items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))
    settings = {**RECIPE.scales["sd14"], "steps": 2, "batch": 2}
    model: Any = build_model(replace(RECIPE, scales={"sd14": settings}), "sd14", "cpu")
    assert model.diffusion.prediction_type == "epsilon"
    adapter = model.fit(items[0].subject, seed=1)
    assert adapter.tensors["word_embedding"].shape == (16,)
    assert adapter.facts["moved"] > 0
    (video,) = model.generate(items[:1], replace(tiny.PARAMS, num_inference_steps=2), adapter)
    assert video.frames.shape == (8, 64, 64, 3)


def test_still_photographs_are_clips_of_one_frame(
    tiny_weights: object, photographed: Subject, items: Sequence[PromptItem]
) -> None:
    model: Any = build_model(with_settings(steps=20, lr=0.02), "mini", "cpu")
    latents, captions, index = model._frames(photographed)
    assert latents.shape == (len(photographed.clips), tiny.COMPONENTS, 1, 8, 8)
    assert set(captions) == {"a photo of a bear"}
    assert index.flatten().tolist() == [0] * len(
        photographed.clips
    )  # a photograph stands at the first frame
    adapter = model.fit(photographed, seed=0)
    start = model.network.text_encoder.embeddings.token_embedding.weight[
        model.network.tokenizer(["bear"])[0, 1]
    ]
    many = [torch.cat([each] * 8) for each in (latents, index)]
    before, after = (
        float(
            model._loss(
                word, many[0], captions * 8, "bear", many[1], torch.Generator().manual_seed(5)
            )
        )
        for word in (start, adapter.tensors["word_embedding"])
    )
    assert after < before
    (video,) = model.generate(items[:1], tiny.PARAMS, adapter)
    assert video.frames.shape == (8, 64, 64, 3)
