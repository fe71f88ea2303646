"""Weights of scale sd14 at tiny size: the same classes as the real ones (autoencoder, CLIP, Stable
Diffusion's UNet), random."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models.tiny import ELITE, VIDEOBOOTH, seeded, shaken
from vbbench.core.weights_file import save_weights
from vbbench.networks.elite import EliteNetwork
from vbbench.networks.image_encoder import CLIP_MEAN, CLIP_STD, ImageEncoder, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextConfig, TextToVideoNetwork
from vbbench.networks.sd14 import VAE
from vbbench.networks.unet.config import UNetConfig
from vbbench.networks.vae import VaeCodec
from vbbench.networks.videobooth import VideoBoothNetwork

NETWORK = NetworkConfig(
    unet=UNetConfig(
        block_out_channels=(16, 16, 32, 32),
        layers_per_block=1,
        num_heads=2,
        cross_attention_dim=16,
        norm_num_groups=4,
        feed_forward_mult=1,
        watermark_widths=(16, 16, 16),
    ),
    text=TextConfig(width=16, feed_forward=32, layers=1, heads=2),
)
CODEC = {**VAE, "block_out_channels": [8, 8, 8, 8], "layers_per_block": 1, "norm_num_groups": 4}
IMAGE_ENCODER = ImageEncoderConfig(
    size=32,
    patch=8,
    width=16,
    feed_forward=32,
    layers=3,
    heads=2,
    levels=(1, 2),
    pixel_mean=CLIP_MEAN,
    pixel_std=CLIP_STD,
)


def _parts() -> tuple[TextToVideoNetwork, ImageEncoder]:
    with seeded(1):
        return shaken(TextToVideoNetwork(NETWORK), 1, 0.1), shaken(
            ImageEncoder(IMAGE_ENCODER), 2, 0.3
        )  # type: ignore[return-value]


def write_weights(root: Path) -> Path:
    """Write the whole set into ``root/sd14``; returns ``root``, which is what VBBENCH_WEIGHTS is
    set to."""
    base, image_encoder = _parts()
    with seeded(3):
        codec = VaeCodec(CODEC)
    files: dict[str, tuple[dict[str, torch.Tensor], dict]] = {
        "codec": (codec.state_dict(), {"vae": CODEC}),
        "base": (base.state_dict(), NETWORK.as_dict()),
        "image-encoder": (image_encoder.state_dict(), IMAGE_ENCODER.as_dict()),
    }
    for name, stage in VIDEOBOOTH.items():
        network = VideoBoothNetwork(*_parts(), stage)
        shaken(nn.ParameterList(parameter for _, parameter in network.trained()), 4, 0.2)
        files[name] = (
            dict(network.trained()),
            {"stage": stage, "noises_image_prompt": "clean" not in name},
        )
    for name, stage in ELITE.items():
        elite = EliteNetwork(*_parts(), stage)
        shaken(nn.ParameterList(parameter for _, parameter in elite.shipped()), 5, 0.2)
        files[name] = (dict(elite.shipped()), {"stage": stage})
    for name, (tensors, config) in files.items():
        save_weights(
            root / "sd14" / f"{name}.safetensors", tensors, {"recipe": name, "config": config}
        )
    return root


@pytest.fixture(scope="session")
def sd14_weights_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny weights of scale sd14, written once."""
    return write_weights(tmp_path_factory.mktemp("sd14-weights"))
