"""From weights files to networks: each is rebuilt from the configuration in its card and filled,
nothing left over.

On the device ``meta`` networks are built without weights, to count parameters or to see that a
recipe can be built at all; at scale sd14 no file is needed for that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vbbench.core import paths
from vbbench.core.weights_file import load_weights, read_card
from vbbench.errors import WeightsError
from vbbench.networks.checkpoint import load_strictly
from vbbench.networks.codec import PatchCodec
from vbbench.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextToVideoNetwork
from vbbench.networks.vae import VaeCodec
from vbbench.networks.videobooth import COARSE, FINE, VideoBoothNetwork

META = "meta"
T = TypeVar("T")


def read_weights(
    name: str,
    scale: str,
    build: Callable[[Mapping[str, Any]], T],
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[dict[str, Tensor] | None, T]:
    """The tensors stored under ``name`` (None on the device meta), and what ``build`` makes of the
    configuration in their card.

    Args:
        dtype: of the tensors, where what is built is to hold them themselves (see `_filled`): it is
            built without weights then. None: float32, to be copied.
    """
    tensors, config = None, _configuration(name, scale) if device == META else None
    if config is None:
        tensors, card = load_weights(paths.weights_path(name, scale), dtype=dtype)
        config = card.get("config", {})
    try:
        with torch.device(META if device == META or dtype is not None else "cpu"):
            return tensors, build(config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"the card of the weights {name!r} has no configuration that can be built from: {error!r}."
        ) from error


def _configuration(name: str, scale: str) -> Mapping[str, Any]:
    """The configuration that goes with a name: of its card, or of the scale itself where there is
    no file."""
    from vbbench.networks import sd14

    known = sd14.configurations() if scale == "sd14" else {}
    if name in known and not (paths.weights_dir(scale) / f"{name}.safetensors").is_file():
        return known[name]
    return read_card(paths.weights_path(name, scale)).get("config", {})


def _filled(
    module: nn.Module, tensors: dict[str, Tensor] | None, name: str, *, assign: bool = False
) -> None:
    """Give a module its weights; what was built without any gets the tensors themselves, so that
    they are in memory once."""
    if tensors is not None:
        load_strictly(module, tensors, source=name, assign=assign)
        _number_positions(module)
    module.eval().requires_grad_(False)


def _number_positions(module: nn.Module) -> None:
    """CLIP's buffers of position numbers are in no file; a module that was built without weights
    lacks them."""
    for owner in module.modules():
        for key, buffer in owner.named_buffers(recurse=False):
            if buffer.is_meta:
                if key != "position_ids":
                    raise ValueError(
                        f"the buffer {key} is in no weights file and cannot be made anew"
                    )
                setattr(owner, key, torch.arange(buffer.shape[-1]).expand(buffer.shape).clone())


def _codec(config: Mapping[str, Any]) -> PatchCodec | VaeCodec:
    return (
        VaeCodec(config["vae"])
        if "vae" in config
        else PatchCodec(config["patch"], config["components"])
    )


def load_codec(
    name: str, scale: str = "mini", device: str = "cpu", dtype: torch.dtype | None = None
) -> PatchCodec | VaeCodec:
    """The latent codec stored under ``name``."""
    tensors, codec = read_weights(name, scale, _codec, device, dtype)
    _filled(codec, tensors, name, assign=dtype is not None)
    return codec.to(device)


def load_network(
    name: str, scale: str = "mini", device: str = "cpu", dtype: torch.dtype | None = None
) -> TextToVideoNetwork:
    """The text-to-video network stored under ``name``, frozen.

    Args:
        dtype: read straight into it, without a copy in another; None: float32, copied into a
            network whose weights were drawn first (which moves the global generator, as trainings
            that were recorded count on).
    """
    tensors, network = read_weights(
        name,
        scale,
        lambda config: TextToVideoNetwork(NetworkConfig.from_dict(config)),
        device,
        dtype,
    )
    _filled(network, tensors, name, assign=dtype is not None)
    return network.to(device)


def load_image_encoder(
    name: str, scale: str = "mini", device: str = "cpu", dtype: torch.dtype | None = None
) -> ImageEncoder:
    """The conditioning image encoder stored under ``name``, frozen; ``dtype`` as in
    `load_network`."""
    tensors, encoder = read_weights(
        name,
        scale,
        lambda config: ImageEncoder(ImageEncoderConfig.from_dict(config)),
        device,
        dtype,
    )
    _filled(encoder, tensors, name, assign=dtype is not None)
    return encoder.to(device)


def load_videobooth(
    stage: str,
    base: str,
    image_encoder: str,
    weights: str | None,
    scale: str = "mini",
    device: str = "cpu",
    *,
    noises_image_prompt: bool = True,
    dtype: torch.dtype | None = None,
) -> VideoBoothNetwork:
    """VideoBooth on a base: ``weights`` hold what was trained and replace the base's own.

    Args:
        stage: of the network that is built; coarse weights may fill a fine one, whose injection
            then starts from the base's K, V; a coarse network takes the coarse path of fine weights
            and leaves out the rest.
        base, image_encoder, weights: names of weights; no ``weights``: an untrained mapper on the
            untouched base.
        noises_image_prompt: of a network that goes on being trained; where the weights have a fine
            path, they say it themselves.
        dtype: as in `load_network`; of everything.
    Raises:
        WeightsError: weights are missing, damaged, or of another stage or shape.
    """
    parts = (
        load_network(base, scale, device, dtype),
        load_image_encoder(image_encoder, scale, device, dtype),
    )
    with torch.device(device):
        network = (
            VideoBoothNetwork(*parts, stage, noises_image_prompt=noises_image_prompt)
            .eval()
            .to(dtype)
        )
    if weights is None or device == META:
        return network
    config = load_trained(
        network,
        {name for name, _ in network.trained()},
        weights,
        scale,
        may_lack=((COARSE, FINE),),
        takes_part=((FINE, COARSE),),
    )
    if COARSE not in (config["stage"], stage):
        network.noises_image_prompt = bool(config.get("noises_image_prompt", True))
    return network


def load_trained(
    network: nn.Module,
    own: set[str],
    weights: str,
    scale: str,
    *,
    may_lack: Collection[tuple[str, str]] = (),
    takes_part: Collection[tuple[str, str]] = (),
) -> Mapping[str, Any]:
    """Fill a network on a base (it has a ``stage``) with what was trained, and give the
    configuration in the weights' card.

    Args:
        own: names of the network's parameters that are trained.
        may_lack: (stage of the weights, stage of the network) where what the weights lack stays as
            it is in the network.
        takes_part: the same where what the network lacks is left out.
    Raises:
        WeightsError: weights are missing, damaged, or of another stage or shape.
    """
    tensors, config = read_weights(
        weights, scale, lambda config: {"stage": str(config["stage"]), **config}
    )
    stages = (config["stage"], network.stage)
    if stages[0] != stages[1] and stages not in (*may_lack, *takes_part):
        raise WeightsError(f"the weights {weights} are of the stage {stages[0]}, not {stages[1]}.")
    stored = {
        name: tensor
        for name, tensor in (tensors or {}).items()
        if name in own or stages not in takes_part
    }
    lacking = own - set(stored) if stages not in may_lack else set()
    if misfits := lacking | (set(stored) - own):
        raise WeightsError(f"the weights {weights} do not fit: {', '.join(sorted(misfits))}.")
    fill(network, stored, config, weights)
    return config


def fill(
    network: nn.Module, stored: Mapping[str, Tensor], config: Mapping[str, Any], name: str
) -> None:
    """Put what a method trained into its network, in place of the base's own.

    Args:
        stored: by the network's names; differences to what the network holds now where the card's
            ``config`` says so.
    Raises:
        WeightsError: tensors of another shape.
    """
    before = network.state_dict()
    if config.get("differences"):
        shapes = [key for key, value in stored.items() if value.shape != before[key].shape]
        if shapes:
            raise WeightsError(
                f"the weights {name} do not fit: {', '.join(shapes)} of another shape."
            )
        stored = {
            key: value.to(before[key].device) + (before[key] if _in_base(key) else 0.0)
            for key, value in stored.items()
        }  # in float32
    load_strictly(network, {**before, **stored}, source=name)


def _in_base(name: str) -> bool:
    """Whether a parameter belongs to the base: these are stored as differences to it."""
    return name.startswith("base.")


def differences(network: nn.Module, untrained: nn.Module, names: set[str]) -> dict[str, Tensor]:
    """What training changed of the base's parameters, and the others as they are; the inverse of
    `fill`.

    Args:
        network: trained.
        untrained: the same on the untouched base.
        names: of the trained parameters.
    """
    before, after = untrained.state_dict(), network.state_dict()
    return {
        name: after[name].detach() - before[name].to(after[name].device)
        if _in_base(name)
        else after[name].detach()
        for name in names
    }
