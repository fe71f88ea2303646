"""Sampling with the classes of scale sd14 at tiny size: the released loop against a plain one, and
the corrected schedulers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.tiny import VIDEOBOOTH
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.errors import UsageError
from vbbench.media.video import load_image_prompt
from vbbench.models.text_to_video import TextToVideo
from vbbench.models.videobooth.model import VideoBooth
from vbbench.networks.codec import to_unit
from vbbench.networks.sampling.sampling import SCHEDULERS
from vbbench.networks.unet.unet import ImagePromptInput
from vbbench.types import PromptItem, SamplingParams, Video

PARAMS = SamplingParams(
    num_frames=3, size=64, fps=8, num_inference_steps=4, guidance_scale=4.0, scheduler="faithful"
)
WEIGHTS = {"codec": "codec", "base": "base"}
STAGES = ("coarse", "fine", "fine-only")


@pytest.fixture(autouse=True)
def _sd14(sd14_weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(sd14_weights_root))


def build(stage: str = "fine", **changes: Any) -> VideoBooth:
    name = next(name for name, its in VIDEOBOOTH.items() if its == stage)
    weights = {**WEIGHTS, "image-encoder": "image-encoder", "videobooth": name}
    settings = {"stage": stage, "scale": "sd14", "null_text": "None", "weights": weights, **changes}
    return VideoBooth(settings, device="cpu", folder=Path())


def latents_of(model: Any, items: Sequence[PromptItem], params: SamplingParams) -> Tensor:
    """What a model decodes."""
    seen: list[Tensor] = []
    decode = model.codec.decode
    model.codec.decode = lambda latents: (seen.append(latents), decode(latents))[1]
    model.generate(items, params)
    del model.codec.decode
    return seen[0].clone()


@torch.no_grad()
def released_loop(model: VideoBooth, item: PromptItem, params: SamplingParams) -> Tensor:
    """The released code's loop, written down from its description in numpy: respaced tables,
    fixed-large variance, its three quirks."""
    steps, full = params.num_inference_steps, np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    kept = [round(i * 999 / (steps - 1)) for i in range(steps)]
    signal = full[kept]
    before = np.append(1.0, signal[:-1])
    betas = 1 - signal / before
    variance = np.append((1 - before[1]) / (1 - signal[1]) * betas[1], betas[1:])
    own, image = (torch.Generator().manual_seed(seed) for seed in (item.seed, item.image_seed))
    network, unet = model.network, model.network.base.unet
    pixels = to_unit(torch.from_numpy(load_image_prompt(item.image, params.size)[0]))[None]
    clean = model.codec.encode(pixels[:, None]).expand(-1, -1, params.num_frames, -1, -1)
    text = network.encode_text([item.text], [item.subject_word], network.embed_image(pixels))
    null = network.base.encode_text(["None"])
    x = torch.randn(clean.shape, generator=own)
    for i in reversed(range(steps)):
        t = torch.tensor([kept[i]])
        prompt = None
        if network.injects:
            noisy = signal[i] ** 0.5 * clean + (1 - signal[i]) ** 0.5 * torch.randn(
                clean.shape, generator=image
            )
            prompt = ImagePromptInput(noisy.float(), t, null)
        cond, uncond = unet(x, t, text, image_prompt=prompt), unet(x, t, null)
        eps = cond.clone()
        eps[:, :3] = uncond[:, :3] + params.guidance_scale * (cond[:, :3] - uncond[:, :3])
        x0 = (x - (1 - signal[i]) ** 0.5 * eps) / signal[i] ** 0.5
        mean = (before[i] ** 0.5 * betas[i] * x0 + (1 - betas[i]) ** 0.5 * (1 - before[i]) * x) / (
            1 - signal[i]
        )
        noise = torch.randn(x.shape, generator=own)
        x = (mean + variance[i] ** 0.5 * noise if i else mean).float()
    return x


@pytest.mark.parametrize("stage", STAGES)
def test_faithful_is_the_released_loop(stage: str, items: Sequence[PromptItem]) -> None:
    model, params = build(stage), replace(PARAMS, num_inference_steps=5)
    wanted = released_loop(model, items[0], params)
    found = latents_of(model, items[:1], params)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def test_each_quirk_of_the_released_loop_counts(
    items: Sequence[PromptItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of them the loop would end elsewhere, so the comparison above can fail."""
    from vbbench.models.videobooth import model as module
    from vbbench.networks.sampling import denoising

    model = build()
    whole = latents_of(model, items[:1], PARAMS)
    faithful = denoising.faithful
    with monkeypatch.context() as changed:
        changed.setattr(
            denoising, "faithful", lambda *a, **k: faithful(*a, guidance_channels=None, **k)
        )
        guided = latents_of(model, items[:1], PARAMS)
    with monkeypatch.context() as changed:
        noise = module.ImageNoise
        changed.setattr(
            module, "ImageNoise", lambda seed, shape, redrawn: noise(seed, shape, redrawn=False)
        )
        kept = latents_of(build(), items[:1], PARAMS)
    for other in (guided, kept):
        assert float((other - whole).abs().max()) > 1e-3 * float(whole.abs().max())


@pytest.mark.parametrize("scheduler", [*SCHEDULERS, "faithful"])
def test_an_item_gives_the_same_latents_again_and_in_any_company(
    scheduler: str, items: Sequence[PromptItem]
) -> None:
    """Among the company is another prompt of the same image, whose noise it shares."""
    model, params = build(), replace(PARAMS, scheduler=scheduler)
    together, turned = (
        latents_of(model, items, params),
        latents_of(build(), items[::-1], params).flip(0),
    )
    assert together.isfinite().all()
    largest = float(together.abs().max())
    torch.testing.assert_close(turned, together, rtol=0, atol=1e-4 * largest)
    assert torch.equal(latents_of(build(), items, params), together)
    for place in (1, 3):
        alone = latents_of(build(), items[place : place + 1], params)
        torch.testing.assert_close(alone[0], together[place], rtol=0, atol=1e-4 * largest)
        kept = latents_of(
            model, items[place : place + 1], params
        )  # by a model that has kept what its image prompts left behind
        torch.testing.assert_close(kept, alone, rtol=0, atol=1e-4 * largest)


def test_what_is_kept_of_an_image_belongs_to_its_loop(items: Sequence[PromptItem]) -> None:
    """Timestep 999 is in every loop; the noise there is not the same."""
    model = build(speed={"image_cache_mb": 1000.0})
    for steps in (3, 5):
        params = replace(PARAMS, num_inference_steps=steps)
        found, fresh = (
            latents_of(model, items[:1], params),
            latents_of(build(speed={"image_cache_mb": 0.0}), items[:1], params),
        )
        torch.testing.assert_close(found, fresh, rtol=0, atol=1e-5 * float(fresh.abs().max()))


def test_text_to_video_is_sampled_by_the_released_loop_too(items: Sequence[PromptItem]) -> None:
    model = TextToVideo({"scale": "sd14", "weights": WEIGHTS}, device="cpu", folder=Path())
    (video,) = model.generate(items[:1], PARAMS)
    assert isinstance(video, Video)
    with pytest.raises(UsageError, match="takes 2 to 1000 steps, not 1"):
        model.generate(items[:1], replace(PARAMS, num_inference_steps=1))
