"""Weights of scale sd14 at their real size, random: what a machine must be able to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbbench.core.weights_file import save_weights
from vbbench.networks import sd14
from vbbench.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextToVideoNetwork
from vbbench.networks.vae import VaeCodec
from vbbench.networks.videobooth import FINE, VideoBoothNetwork

_BLOCK = 1 << 20


def write_real_weights(root: Path) -> Path:
    """Write ``root/sd14`` (3.3 GB); returns ``root``, which is what VBBENCH_WEIGHTS is set to."""
    known = sd14.configurations()
    with torch.device("meta"):
        base = TextToVideoNetwork(NetworkConfig.from_dict(known["base"]))
        encoder = ImageEncoder(ImageEncoderConfig.from_dict(known["image-encoder"]))
        codec = VaeCodec(known["codec"]["vae"])
    files: dict[str, tuple[Mapping[str, Tensor], Any]] = {
        "codec": (codec.state_dict(), known["codec"]),
        "base": (dict(base.state_dict()), known["base"]),
        "image-encoder": (encoder.state_dict(), known["image-encoder"]),
    }
    with torch.device("meta"):
        trained = dict(VideoBoothNetwork(base, encoder, FINE).trained())
    files["videobooth"] = (trained, {"stage": FINE, "noises_image_prompt": True})
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0)).half()
    for name, (shapes, config) in files.items():
        tensors = {key: _random(key, tensor, block) for key, tensor in shapes.items()}
        save_weights(
            root / "sd14" / f"{name}.safetensors", tensors, {"recipe": name, "config": config}
        )
    return root


def _random(key: str, like: Tensor, block: Tensor) -> Tensor:
    """Of about the size that keeps activations as they are; norms at one, biases at zero."""
    if like.dim() < 2:
        return torch.full(
            like.shape,
            1.0 if "norm" in key and key.endswith("weight") else 0.0,
            dtype=torch.float16,
        )
    count = like.numel()
    values = block.repeat(math.ceil(count / _BLOCK))[:count].reshape(like.shape)
    return values.mul_((0.5 * like.shape[0] / count) ** 0.5)
