"""The published files of scale sd14: at tiny size with every key they have, by their publishers'
names; and thin ones of the real size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.models import tiny_sd14
from tests.parity.golden import read_golden
from vbbench.networks.checkpoint import config_from_diffusers
from vbbench.networks.image_encoder import ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextConfig
from vbbench.networks.weights import released
from vbbench.networks.weights.released import (
    CODEC,
    IMAGE_ENCODER,
    MAPPER,
    TEXT_ENCODER,
    UNET,
    Sizes,
)

State = dict[str, Tensor]
PLACES = {
    UNET: "watermark_remove_module.pt",
    MAPPER: "mapper.pt",
    TEXT_ENCODER: "text_encoder/model.safetensors",
    CODEC: "vae/diffusion_pytorch_model.safetensors",
    IMAGE_ENCODER: "clip/model.safetensors",
}
TOP_LEVEL = {UNET: "ema_unet", MAPPER: "ema"}
TINY = Sizes(tiny_sd14.NETWORK, tiny_sd14.IMAGE_ENCODER, tiny_sd14.CODEC)


def golden_sizes(golden: Path) -> Sizes:
    """The configurations of the golden weights, with towers and an autoencoder that go with
    them."""
    config = read_golden(golden / "weights_A_unet.safetensors").metadata["config"]
    unet = config_from_diffusers(config, watermark_removal=True, injection=False)
    network = NetworkConfig(unet, TextConfig(width=24, feed_forward=32, layers=1, heads=2))
    encoder = ImageEncoderConfig(
        size=16, patch=8, width=24, feed_forward=32, layers=5, heads=2, levels=(1, 2, 3, 4)
    )
    return Sizes(network, encoder, tiny_sd14.CODEC, mapper_width=40)


def random_state(sizes: Sizes, kind: str, stage: str = "fine") -> State:
    generator = torch.Generator().manual_seed(sum(kind.encode()))
    table = released.released_table(sizes, kind, stage)
    return {key: torch.randn(value.shape, generator=generator) for key, value in table.items()}


def tiny_states() -> dict[str, State]:
    return {kind: random_state(TINY, kind) for kind in PLACES}


def golden_states(golden: Path) -> dict[str, State]:
    """The golden UNet and mapper, and random others that go with them."""
    sizes = golden_sizes(golden)
    own = {
        kind: read_golden(golden / f"weights_A_{kind}.safetensors").tensors
        for kind in (UNET, MAPPER)
    }
    return {
        **{kind: random_state(sizes, kind) for kind in (TEXT_ENCODER, CODEC, IMAGE_ENCODER)},
        **own,
    }


def write(folder: Path, states: Mapping[str, State]) -> Path:
    """Write files as their publishers do; CLIP's whole, with position numbers and a text tower of
    its own."""
    for kind, state in states.items():
        path = folder / PLACES[kind]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".pt":
            torch.save({TOP_LEVEL[kind]: state}, path)
            continue
        if kind == IMAGE_ENCODER:
            positions = {
                f"{tower}.embeddings.position_ids": torch.arange(5)[None]
                for tower in ("vision_model", "text_model")
            }
            text = {
                "text_model.embeddings.token_embedding.weight": torch.ones(3, 2),
                "logit_scale": torch.ones(()),
            }
            state = {**state, **positions, **text, "visual_projection.weight": torch.ones(2, 2)}
        save_file(state, path)
    return folder


def thin_state(keys_file: Path) -> State:
    """A state dict of real size whose tensors are one number each, repeated: PyTorch files of it
    are small."""
    rows = (line.split() for line in keys_file.read_text().splitlines())
    return {
        key: torch.zeros(1).expand([int(size) for size in shape.split("x")]) for key, shape in rows
    }
