"""Whether a weights file is sound: its digest, its keys and shapes, its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.core.weights_file import SCALE_SUFFIX, card_path, read_card, verified_digest
from vbbench.errors import WeightsError
from vbbench.networks import sd14
from vbbench.networks.codec import PatchCodec
from vbbench.networks.elite import STAGES as ELITE_STAGES
from vbbench.networks.elite import EliteNetwork
from vbbench.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextToVideoNetwork
from vbbench.networks.vae import VaeCodec
from vbbench.networks.videobooth import STAGES as VIDEOBOOTH_STAGES
from vbbench.networks.videobooth import VideoBoothNetwork
from vbbench.networks.weights.released import misfits
from vbbench.networks.weights.tensor_files import first_not_finite, open_tensors


@dataclass(frozen=True)
class Finding:
    """What was found of one file.

    Attributes:
        path: the file.
        sound: nothing is wrong with what was checked.
        told: a half-sentence: what is wrong, or what was checked.
    """

    path: Path
    sound: bool
    told: str


def verify_file(path: Path, scale: str) -> Finding:
    """Hold a weights file against its card, and against the class that its card's configuration
    builds, on the meta device."""
    try:
        return Finding(path, True, _checked(path, scale))
    except WeightsError as error:
        return Finding(path, False, str(error).rstrip("."))


def _checked(path: Path, scale: str) -> str:
    file = open_tensors(path)
    count = f"{len(file.tensors)} tensors"
    if not card_path(path).is_file():
        if (name := first_not_finite(file.tensors)) is not None:
            raise WeightsError(f"{name} holds NaN or infinite values")
        return f"{count}; it has no card, so its digest and keys were not checked"
    verified_digest(path)
    if (name := first_not_finite(file.tensors)) is not None:
        raise WeightsError(f"{name} holds NaN or infinite values")
    tensors = _by_name(file.tensors)
    wanted = wanted_table(read_card(path), path.parent, scale)
    if wanted is None:
        return f"digest, {count}; what its keys should be is not known here"
    if wrong := misfits(tensors, wanted):
        raise WeightsError(f"it does not fit what its card says: {wrong}")
    parameters = sum(tensor.numel() for tensor in tensors.values())
    return f"digest, {len(tensors)} keys and shapes, {parameters:,} parameters"


def _by_name(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stored tensors by their parameters' names, those in eight bits as what they stand for; on the
    meta device."""
    made = {}
    for name, tensor in stored.items():
        if not name.endswith(SCALE_SUFFIX):
            dtype = torch.float32 if name + SCALE_SUFFIX in stored else tensor.dtype
            made[name] = torch.empty(tensor.shape, dtype=dtype, device="meta")
    return made


def wanted_table(card: Mapping[str, Any], folder: Path, scale: str) -> dict[str, Tensor] | None:
    """Keys and shapes (tensors on the meta device) of what a card describes; None where no class of
    ``vbbench.models`` is known for it.

    Args:
        card: of a weights file.
        folder: where the base and the image encoder lie that trained weights go with.
        scale: the folder's; at sd14 neither needs to be there.
    Raises:
        WeightsError: a configuration that cannot be built from, or no base to build on.
    """
    config = card.get("config", {})
    try:
        with torch.device("meta"):
            module = _module(config)
            if module is not None:
                return {key: value.detach() for key, value in module.state_dict().items()}
            return _trained(str(config.get("stage")), folder, scale)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"its card has no configuration that can be built from: {error!r}"
        ) from None


def _module(config: Mapping[str, Any]) -> nn.Module | None:
    if "vae" in config:
        return VaeCodec(config["vae"])
    if "components" in config:
        return PatchCodec(config["patch"], config["components"])
    if "unet" in config:
        return TextToVideoNetwork(NetworkConfig.from_dict(config))
    return ImageEncoder(ImageEncoderConfig.from_dict(config)) if "levels" in config else None


def _trained(stage: str, folder: Path, scale: str) -> dict[str, Tensor] | None:
    if stage not in (*VIDEOBOOTH_STAGES, *ELITE_STAGES):
        return None
    base = TextToVideoNetwork(NetworkConfig.from_dict(_configuration("base", folder, scale)))
    encoder = ImageEncoder(
        ImageEncoderConfig.from_dict(_configuration("image-encoder", folder, scale))
    )
    if stage in ELITE_STAGES:
        return {
            name: parameter.detach()
            for name, parameter in EliteNetwork(base, encoder, stage).shipped()
        }
    return {
        name: parameter.detach()
        for name, parameter in VideoBoothNetwork(base, encoder, stage).trained()
    }


def _configuration(name: str, folder: Path, scale: str) -> Mapping[str, Any]:
    if scale == "sd14" and not (folder / f"{name}.json").is_file():
        return sd14.configurations()[name]
    return read_card(folder / f"{name}.safetensors")["config"]
