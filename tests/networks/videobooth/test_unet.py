"""Properties of the video UNet that the golden files do not show."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.parity.golden import Released
from vbbench.networks.unet.unet import ImagePromptInput, UNetConfig, VideoUNet


def _randomised(config: UNetConfig) -> VideoUNet:
    torch.manual_seed(0)
    unet = VideoUNet(replace(config, zero_init=False))
    return unet.eval()


def _inputs(
    batch: int = 2, frames: int = 3, channels: int = 4, size: int = 8, text: int = 24
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(batch, channels, frames, size, size, generator=generator)
    return sample, torch.full((batch,), 300), torch.randn(batch, 6, text, generator=generator)


def test_every_parameter_of_the_released_network_is_live(released: Released) -> None:
    unet = released.unet("fine").requires_grad_()
    sample, timestep, text = _inputs()
    image = ImagePromptInput(sample.flip(0), timestep, text.flip(0))
    unet(sample, timestep, text, image_prompt=image).square().sum().backward()
    dead = [
        name for name, p in unet.named_parameters() if p.grad is None or not p.grad.abs().max() > 0
    ]
    unet.zero_grad(set_to_none=True)
    assert not dead


@torch.no_grad()
def test_one_frame_of_image_prompt_equals_the_same_in_all_frames(released: Released) -> None:
    unet = released.unet("fine")
    sample, timestep, text = _inputs()
    one = sample[:, :, :1] * 0.7
    repeated = unet(
        sample, timestep, text, image_prompt=ImagePromptInput(one.expand_as(sample), timestep, text)
    )
    single = unet(sample, timestep, text, image_prompt=ImagePromptInput(one, timestep, text))
    torch.testing.assert_close(single, repeated, rtol=0, atol=1e-4)


@torch.no_grad()
def test_kept_image_prompt_states_serve_other_videos(released: Released) -> None:
    unet = released.unet("fine")
    sample, timestep, text = _inputs()
    image = ImagePromptInput(sample.flip(0), timestep, text.flip(0))
    states = unet.image_prompt_states(image)
    assert len(states.keys_values) == len(list(unet.cross_frame_attentions()))
    assert states.keys_values[0][0].shape == (2, 64, 8)
    for video in (sample, sample.neg()):
        expected = unet(video, timestep, text, image_prompt=image)
        torch.testing.assert_close(
            unet(video, timestep, text, image_prompt=states), expected, rtol=0, atol=0
        )
    one = ImagePromptInput(sample[:1].flip(0), timestep[:1], text[:1])
    shared = unet(sample, timestep, text, image_prompt=unet.image_prompt_states(one).for_videos(2))
    alone = unet(sample[1:], timestep[1:], text[1:], image_prompt=one)
    torch.testing.assert_close(shared[1:], alone, rtol=0, atol=1e-4)


@torch.no_grad()
def test_rows_of_a_batch_do_not_see_each_other(mini: UNetConfig) -> None:
    unet = _randomised(replace(mini, injection=True))
    sample, timestep, text = _inputs(channels=6, text=12)
    image = ImagePromptInput(sample[:, :, :1], timestep, text)
    both = unet(sample, timestep, text, image_prompt=image)
    alone = unet(
        sample[1:],
        timestep[1:],
        text[1:],
        image_prompt=ImagePromptInput(sample[1:, :, :1], timestep[1:], text[1:]),
    )
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)


def test_injection_starts_as_copies_of_the_frames_own(mini: UNetConfig) -> None:
    unet = _randomised(mini)
    before = {name for name, _ in unet.named_parameters()}
    sample, timestep, text = _inputs(channels=6, text=12)
    image = ImagePromptInput(sample, timestep)
    with pytest.raises(RuntimeError, match="enable_injection"):
        unet(sample, timestep, text, image_prompt=image)
    unet.enable_injection()
    assert unet.config.injection
    for attention in unet.cross_frame_attentions():
        assert torch.equal(attention.to_k_image.weight, attention.to_k.weight)
        assert torch.equal(attention.to_v_image.weight, attention.to_v.weight)
        assert attention.to_k_image.weight.data_ptr() != attention.to_k.weight.data_ptr()
    added = {name for name, _ in unet.named_parameters()} - before
    assert (
        added
        == {name for name, _ in VideoUNet(replace(mini, injection=True)).named_parameters()}
        - before
    )
    injection = {name for name, _ in unet.injection_parameters()}
    text_kv = {name for name, _ in unet.text_kv_parameters()}
    assert added < injection
    assert len(injection) == 2 * len(added) == 2 * len(text_kv)
    assert not injection & text_kv


def test_zero_init_predicts_zero_and_trains(mini: UNetConfig) -> None:
    unet = VideoUNet(mini)
    sample, timestep, text = _inputs(channels=6, text=12)
    optimiser = torch.optim.Adam(unet.parameters(), lr=1e-3)
    losses = []
    for step in range(12):
        with torch.autocast("cpu", torch.bfloat16):
            prediction = unet(sample, timestep, text)
        if step == 0:
            assert not prediction.any()
        loss = (prediction.float() - sample).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.9 * losses[0]


@torch.no_grad()
@pytest.mark.parametrize(
    "switch", ["frame_codes", "temporal_codes", "spatial_codes", "pooled_text"]
)
def test_codes_are_read(mini: UNetConfig, switch: str) -> None:
    off = replace(mini, frame_codes=0, temporal_codes=0, spatial_codes=None, pooled_text=False)
    config = replace(off, **{switch: getattr(mini, switch)})
    names = {name for name, _ in VideoUNet(config).named_parameters()} - {
        name for name, _ in VideoUNet(off).named_parameters()
    }
    assert names
    unet = _randomised(config)
    sample, timestep, text = _inputs(channels=6, text=12)
    before = unet(sample, timestep, text)
    for name, parameter in unet.named_parameters():
        if name in names:
            parameter.mul_(-2.0)
    assert not torch.allclose(unet(sample, timestep, text), before, atol=1e-4)


@torch.no_grad()
def test_frame_index_of_a_still(mini: UNetConfig) -> None:
    unet = _randomised(mini)
    sample, timestep, text = _inputs(frames=1, channels=6, text=12)
    default = unet(sample, timestep, text)
    first = unet(sample, timestep, text, frame_index_BT=torch.zeros(2, 1, dtype=torch.long))
    third = unet(sample, timestep, text, frame_index_BT=torch.tensor([[0], [2]]))
    torch.testing.assert_close(default, first)
    torch.testing.assert_close(third[:1], first[:1], rtol=0, atol=1e-5)
    assert not torch.allclose(third[1:], first[1:], atol=1e-4)


def test_shapes_that_do_not_fit_are_refused(mini: UNetConfig) -> None:
    unet = _randomised(mini)
    sample, timestep, text = _inputs(channels=6, text=12)
    with pytest.raises(ValueError, match="a batch of 2 samples, 1 timesteps"):
        unet(sample, timestep[:1], text)
    with pytest.raises(ValueError, match="spatial codes"):
        unet(sample[..., :4], timestep, text)
    unet.enable_injection()
    with pytest.raises(ValueError, match="no text"):
        unet.image_prompt_states(ImagePromptInput(sample, timestep))
