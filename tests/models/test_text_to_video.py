"""Sampling from a text: the item decides the video, its company does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.tiny import COMPONENTS, PARAMS
from vbbench.errors import InputError, UsageError, WeightsError
from vbbench.models.text_to_video import TextToVideo
from vbbench.networks.sampling import denoising
from vbbench.types import PromptItem, Video

pytestmark = pytest.mark.usefixtures("tiny_weights")
SETTINGS = {"weights": {"codec": "codec", "base": "base"}, "scale": "mini"}


@pytest.fixture
def model() -> TextToVideo:
    return TextToVideo(SETTINGS, device="cpu", folder=Path())


def gap(one: Video, other: Video) -> int:
    """Largest difference of a pixel, in grey levels."""
    return int(np.abs(one.frames.astype(int) - other.frames).max())


def test_videos_have_the_shape_that_was_asked_for(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    (video,) = model.generate(items[:1], replace(PARAMS, num_frames=4, fps=3))
    assert video.frames.shape == (4, 64, 64, 3)
    assert video.frames.dtype == np.uint8
    assert video.fps == 3


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm"])
def test_an_item_gives_the_same_video_in_any_company(
    model: TextToVideo, items: Sequence[PromptItem], scheduler: str
) -> None:
    params = replace(PARAMS, scheduler=scheduler)
    together, turned = model.generate(items, params), model.generate(items[::-1], params)[::-1]
    for place in (0, 3):
        (alone,) = model.generate([items[place]], params)
        assert gap(alone, together[place]) <= 1
        assert gap(alone, turned[place]) <= 1


def test_the_seed_decides_and_the_name_does_not(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    item = items[0]
    variants = [
        item,
        replace(item, id="x", image_seed=1),
        replace(item, seed=item.seed + 1),
        replace(item, text="a bear at night"),
    ]
    one, renamed, reseeded, reworded = model.generate(variants, PARAMS)
    assert gap(one, renamed) <= 1
    assert gap(one, reseeded) > 10
    assert gap(one, reworded) > 10


def test_the_image_prompt_is_never_opened(model: TextToVideo, items: Sequence[PromptItem]) -> None:
    blind = replace(items[0], subject=replace(items[0].subject, image=Path("nowhere.png")))
    assert len(model.generate([blind], PARAMS)) == 1


def test_the_global_generator_is_neither_read_nor_moved(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        (one,) = model.generate(items[:1], replace(PARAMS, scheduler="ddpm"))
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        (other,) = model.generate(items[:1], replace(PARAMS, scheduler="ddpm"))
    assert gap(one, other) == 0


def test_the_first_noise_shares_half_of_its_variance_over_frames(
    model: TextToVideo, items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = spied(monkeypatch)
    model.generate(
        [replace(items[0], seed=seed) for seed in range(12)], replace(PARAMS, num_inference_steps=1)
    )
    (noise, _) = latents[0]
    assert noise.shape == (12, COMPONENTS, 8, 8, 8)
    rows = noise.movedim(2, 0).reshape(8, -1).numpy()
    np.testing.assert_allclose(rows @ rows.T / rows.shape[1], 0.5 + 0.5 * np.eye(8), atol=0.08)


def test_an_ancestral_step_does_not_repeat_the_first_noise(
    model: TextToVideo, items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch)
    model.generate(items[:1], replace(PARAMS, scheduler="ddpm", num_inference_steps=2))
    ((_, generators),) = calls
    drawn = torch.randn(1, COMPONENTS, 8, 8, 8, generator=generators[0])
    first = torch.randn(
        1, COMPONENTS, 8, 8, 8, generator=torch.Generator().manual_seed(items[0].seed)
    )
    assert abs(float(torch.corrcoef(torch.stack([drawn.flatten(), first.flatten()]))[0, 1])) < 0.1


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, list[torch.Generator]]]:
    """First latents and generators of every sampling from now on, as they were when it began."""
    calls, original = [], denoising.sample

    def spy(
        denoise: object, scheduler: object, latents: Tensor, steps: int, **options: object
    ) -> Tensor:
        copies = []
        for generator in options["generators"]:
            copies.append(torch.Generator())
            copies[-1].set_state(generator.get_state())
        calls.append((latents, copies))
        return original(denoise, scheduler, latents, steps, **options)

    monkeypatch.setattr(denoising, "sample", spy)
    return calls


def test_unknown_words_schedulers_and_scales_are_told(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    with pytest.raises(InputError, match="'skateboard'"):
        model.generate([replace(items[0], text="a bear on a skateboard")], PARAMS)
    with pytest.raises(UsageError, match="'magic'; there are ddpm, ddim"):
        model.generate(items[:1], replace(PARAMS, scheduler="magic"))
    with pytest.raises(WeightsError, match="of scale sd14 are not at"):
        TextToVideo({**SETTINGS, "scale": "sd14"}, device="cpu", folder=Path())


def test_numbers_that_are_not_finite_are_told_with_item_and_step(
    model: TextToVideo, items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row is spoiled at the second step; the message names it, and the others are good without
    it."""
    unet, evaluations = model.network.unet, []
    original = unet.forward

    def spoiled(latents: Tensor, *arguments: object, **named: object) -> Tensor:
        evaluations.append(1)
        out = original(latents, *arguments, **named)
        if len(evaluations) == 3:  # two branches a step
            out[1, 0, 0, 0, 0] = float("inf")
        return out

    monkeypatch.setattr(unet, "forward", spoiled)
    told = rf"sampling of item {items[1].id}: the latents are no longer finite after step 2 of 3 \(timestep 666\)\.$"
    with pytest.raises(InputError, match=told):
        model.generate(items[:3], PARAMS)


def test_frames_that_are_not_finite_are_told(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    model.codec.mean[0] = float("nan")
    with pytest.raises(
        InputError, match=f"decoding of item {items[0].id}: the frames are not finite"
    ):
        model.generate(items[:1], PARAMS)


def test_steps_that_no_process_has_are_told(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    with pytest.raises(UsageError, match="'ddim' takes 1 to 1000 steps, not 1001"):
        model.generate(items[:1], replace(PARAMS, num_inference_steps=1001))
    with pytest.raises(
        UsageError, match="predict noise on its linear schedule; this one predicts 'sample'"
    ):
        model.generate(items[:1], replace(PARAMS, scheduler="faithful"))


def test_more_frames_than_a_network_knows_are_told(
    model: TextToVideo, items: Sequence[PromptItem]
) -> None:
    with pytest.raises(UsageError, match="knows 8 frames at most, not 9"):
        model.generate(items[:1], replace(PARAMS, num_frames=9))
