"""Stable Diffusion's autoencoder behind the codec's door."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import seeded
from tests.models.tiny_sd14 import CODEC
from vbbench.networks.sd14 import VAE
from vbbench.networks.vae import VaeCodec


@pytest.fixture(scope="module")
def codec() -> VaeCodec:
    with seeded(0):
        return VaeCodec(CODEC).eval()


def test_frames_go_through_diffusers_autoencoder_one_by_one(codec: VaeCodec) -> None:
    """The mean of the encoder's distribution, times the published factor."""
    pixels = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = codec.encode(pixels)
    assert latents.shape == (2, 4, 3, 4, 4)
    with torch.no_grad():
        for b in range(2):
            for t in range(3):
                wanted = codec.vae.encode(pixels[b, t][None]).latent_dist.mean * 0.18215
                torch.testing.assert_close(latents[b, :, t], wanted[0], atol=1e-5, rtol=1e-4)
                decoded = codec.vae.decode(latents[b, :, t][None] / 0.18215).sample.clamp(-1, 1)
                torch.testing.assert_close(
                    codec.decode(latents)[b, t], decoded[0], atol=1e-5, rtol=1e-4
                )


def test_the_full_size_is_the_published_one() -> None:
    with torch.device("meta"):
        codec = VaeCodec(VAE)
    assert (codec.latent_channels, codec.factor) == (4, 8)
    assert sum(parameter.numel() for parameter in codec.parameters()) == 83_653_863
