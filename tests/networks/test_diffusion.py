"""Noise, noise schedules, and the forward process."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vbbench.networks.sampling.diffusion import DiffusionConfig, add_noise, video_noise

SHAPE = (8, 4, 5, 24, 24)


@pytest.mark.parametrize("shared", [0.0, 0.25, 0.5, 1.0])
def test_video_noise_is_standard_and_shares_its_part_over_frames(shared: float) -> None:
    noise = video_noise(SHAPE, shared, torch.Generator().manual_seed(0))
    assert noise.shape == SHAPE
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    frames = noise.movedim(2, 0).reshape(SHAPE[2], -1).numpy()
    covariance = frames @ frames.T / frames.shape[1]
    expected = shared + (1 - shared) * np.eye(SHAPE[2])
    np.testing.assert_allclose(covariance, expected, atol=0.04)


def test_nothing_is_shared_over_videos_channels_or_places() -> None:
    noise = video_noise((2, 2, 64, 8, 8), 1.0, torch.Generator().manual_seed(0))[:, :, 0].flatten()
    assert len(noise.unique()) == len(noise)


def test_noise_comes_from_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, again = (
        video_noise((1, 2, 3, 4, 4), 0.5, torch.Generator().manual_seed(9)) for _ in range(2)
    )
    assert torch.equal(one, again)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(
        one, video_noise((1, 2, 3, 4, 4), 0.5, torch.Generator().manual_seed(10))
    )


def test_adding_noise_is_the_papers_equation() -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(3, 2, 4, 5, 5, generator=generator) for _ in range(2))
    alpha_bar = torch.tensor([1.0, 0.36, 0.0])
    shares = np.array([(1.0, 0.0), (0.6, 0.8), (0.0, 1.0)]).reshape(
        3, 2, 1, 1, 1, 1
    )  # the roots of alpha bar and of the rest
    expected = shares[:, 0] * x.numpy() + shares[:, 1] * noise.numpy()
    np.testing.assert_allclose(add_noise(x, noise, alpha_bar), expected, atol=1e-6)


def test_the_released_process_is_linear() -> None:
    expected = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(DiffusionConfig().alphas_cumprod(), expected, rtol=1e-4)


def test_the_miniature_process_follows_a_cosine() -> None:
    """Nichol and Dhariwal 2021, equation 17, with every beta at most 0.999."""
    steps = np.arange(1001) / 1000
    curve = np.cos((steps + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = np.minimum(1 - curve[1:] / curve[:-1], 0.999)
    alphas = DiffusionConfig(
        prediction_type="sample", beta_schedule="squaredcos_cap_v2"
    ).alphas_cumprod()
    np.testing.assert_allclose(alphas, np.cumprod(1 - betas), rtol=2e-3, atol=1e-7)


def test_the_configuration_goes_into_cards() -> None:
    config = DiffusionConfig(prediction_type="sample", shared_noise=0.5)
    assert DiffusionConfig(**config.as_dict()) == config
