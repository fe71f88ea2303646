"""DreamBooth on video: a UNet for each subject, and a base that never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models import tiny
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.errors import InputError, RecipeError
from vbbench.media.video import read_video, write_video_lossless
from vbbench.models.fitting import clip_latents, frames_of
from vbbench.models.recipes import build_model
from vbbench.models.registry import all_recipes
from vbbench.types import PromptItem, Subject, Video

RECIPE = all_recipes()["dreambooth-video"]
STEPS = 3


def build(**settings: object) -> Any:
    return build_model(
        replace(RECIPE, scales={"mini": {**RECIPE.scales["mini"], "steps": STEPS, **settings}}),
        "mini",
        "cpu",
    )


@pytest.fixture
def model(tiny_weights: object) -> Any:
    return build()


def digests(model: nn.Module) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lora_rank": 2},
        {"tuned": "text-attention"},
        {"prior_preservation": 1.0, "class_clips": 1},
    ],
)
def test_the_base_is_as_it_was_after_fit_and_generate(
    tiny_weights: Path, items: Sequence[PromptItem], settings: dict[str, Any]
) -> None:
    model, file = build(**settings), tiny_weights / "base.safetensors"
    before, on_disk = digests(model.network), hashlib.sha256(file.read_bytes()).hexdigest()
    model.generate(items[:2], tiny.PARAMS, model.fit(items[0].subject, seed=1))
    assert digests(model.network) == before
    assert hashlib.sha256(file.read_bytes()).hexdigest() == on_disk
    assert not any(parameter.requires_grad for parameter in model.network.parameters())


def test_an_interrupted_fit_leaves_the_base_as_it_was(
    model: Any, items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(model.network)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model.network.unet.conv_out, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(items[0].subject, seed=1)
    assert digests(model.network) == before


def test_no_step_is_the_base_and_more_steps_are_not(
    tiny_weights: object, items: Sequence[PromptItem]
) -> None:
    """With nothing learned, only the identifier's embedding stands between this and the base."""
    model, pair = build(), list(items[:2])
    adapter = model.fit(pair[0].subject, seed=1)
    zero = replace(
        adapter,
        tensors={name: torch.zeros_like(tensor) for name, tensor in adapter.tensors.items()},
    )
    states = torch.cat([model._states(item.text, item.subject_word) for item in pair])
    untouched = model.sample_with(pair, tiny.PARAMS, model.text_denoiser(states))
    moved = 0
    for one, base, tuned in zip(
        model.generate(pair, tiny.PARAMS, zero),
        untouched,
        model.generate(pair, tiny.PARAMS, adapter),
        strict=True,
    ):
        assert (one.frames == base.frames).all()
        moved = max(moved, int(abs(tuned.frames.astype(int) - base.frames).max()))
    assert moved > 0


def test_only_the_chosen_part_moves(tiny_weights: object, items: Sequence[PromptItem]) -> None:
    model = build(tuned="attention")
    adapter = model.fit(items[0].subject, seed=1)
    names = {name.removeprefix("difference/") for name in adapter.tensors}
    wanted = {name for name, _ in model.network.unet.named_parameters() if ".attn" in name}
    assert names == wanted
    assert adapter.facts["parameters"] == sum(
        p.numel() for name, p in model.network.unet.named_parameters() if name in wanted
    )
    assert {tensor.dtype for tensor in adapter.tensors.values()} == {torch.float16}
    spatial = {
        name.removeprefix("difference/")
        for name in build(tuned="spatial").fit(items[0].subject, seed=1).tensors
    }
    assert spatial
    assert not any("_temp" in name for name in spatial)


def test_lora_adds_a_product_of_the_given_rank(
    tiny_weights: object, items: Sequence[PromptItem]
) -> None:
    model = build(lora_rank=2, lr=0.01)
    adapter = model.fit(items[0].subject, seed=1)
    base = dict(model.network.unet.named_parameters())
    ups = [name for name in adapter.tensors if name.startswith("up/")]
    assert ups
    for up in ups:
        name = up.removeprefix("up/")
        product = adapter.tensors[up].float() @ adapter.tensors["down/" + name].float()
        assert product.shape == base[name].shape
        assert 1 <= int(torch.linalg.matrix_rank(product)) <= 2
    stored = sum(tensor.numel() for tensor in adapter.tensors.values())
    assert (
        stored == adapter.facts["parameters"] < sum(tensor.numel() for tensor in base.values()) / 5
    )
    plain = replace(
        adapter,
        tensors={
            name: tensor * (not name.startswith("up/")) for name, tensor in adapter.tensors.items()
        },
    )
    one, other = (
        model.generate(items[:1], tiny.PARAMS, which)[0].frames.astype(int)
        for which in (adapter, plain)
    )
    assert abs(one - other).max() > 0


def test_the_identifier_stands_before_the_class_word(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text encoder is given the words with one more before "bear", which no word of the table
    equals."""
    seen: list[torch.Tensor] = []
    embeddings = model.network.text_encoder.embeddings
    original = embeddings.forward

    def spy(*arguments: Any, **named: Any) -> torch.Tensor:
        seen.append(named["inputs_embeds"][0])
        return original(*arguments, **named)

    monkeypatch.setattr(embeddings, "forward", spy)
    with torch.no_grad():
        model._states("a photo of a bear on the grass", "bear")
        table = embeddings.token_embedding.weight
        words = table[model.network.tokenizer(["a photo of a bear on the grass"])[0]]
    torch.testing.assert_close(seen[0][:5], words[:5])
    torch.testing.assert_close(seen[0][6:], words[5:-1])
    rare = seen[0][5]
    nearest = (table - rare).norm(dim=1).min()
    assert nearest > 0.5 * torch.cdist(table, table).median()


def test_a_known_word_can_be_the_identifier(tiny_weights: object) -> None:
    model = build(identifier="teal")
    with torch.no_grad():
        torch.testing.assert_close(
            model._states("a Bear on the grass", "bear"),
            model.network.encode_text(["a teal bear on the grass"]),
        )


def test_fitting_lowers_the_error_on_the_subjects_own_frames(
    tiny_weights: object, items: Sequence[PromptItem]
) -> None:
    model = build(steps=25, lr=3e-3)
    subject = items[0].subject
    adapter = model.fit(subject, seed=0)
    restore = type(model).fit.__globals__["restore"]
    base = dict(model.network.unet.named_parameters())
    latents, captions, index = frames_of(
        clip_latents(subject, model.codec, "cpu"), subject.captions
    )
    states = torch.cat([model._states(caption, subject.class_name) for caption in captions])
    with torch.no_grad():
        before, after = (
            float(model._loss(weights, latents, states, index, torch.Generator().manual_seed(5)))
            for weights in (base, restore(base, adapter.tensors))
        )
    assert after < before


def test_the_prior_is_made_once_a_class_by_the_base_itself(
    tiny_weights: object, items: Sequence[PromptItem]
) -> None:
    model, bear, car = (
        build(prior_preservation=1.0, class_clips=2),
        items[0].subject,
        items[2].subject,
    )
    made: list[int] = []
    original = model.sample_with

    def spy(asked: Sequence[PromptItem], *rest: Any) -> Any:
        made.append(len(asked))
        return original(asked, *rest)

    model.sample_with = spy
    for subject in (bear, bear, car):
        first = model.fit(subject, seed=1)
    assert sum(made) == 4
    assert model._class_clips["bear", 8, 64].shape == (2, tiny.COMPONENTS, 8, 8, 8)
    other = build(prior_preservation=1.0, class_clips=2)
    again = other.fit(car, seed=1)  # whichever subjects came before
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    without = build().fit(car, seed=1)
    assert any(
        not torch.equal(first.tensors[name], without.tensors[name]) for name in without.tensors
    )


def test_wrong_settings_and_subjects_are_told(
    tiny_weights: object, items: Sequence[PromptItem]
) -> None:
    subject = items[0].subject
    with pytest.raises(RecipeError, match="no part 'nose' of the network to tune"):
        build(tuned="nose").fit(subject, seed=1)
    with pytest.raises(InputError, match="no clips"):
        build().fit(replace(subject, clips=(), captions=()), seed=1)
    with pytest.raises(InputError, match="'teapot' does not stand in the text"):
        build().fit(replace(subject, class_name="teapot"), seed=1)


def drawn_shapes(model: Any, subject: Subject) -> set[tuple[int, int]]:
    """Videos and frames of every step's own loss (the prior's are of the class word alone, and of
    fewer videos here)."""
    seen: list[tuple[int, int]] = []
    original = model._loss

    def spy(weights: Any, latents: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append((latents.shape[0], latents.shape[2]))
        return original(weights, latents, *rest)

    model._loss = spy
    model.fit(subject, seed=1)
    return set(seen)


def test_still_photographs_are_drawn_as_single_frames(
    tiny_weights: object, photographed: Subject, items: Sequence[PromptItem]
) -> None:
    assert drawn_shapes(build(steps=8, clip_share=0.9), photographed) == {(16, 1)}
    assert drawn_shapes(build(steps=8, clip_share=0.5), items[0].subject) == {(16, 1), (2, 8)}
    model = build(steps=25, lr=3e-3)
    adapter = model.fit(photographed, seed=0)
    restore = type(model).fit.__globals__["restore"]
    base = dict(model.network.unet.named_parameters())
    latents, captions, index = frames_of(
        clip_latents(photographed, model.codec, "cpu"), photographed.captions
    )
    states = torch.cat([model._states(caption, "bear") for caption in captions])
    with torch.no_grad():
        before, after = (
            float(model._loss(weights, latents, states, index, torch.Generator().manual_seed(5)))
            for weights in (base, restore(base, adapter.tensors))
        )
    assert after < before
    assert model.generate(items[:1], tiny.PARAMS, adapter)[0].frames.shape == (8, 64, 64, 3)


def test_photographs_may_lie_among_clips(
    tiny_weights: object, photographed: Subject, items: Sequence[PromptItem]
) -> None:
    whole = items[0].subject
    both = replace(
        whole,
        clips=photographed.clips[:1] + whole.clips[:2],
        captions=photographed.captions[:1] + whole.captions[:2],
    )
    assert drawn_shapes(build(steps=12, prior_preservation=1.0, class_clips=1), both) == {
        (16, 1),
        (2, 8),
    }


def test_the_prior_of_a_photographed_subject_is_on_moving_clips(
    tiny_weights: object, photographed: Subject
) -> None:
    model = build(prior_preservation=1.0, class_clips=2)
    assert drawn_shapes(model, photographed) == {(16, 1), (2, 8)}
    assert model._class_clips["bear", 8, 64].shape == (2, tiny.COMPONENTS, 8, 8, 8)


def test_settings_that_cannot_be_had_of_the_clips_are_told(
    tiny_weights: object, photographed: Subject, items: Sequence[PromptItem], tmp_path: Path
) -> None:
    with pytest.raises(
        RecipeError,
        match=r"clip_share = 1\.0 asks for whole clips alone, and all that there is of the subject are still",
    ):
        build(clip_share=1.0).fit(photographed, seed=1)
    whole = items[0].subject
    write_video_lossless(tmp_path / "short.mkv", Video(read_video(whole.clips[0]).frames[:5], 8))
    uneven = replace(whole, clips=(tmp_path / "short.mkv", *whole.clips[1:]))
    with pytest.raises(
        InputError, match="have 5 to 8 frames: to be drawn whole they must be equally long"
    ):
        build().fit(uneven, seed=1)
    assert build(clip_share=0.0).fit(uneven, seed=1).facts["steps"] == STEPS


@pytest.mark.parametrize("still", [False, True])
def test_at_stable_diffusions_scale_a_rare_word_is_the_identifier_and_noise_is_predicted(
    sd14_weights_root: Path,
    items: Sequence[PromptItem],
    photographed: Subject,
    still: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))
    own = RECIPE.scales["sd14"]
    sampling = {**own["sampling"], "num_inference_steps": 2}
    settings = {**own, "steps": 2, "class_clips": 1, "lr": 1e-3, "sampling": sampling}
    model: Any = build_model(replace(RECIPE, scales={"sd14": settings}), "sd14", "cpu")
    assert model.diffusion.prediction_type == "epsilon"
    before, subject = digests(model.network), photographed if still else items[0].subject
    texts: list[str] = []
    original = model.network.encode_text
    monkeypatch.setattr(
        model.network, "encode_text", lambda asked: texts.extend(asked) or original(asked)
    )
    adapter = model.fit(subject, seed=1)
    assert set(texts) - {""} == {
        *(caption.replace("bear", "sks bear") for caption in subject.captions),
        "a bear",
    }
    params = replace(tiny.PARAMS, num_inference_steps=2)
    (video,) = model.generate(items[:1], params, adapter)
    assert video.frames.shape == (8, 64, 64, 3)
    assert items[0].text.replace("bear", "sks bear") in texts
    assert digests(model.network) == before
