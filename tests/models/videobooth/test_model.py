"""VideoBooth as a model: what its image prompt reaches, and what it must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models.tiny import PARAMS
from vbbench.errors import InputError, RecipeError, WeightsError
from vbbench.models.videobooth.model import VideoBooth
from vbbench.types import PromptItem, Video

pytestmark = pytest.mark.usefixtures("tiny_weights")
STAGES = ("coarse", "fine", "fine-only")
WEIGHTS = {"coarse": "videobooth-coarse", "fine": "videobooth", "fine-only": "videobooth-fine"}


def build(stage: str, **changes: object) -> VideoBooth:
    weights = {
        "codec": "codec",
        "base": "base",
        "image-encoder": "image-encoder",
        "videobooth": WEIGHTS[stage],
    }
    return VideoBooth(
        {"stage": stage, "weights": weights, "scale": "mini", **changes},
        device="cpu",
        folder=Path(),
    )


def gap(one: Video, other: Video) -> int:
    """Largest difference of a pixel, in grey levels."""
    return int(np.abs(one.frames.astype(int) - other.frames).max())


def with_image(item: PromptItem, other: PromptItem) -> PromptItem:
    """The item with the other's image prompt; its seeds stay."""
    return replace(item, subject=replace(item.subject, image=other.image))


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_prompt_changes_its_own_video_alone(
    stage: str, items: Sequence[PromptItem]
) -> None:
    model, (bear, _, car, _) = build(stage), items
    before = model.generate([bear, car], PARAMS)
    after = model.generate([with_image(bear, car), car], PARAMS)
    assert gap(before[0], after[0]) > 10
    assert gap(before[1], after[1]) <= 1


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_prompt_reaches_the_conditional_branch_alone(
    stage: str, items: Sequence[PromptItem]
) -> None:
    """With guidance 0 only the unconditional branch is left, and no picture, text or image noise
    has a say."""
    model, bear, unguided = build(stage), items[0], replace(PARAMS, guidance_scale=0.0)
    (plain,) = model.generate([bear], unguided)
    changed = replace(with_image(bear, items[2]), image_seed=5, text="a bear at night")
    (other,) = model.generate([changed], unguided)
    assert gap(plain, other) <= 1


def test_the_image_prompts_noise_matters_in_the_fine_stage_alone(
    items: Sequence[PromptItem],
) -> None:
    reseeded = replace(items[0], image_seed=items[0].image_seed + 1)
    for stage, moved in (("coarse", False), ("fine", True)):
        one, other = build(stage).generate([items[0], reseeded], PARAMS)
        assert (gap(one, other) > 5) == moved


def test_the_coarse_stage_injects_nothing(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("coarse")
    monkeypatch.setattr(model.network.base.unet, "image_prompt_states", None)
    assert len(model.generate(items[:1], PARAMS)) == 1


def test_the_fine_stage_injects_the_image_prompt_at_the_videos_noise_level(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One noise an image, kept over the steps and shared by the prompts of that image; the null
    text beside it."""
    model, seen = build("fine"), []
    unet = model.network.base.unet
    original = unet.image_prompt_states
    monkeypatch.setattr(
        unet,
        "image_prompt_states",
        lambda image, **kw: (seen.append(image), original(image, **kw))[1],
    )
    model.generate(items[:2], PARAMS)  # two prompts of one bear
    picture = np.asarray(Image.open(items[0].image).convert("RGB")).astype(np.float32) / 127.5 - 1
    with torch.no_grad():
        latent = model.codec.encode(torch.from_numpy(picture).movedim(-1, 0)[None, None])
        null_text = model.network.base.encode_text([""])
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(items[0].image_seed))
    alphas = model.network.base.config.diffusion.alphas_cumprod().double()
    steps = [int(image.timestep_B[0]) for image in seen]
    assert len(steps) == PARAMS.num_inference_steps
    assert steps == sorted(set(steps), reverse=True)
    for image, step in zip(seen, steps, strict=True):
        expected = (alphas[step] ** 0.5 * latent + (1 - alphas[step]) ** 0.5 * noise).float()
        assert (image.timestep_B == step).all()
        for row in image.latent_BCTHW:
            torch.testing.assert_close(row, expected[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(image.text_BLD.states_BSD, null_text)


@pytest.mark.parametrize("stage", STAGES)
def test_seeds_decide(stage: str, items: Sequence[PromptItem]) -> None:
    model = build(stage)
    one, renamed, reseeded = model.generate(
        [items[0], replace(items[0], id="x"), replace(items[0], seed=3)], PARAMS
    )
    assert gap(one, renamed) <= 1
    assert gap(one, reseeded) > 10


@pytest.mark.parametrize(
    ("change", "told"),
    [({"subject_word": "cat"}, "'cat'"), ({"text": "a bear on the moon"}, "'moon'")],
)
def test_bad_items_are_told(items: Sequence[PromptItem], change: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build("fine").generate([replace(items[0], **change)], PARAMS)


def test_a_picture_that_is_none_is_told(items: Sequence[PromptItem], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    subject = replace(items[0].subject, image=tmp_path / "text.png")
    with pytest.raises(InputError, match=r"text\.png"):
        build("fine").generate([replace(items[0], subject=subject)], PARAMS)


def test_weights_of_another_stage_and_scales_without_weights_are_told() -> None:
    weights = {
        "codec": "codec",
        "base": "base",
        "image-encoder": "image-encoder",
        "videobooth": "videobooth",
    }
    with pytest.raises(WeightsError, match="stage fine, not fine-only"):
        build("fine-only", weights=weights)
    with pytest.raises(WeightsError, match="of scale sd14 are not at"):
        build("coarse", scale="sd14")


def test_a_clean_image_prompt_is_injected_as_it_is_at_timestep_0(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        "codec": "codec",
        "base": "base",
        "image-encoder": "image-encoder",
        "videobooth": "videobooth-clean-prompt",
    }
    model, seen = build("fine", weights=names), []
    unet = model.network.base.unet
    original = unet.image_prompt_states
    monkeypatch.setattr(
        unet,
        "image_prompt_states",
        lambda image, **kw: (seen.append(image), original(image, **kw))[1],
    )
    model.generate(items[:1], PARAMS)
    (image,) = seen  # it is the same at every step
    picture = (
        torch.from_numpy(np.array(Image.open(items[0].image).convert("RGB"))).movedim(-1, 0) / 127.5
        - 1
    )
    assert (image.timestep_B == 0).all()
    torch.testing.assert_close(
        image.latent_BCTHW, model.codec.encode(picture[None, None]), atol=1e-5, rtol=1e-4
    )


def test_the_fine_path_alone_leaves_the_word(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, read = build("fine-only"), []
    original = model.network.base.encode_text
    monkeypatch.setattr(
        model.network.base, "encode_text", lambda texts: (read.extend(texts), original(texts))[1]
    )
    model.generate(items[:1], PARAMS)
    assert items[0].text in read


def test_noise_per_frame_is_as_many_frames_as_the_video(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, per_frame, seen = build("fine"), build("fine", image_prompt_noise="per-frame"), []
    unet = per_frame.network.base.unet
    original = unet.image_prompt_states
    monkeypatch.setattr(
        unet,
        "image_prompt_states",
        lambda image, **kw: (seen.append(image.latent_BCTHW), original(image, **kw))[1],
    )
    (one,), (other,) = shared.generate(items[:1], PARAMS), per_frame.generate(items[:1], PARAMS)
    assert gap(one, other) > 1
    assert {latent.shape[2] for latent in seen} == {PARAMS.num_frames}
    assert not torch.allclose(seen[0][:, :, 0], seen[0][:, :, 1])
    with pytest.raises(RecipeError, match="shared or per-frame, not 'none'"):
        build("fine", image_prompt_noise="none").generate(items[:1], PARAMS)


def test_a_model_around_a_network_in_training_samples_the_same_and_leaves_it_as_it_was(
    items: Sequence[PromptItem],
) -> None:
    """What is sampled follows the weights as they change; nothing is kept of older ones."""
    loaded = build("fine")
    network = build("fine").network.train()
    parameters = {
        name: (parameter, parameter.stride()) for name, parameter in network.named_parameters()
    }
    for _, parameter in network.trained():
        parameter.requires_grad_(True)
    modes = {name: module.training for name, module in network.named_modules()}
    model = VideoBooth.around(
        network, loaded.codec, {"stage": "fine", "scale": "mini"}, device="cpu"
    )
    (one,), (other,) = loaded.generate(items[:1], PARAMS), model.generate(items[:1], PARAMS)
    assert gap(one, other) == 0
    assert {name: module.training for name, module in network.named_modules()} == modes
    for name, parameter in network.named_parameters():
        kept, stride = parameters[name]
        assert parameter is kept
        assert parameter.stride() == stride
        assert not parameter.is_inference()
    with torch.no_grad():
        for _, parameter in network.trained():
            parameter.mul_(0.5)
    (learned,) = model.generate(items[:1], PARAMS)
    (afresh,) = VideoBooth.around(
        network, loaded.codec, {"stage": "fine", "scale": "mini"}, device="cpu"
    ).generate(items[:1], PARAMS)
    assert gap(learned, afresh) == 0
    assert gap(learned, one) > 1
