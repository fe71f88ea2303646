"""The output preconditioning of networks that predict the clean latent."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.models import tiny
from vbbench.networks.sampling.diffusion import DiffusionConfig, add_noise
from vbbench.networks.unet.preconditioning import alpha_bar, preconditioned
from vbbench.networks.unet.unet import VideoUNet


def test_the_schedule_is_that_of_diffusers() -> None:
    table = DiffusionConfig(
        prediction_type="sample", beta_schedule="squaredcos_cap_v2"
    ).alphas_cumprod()
    torch.testing.assert_close(
        alpha_bar(torch.arange(1000))[:990], table[:990], atol=1e-5, rtol=1e-3
    )
    half = alpha_bar(torch.tensor([499.5]))
    assert table[500] < float(half) < table[499]


def test_the_sample_passes_by_where_noise_is_weak_and_not_where_it_is_strong() -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise, layers = (torch.randn(2, 3, 4, 5, 5, generator=generator) for _ in range(3))
    timestep = torch.tensor([2, 950])
    noised = add_noise(x, noise, alpha_bar(timestep))
    weak, strong = preconditioned(layers, noised, timestep, 0.3)
    torch.testing.assert_close(weak, x[0], atol=0.25, rtol=0)
    torch.testing.assert_close(strong, layers[1], atol=0.05, rtol=0)


def test_with_unit_deviation_it_is_velocity_prediction() -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(3, 2, 2, 4, 4, generator=generator) for _ in range(2))
    timestep = torch.tensor([100, 500, 900])
    signal = alpha_bar(timestep).view(-1, 1, 1, 1, 1)
    velocity = signal.sqrt() * noise - (1 - signal).sqrt() * x
    noised = add_noise(x, noise, alpha_bar(timestep))
    torch.testing.assert_close(
        preconditioned(-velocity, noised, timestep, 1.0), x, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("skip_sd", [0.0, 0.3])
def test_the_network_applies_it_where_its_configuration_says_so(skip_sd: float) -> None:
    config = tiny.network_config().unet
    with tiny.seeded(0):
        network = VideoUNet(dataclasses.replace(config, skip_sd=skip_sd)).eval()
        plain = VideoUNet(dataclasses.replace(config, skip_sd=0.0)).eval()
    plain.load_state_dict(network.state_dict())
    sample, text, timestep = (
        torch.randn(2, config.in_channels, 8, 8, 8),
        torch.randn(2, 5, 16),
        torch.tensor([30, 700]),
    )
    with torch.no_grad():
        found, layers = network(sample, timestep, text), plain(sample, timestep, text)
    expected = preconditioned(layers, sample, timestep, skip_sd) if skip_sd else layers
    assert torch.equal(found, expected)
