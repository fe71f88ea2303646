"""What the networks of scale sd14 look like, by the names of their weights; the same form as in the
cards of weights files.

Sources: the configurations of CompVis/stable-diffusion-v1-4, stabilityai/sd-vae-ft-ema and
openai/clip-vit-large-patch14, and VideoBooth's released code for what differs from them.
"""

from __future__ import annotations

from typing import Any

from vbbench.networks.image_encoder import CLIP_MEAN, CLIP_STD, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig

VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 256,
    "scaling_factor": 0.18215,
}


def configurations() -> dict[str, dict[str, Any]]:
    """Name of weights -> configuration, as a card holds it."""
    return {
        "codec": {"vae": VAE},
        "base": NetworkConfig().as_dict(),
        "image-encoder": ImageEncoderConfig(pixel_mean=CLIP_MEAN, pixel_std=CLIP_STD).as_dict(),
    }
