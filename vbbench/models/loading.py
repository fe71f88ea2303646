"""From shipped weights to networks: each is rebuilt from the configuration in its card and filled, nothing left over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

from vbbench import resources
from vbbench.errors import WeightsError
from vbbench.models.codec import PatchCodec
from vbbench.models.image_encoder import ImageEncoder, ImageEncoderConfig
from vbbench.models.network import NetworkConfig, TextToVideoNetwork
from vbbench.models.videobooth.checkpoint import load_strictly
from vbbench.models.videobooth.network import COARSE, FINE, VideoBoothNetwork
from vbbench.weights_io import load_weights

T = TypeVar("T")


def _read(name: str, scale: str, build: Callable[[Mapping[str, Any]], T]) -> tuple[dict[str, Tensor], T]:
    """The tensors shipped under ``name``, and what ``build`` makes of the configuration in their card."""
    tensors, card = load_weights(resources.weights_path(name, scale))
    try:
        return tensors, build(card["config"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"the card of the weights {name!r} has no configuration that can be built from: {error!r}.") from error


def load_codec(name: str, scale: str = "mini") -> PatchCodec:
    """The latent codec shipped under ``name``."""
    tensors, codec = _read(name, scale, lambda config: PatchCodec(config["patch"], config["components"]))
    load_strictly(codec, tensors, source=name)
    return codec.eval()


def load_network(name: str, scale: str = "mini") -> TextToVideoNetwork:
    """The text-to-video network shipped under ``name``, frozen."""
    tensors, network = _read(name, scale, lambda config: TextToVideoNetwork(NetworkConfig.from_dict(config)))
    load_strictly(network, tensors, source=name)
    return network.eval().requires_grad_(False)


def load_image_encoder(name: str, scale: str = "mini") -> ImageEncoder:
    """The conditioning image encoder shipped under ``name``, frozen."""
    tensors, encoder = _read(name, scale, lambda config: ImageEncoder(ImageEncoderConfig.from_dict(config)))
    load_strictly(encoder, tensors, source=name)
    return encoder.eval().requires_grad_(False)


def load_videobooth(stage: str, base: str, image_encoder: str, weights: str | None, scale: str = "mini") -> VideoBoothNetwork:
    """VideoBooth on a base: ``weights`` hold what was trained and replace the base's own.

    Args:
        stage: of the network that is built; coarse weights may fill a fine one, whose injection then starts from the base's K, V.
        base, image_encoder, weights: names of weights; no ``weights``: an untrained mapper on the untouched base.
    Raises:
        WeightsError: weights are missing, damaged, or of another stage or shape.
    """
    network = VideoBoothNetwork(load_network(base, scale), load_image_encoder(image_encoder, scale), stage)
    if weights is None:
        return network.eval()
    tensors, trained = _read(weights, scale, lambda config: str(config["stage"]))
    if (trained, stage) not in ((COARSE, COARSE), (FINE, FINE), (COARSE, FINE)):
        raise WeightsError(f"the weights {weights} are of the stage {trained}, not {stage}.")
    own = {name for name, _ in network.trained()}
    lacking = own - set(tensors) if trained == stage else set()
    if lacking or set(tensors) - own:
        raise WeightsError(f"the weights {weights} do not fit: {', '.join(sorted(lacking | (set(tensors) - own)))}.")
    load_strictly(network, {**network.state_dict(), **tensors}, source=weights)
    return network.eval()
