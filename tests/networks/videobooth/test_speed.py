"""Every exact switch gives the numbers of the plain evaluation, step by step; what is approximate
says so."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from tests.models.tiny import shaken
from vbbench.errors import RecipeError
from vbbench.networks.sampling.cuda_graph import GraphedUNet, tensors_of, with_copies
from vbbench.networks.sampling.guidance import GuidedUNet
from vbbench.networks.sampling.sampling import make_scheduler, noise_to_timestep, sample
from vbbench.networks.sampling.speed import (
    Approximate,
    Speed,
    apply_speed,
    approximate_of,
    speed_of,
)
from vbbench.networks.unet.text_attention import LocalPrompt, TextAttention
from vbbench.networks.unet.transformer import CrossFrameAttention
from vbbench.networks.unet.unet import ImagePromptInput, ImagePromptStates, UNetConfig, VideoUNet

PLAIN = Speed(
    attention="released",
    text_once=False,
    batched_guidance=False,
    fused_qkv=False,
    channels_last=False,
    image_cache_mb=0,
)
SWITCHES = {
    "attention concat": replace(PLAIN, attention="concat"),
    "attention merge": replace(PLAIN, attention="merge"),
    "text once": replace(PLAIN, text_once=True),
    "batched guidance": replace(PLAIN, batched_guidance=True),
    "fused q, k, v": replace(PLAIN, fused_qkv=True),
    "channels last": replace(PLAIN, channels_last=True),
    "the default": Speed(),
    "all": Speed(batched_guidance=True, fused_qkv=True, attention="merge"),
}
STEPS, VIDEOS, FRAMES = 4, 2, 3


@pytest.fixture(params=["miniature", "released"])
def unet(request: pytest.FixtureRequest, mini: UNetConfig) -> VideoUNet:
    """A UNet of either kind with an image prompt's projections of their own."""
    released = UNetConfig(
        block_out_channels=(16, 16, 32, 32),
        layers_per_block=1,
        num_heads=2,
        cross_attention_dim=12,
        norm_num_groups=4,
        feed_forward_mult=1,
        watermark_widths=(16, 16, 16),
    )
    unet = VideoUNet(mini if request.param == "miniature" else released)
    unet.enable_injection()
    return shaken(unet, 1, 0.15).eval()  # type: ignore[return-value]


@torch.no_grad()
def latents_of_steps(
    unet: VideoUNet, speed: Speed, approximate: Approximate | None = None, *, local: bool = False
) -> list[Tensor]:
    """The latents after each step of a guided sampling with an image prompt."""
    apply_speed(unet, speed)
    draw = torch.Generator().manual_seed(0)
    channels, width = unet.config.in_channels, unet.config.cross_attention_dim
    noise = torch.randn(VIDEOS, channels, FRAMES, 8, 8, generator=draw)
    image = torch.randn(2, 1, channels, 1, 8, 8, generator=draw)
    texts, null = (
        torch.randn(VIDEOS, 5, width, generator=draw),
        torch.randn(1, 5, width, generator=draw),
    )
    prompt = (
        LocalPrompt(torch.randn(VIDEOS, 6, width, generator=draw), torch.tensor([1, 2]))
        if local
        else None
    )
    scheduler = make_scheduler("ddim", timestep_spacing="trailing")

    def image_at(timestep_B: Tensor) -> ImagePromptStates:
        noisy = noise_to_timestep(scheduler, image[0], image[1], timestep_B[0])
        return unet.image_prompt_states(ImagePromptInput(noisy, timestep_B[:1], null)).for_videos(
            VIDEOS
        )

    denoise = GuidedUNet(
        unet, texts, null, image=image_at, local=prompt, speed=speed, approximate=approximate
    )
    steps: list[Tensor] = []
    sample(
        denoise,
        scheduler,
        noise,
        STEPS,
        guidance_scale=3.0,
        callback=lambda _, latents: steps.append(latents),
    )
    return steps


def largest_gap(one: list[Tensor], other: list[Tensor]) -> float:
    """Of all steps, relative to the step's maximum."""
    assert len(one) == len(other) == STEPS
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", SWITCHES)
def test_exact_switches_keep_every_step(unet: VideoUNet, name: str) -> None:
    assert (
        largest_gap(latents_of_steps(unet, PLAIN), latents_of_steps(unet, SWITCHES[name])) <= 1e-4
    )


def test_switches_cover_every_setting() -> None:
    changed = {
        field.name
        for speed in SWITCHES.values()
        for field in fields(Speed)
        if getattr(speed, field.name) != getattr(PLAIN, field.name)
    }
    elsewhere = {"compiled", "cuda_graph"}
    assert changed | elsewhere == {field.name for field in fields(Speed)}


@pytest.mark.parametrize("name", ["batched guidance", "all"])
def test_a_local_prompt_is_for_the_conditional_branch(unet: VideoUNet, name: str) -> None:
    unet.enable_local_attention()
    shaken(unet, 1, 0.15)
    plain = latents_of_steps(unet, PLAIN, local=True)
    assert largest_gap(plain, latents_of_steps(unet, SWITCHES[name], local=True)) <= 1e-4
    assert largest_gap(plain, latents_of_steps(unet, PLAIN)) > 1e-2


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_blocks_keep_every_step(mini: UNetConfig) -> None:
    unet = VideoUNet(mini)
    unet.enable_injection()
    shaken(unet, 1, 0.15)
    plain = latents_of_steps(unet, PLAIN)
    assert largest_gap(plain, latents_of_steps(unet, Speed(compiled=True))) <= 1e-4


def test_switches_do_what_they_say(unet: VideoUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: evaluations of the UNet, and of the text's keys and values."""
    evaluations, texts = [], []
    forward, keys_values = VideoUNet.forward, TextAttention.keys_values
    monkeypatch.setattr(
        VideoUNet,
        "forward",
        lambda self, *a, **k: (evaluations.append(len(a[0])), forward(self, *a, **k))[1],
    )
    monkeypatch.setattr(
        TextAttention,
        "keys_values",
        lambda self, text: (texts.append(1), keys_values(self, text))[1],
    )
    layers = sum(1 for _ in unet.text_attentions())
    latents_of_steps(unet, PLAIN)
    assert evaluations == [VIDEOS] * 2 * STEPS
    assert len(texts) == STEPS * (
        2 * layers + layers - 1
    )  # both branches, and the image prompt up to the last layer that is read
    evaluations.clear()
    texts.clear()
    latents_of_steps(unet, replace(PLAIN, batched_guidance=True, text_once=True))
    assert evaluations == [2 * VIDEOS] * STEPS
    assert len(texts) == 2 * layers + STEPS * (
        layers - 1
    )  # the image prompt's text is up to the model


def test_switches_are_set_and_unset(unet: VideoUNet) -> None:
    apply_speed(unet, Speed(attention="merge", fused_qkv=True, channels_last=True))
    attentions = [module for module in unet.modules() if isinstance(module, CrossFrameAttention)]
    assert {(module.backend, module.fused_qkv) for module in attentions} == {("merge", True)}
    assert unet.mid_block.resnets[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    apply_speed(unet, PLAIN)
    assert {(module.backend, module.fused_qkv) for module in attentions} == {("released", False)}
    assert unet.mid_block.resnets[0].conv1.weight.is_contiguous()


def test_reused_features_are_an_approximation(unet: VideoUNet) -> None:
    exact = latents_of_steps(unet, Speed())
    assert largest_gap(exact, latents_of_steps(unet, Speed(), Approximate(reuse_features=1))) == 0
    for speed in (Speed(), Speed(batched_guidance=True)):
        reused = latents_of_steps(unet, speed, Approximate(reuse_features=2))
        assert torch.isfinite(reused[-1]).all()
        assert (
            largest_gap(exact[:1] * STEPS, reused[:1] * STEPS) <= 1e-5
        )  # the first step is always a full one
        assert largest_gap(exact, reused) > 1e-3
    branches = [
        latents_of_steps(unet, Speed(batched_guidance=both), Approximate(reuse_features=2))
        for both in (False, True)
    ]
    assert largest_gap(*branches) <= 1e-4


def test_reused_features_skip_the_inner_levels(
    unet: VideoUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(
        unet.mid_block,
        "forward",
        lambda x, cond, _f=unet.mid_block.forward: (calls.append(len(x)), _f(x, cond))[1],
    )
    latents_of_steps(unet, Speed(), Approximate(reuse_features=2))
    full_steps = [step for step in range(STEPS) if step % 2 == 0]
    of_videos = [frames for frames in calls if frames == VIDEOS * FRAMES]
    assert len(of_videos) == 2 * len(full_steps)  # two branches


def test_recipes_set_them() -> None:
    assert speed_of({}) == Speed()
    assert speed_of({}, "cuda") == Speed(batched_guidance=True)
    assert not speed_of({"speed": {"batched_guidance": False}}, "cuda").batched_guidance
    assert speed_of({"speed": {"attention": "merge", "image_cache_mb": 8}}) == Speed(
        attention="merge", image_cache_mb=8
    )
    assert approximate_of({"approximate": {"reuse_features": 3}}) == Approximate(3)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"speed": {"atention": "merge"}}, "no setting 'atention'; there are attention, text_once"),
        ({"speed": {"attention": "fastest"}}, "no backend 'fastest'; there are reference"),
        ({"speed": {"compiled": 1}}, "compiled must be of type bool, not 1"),
        ({"speed": {"image_cache_mb": True}}, "image_cache_mb must be of type float, not True"),
        ({"speed": {"image_cache_mb": -1}}, "image_cache_mb must be at least 0, not -1"),
        ({"speed": "fast"}, r"\[speed\] has no setting 'speed'"),
        ({"approximate": {"reuse_features": 0}}, "reuse_features must be at least 1, not 0"),
        ({"approximate": {"reuse_features": 2.5}}, "reuse_features must be of type int, not 2.5"),
    ],
)
def test_wrong_settings_get_a_sentence(table: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        (speed_of if "speed" in table else approximate_of)(table)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"speed": {"attention": "flex"}},
            "backend 'flex' cannot be used here: it is compiled for CUDA",
        ),
        ({"speed": {"cuda_graph": True}}, "CUDA graphs are not for a CPU"),
    ],
)
def test_what_the_device_cannot_do_is_refused_at_once(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        speed_of(settings, "cpu")
    speed_of(settings, "cuda")


def test_features_that_are_kept_are_no_graphs() -> None:
    with pytest.raises(RecipeError, match="exclude each other"):
        approximate_of({"speed": {"cuda_graph": True}, "approximate": {"reuse_features": 2}})


def test_an_image_prompt_without_text_takes_the_conditional_one(unet: VideoUNet) -> None:
    draw = torch.Generator().manual_seed(0)
    shape = (VIDEOS, unet.config.in_channels, 1, 8, 8)
    latents, image = (
        torch.randn(VIDEOS, shape[1], FRAMES, 8, 8, generator=draw),
        torch.randn(shape, generator=draw),
    )
    text, null = torch.randn(VIDEOS, 5, 12, generator=draw), torch.randn(1, 5, 12, generator=draw)
    found = []
    for batched in (False, True):
        denoise = GuidedUNet(
            unet,
            text,
            null,
            image=lambda t: ImagePromptInput(image, t),
            speed=Speed(batched_guidance=batched),
        )
        with torch.no_grad():
            found.append(denoise(latents, torch.full((VIDEOS,), 300), True))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_cuda_graphs_are_refused_on_a_cpu(unet: VideoUNet) -> None:
    with pytest.raises(ValueError, match="CUDA graphs need CUDA tensors"):
        latents_of_steps(unet, Speed(cuda_graph=True))
    with pytest.raises(ValueError, match="exclude each other"):
        latents_of_steps(unet, Speed(cuda_graph=True), Approximate(2))


def test_copies_have_the_same_structure() -> None:
    value = (torch.ones(2), {"a": LocalPrompt(torch.zeros(1, 2, 3), torch.tensor([4])), "b": None})
    copied = with_copies(value)
    assert [x.tolist() for x in tensors_of(copied)] == [x.tolist() for x in tensors_of(value)]
    assert all(
        x.data_ptr() != y.data_ptr()
        for x, y in zip(tensors_of(copied), tensors_of(value), strict=True)
    )
    assert copied[1]["a"].strength == 1.0
    assert copied[1]["b"] is None


@pytest.mark.gpu
def test_cuda_graphs_keep_every_evaluation(mini: UNetConfig) -> None:
    unet = shaken(VideoUNet(mini), 1, 0.15).eval().cuda()
    graphed, draw = GraphedUNet(unet), torch.Generator().manual_seed(0)
    with torch.no_grad():
        text = unet.text_states(torch.randn(2, 5, 12, generator=draw).cuda())
        for _ in range(3):
            latents, timestep = (
                torch.randn(2, 6, 3, 8, 8, generator=draw).cuda(),
                torch.randint(999, (2,), generator=draw).cuda(),
            )
            torch.testing.assert_close(
                graphed(latents, timestep, text),
                unet(latents, timestep, text),
                rtol=1e-4,
                atol=1e-4,
            )
