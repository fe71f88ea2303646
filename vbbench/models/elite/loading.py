"""From weights files to an ELITE network."""

from __future__ import annotations

import torch

from vbbench.models.elite.network import GLOBAL, LOCAL, EliteNetwork
from vbbench.models.loading import META, load_image_encoder, load_network, load_trained


def load_elite(
    stage: str,
    base: str,
    image_encoder: str,
    weights: str | None,
    scale: str = "mini",
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> EliteNetwork:
    """ELITE on a base: ``weights`` hold what was trained and replace the base's own.

    Args:
        stage: of the network that is built; global weights may fill a local one, whose local attention then has yet to be trained.
        base, image_encoder, weights: names of weights; no ``weights``: untrained mappers on the untouched base.
        dtype: as in `vbbench.models.loading.load_network`; of everything.
    Raises:
        WeightsError: weights are missing, damaged, or of another stage or shape.
    """
    parts = load_network(base, scale, device, dtype), load_image_encoder(image_encoder, scale, device, dtype)
    with torch.device(device):
        network = EliteNetwork(*parts, stage).eval().to(dtype)
    if weights is None or device == META:
        return network
    config = load_trained(network, {name for name, _ in network.shipped()}, weights, scale, may_lack=((GLOBAL, LOCAL),))
    if config["stage"] != stage:
        network.base.unet.reset_local_attention()
    return network
