"""The published files that scale sd14 is made of: what is in each, under which names, and what it
is called here.

===================  ===================================================
===================================== kind                 published in
here ===================  ===================================================
===================================== ``unet``             VideoBooth's
``watermark_remove_module.pt``          ``base``: ``unet.*`` ``text-encoder``     Stable Diffusion's
``text_encoder``, or all of CLIP  ``base``: ``text_encoder.*`` ``mapper``           VideoBooth's
``mapper.pt``                           ``videobooth`` (`checkpoint`'s table) ``codec``
the autoencoder's file                               ``codec``: ``vae.*`` ``image-encoder``    CLIP
ViT-L/14                                        ``image-encoder``: ``vision.*`` ===================
===================================================  =====================================

Every key and shape is that of the class here, built on the meta device; nothing is listed twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vbbench.errors import WeightsError
from vbbench.networks import checkpoint, sd14
from vbbench.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from vbbench.networks.network import NetworkConfig, TextToVideoNetwork
from vbbench.networks.unet.coarse import Mapper
from vbbench.networks.vae import VaeCodec
from vbbench.networks.videobooth import COARSE, FINE, VideoBoothNetwork
from vbbench.networks.weights.tensor_files import FLOATING

Table = dict[str, Tensor]

UNET, TEXT_ENCODER, MAPPER, CODEC, IMAGE_ENCODER = (
    "unet",
    "text-encoder",
    "mapper",
    "codec",
    "image-encoder",
)
KINDS = {
    UNET: "VideoBooth's UNet",
    TEXT_ENCODER: "the text encoder",
    MAPPER: "VideoBooth's mapper",
    CODEC: "the autoencoder",
    IMAGE_ENCODER: "the image encoder",
}
_SHOWN = 5
_OLD_ATTENTION = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
_TOWERS = {TEXT_ENCODER: "text_model.", IMAGE_ENCODER: "vision_model."}
_BETWEEN_TOWERS = ("visual_projection.weight", "text_projection.weight", "logit_scale")


@dataclass(frozen=True)
class Sizes:
    """The configurations that files are held against.

    Attributes:
        network: of text encoder and UNet.
        image_encoder: of CLIP's vision tower.
        vae: of diffusers' ``AutoencoderKL``.
        mapper_width: inner width of the mapper; None: the image encoder's, as released.
    """

    network: NetworkConfig
    image_encoder: ImageEncoderConfig
    vae: Mapping[str, Any]
    mapper_width: int | None = None

    @cached_property
    def network_and_trained(self) -> tuple[Table, Table]:
        """Keys and shapes (tensors on the meta device) of VideoBooth's whole network, and of what
        its fine stage trains of it."""
        with torch.device("meta"):
            network = VideoBoothNetwork(
                TextToVideoNetwork(self.network), ImageEncoder(self.image_encoder), FINE
            )
            if self.mapper_width is not None:
                width = self.image_encoder.width
                network.mapper = Mapper(
                    network.image_encoder.num_levels,
                    width,
                    self.mapper_width,
                    self.network.text.width,
                )
        return dict(network.state_dict()), {
            name: parameter.detach() for name, parameter in network.trained()
        }


def real_sizes() -> Sizes:
    """Those of scale sd14."""
    known = sd14.configurations()
    return Sizes(
        NetworkConfig.from_dict(known["base"]),
        ImageEncoderConfig.from_dict(known["image-encoder"]),
        known["codec"]["vae"],
    )


# --- what fits
# --------------------------------------------------------------------------------------------------------


def trained_table(sizes: Sizes, stage: str) -> Table:
    """Keys and shapes (tensors on the meta device) of what the stage ``coarse`` or ``fine`` trains,
    by our names."""
    trained = sizes.network_and_trained[1]
    return {key: value for key, value in trained.items() if stage == FINE or ".attn1." not in key}


def released_table(sizes: Sizes, kind: str, stage: str = FINE) -> Table:
    """Keys and shapes (tensors on the meta device) of a published file, by its publisher's names.

    Args:
        sizes: the configurations.
        kind: one of `KINDS`.
        stage: of the mapper's file: ``fine`` as released, ``coarse`` as the first stage's training
            writes it.
    """
    if kind == MAPPER:
        return mapper_file(trained_table(sizes, stage))
    if kind == CODEC:
        with torch.device("meta"):
            return _level(VaeCodec(sizes.vae).state_dict(), "vae.", "")
    network = sizes.network_and_trained[0]
    if kind == UNET:
        return {
            key: value
            for key, value in _level(network, "base.unet.", "").items()
            if not key.endswith("_image.weight")
        }
    own = {TEXT_ENCODER: "base.text_encoder.", IMAGE_ENCODER: "image_encoder.vision."}[kind]
    return _level(network, own, _TOWERS[kind])


def _level(state: Mapping[str, Tensor], own: str, theirs: str) -> Table:
    """What lies under one name, under another."""
    return {
        theirs + key.removeprefix(own): value for key, value in state.items() if key.startswith(own)
    }


def misfits(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What is wrong with a table: keys that are missing, unexpected, misshapen or of a wrong kind
    of number; empty where all fits."""
    both = [key for key in wanted if key in found]
    wrong = {
        "missing": [key for key in wanted if key not in found],
        "unexpected": [key for key in found if key not in wanted],
        "misshapen": [
            f"{key} {tuple(found[key].shape)} for {tuple(wanted[key].shape)}"
            for key in both
            if found[key].shape != wanted[key].shape
        ],
        "of a dtype that is not float32, float16 or bfloat16": [
            f"{key} {str(found[key].dtype).removeprefix('torch.')}"
            for key in both
            if found[key].dtype not in FLOATING
        ],
    }
    return "; ".join(f"{len(keys)} {what}: {_first(keys)}" for what, keys in wrong.items() if keys)


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (
        f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    )


# --- what a file is
# ---------------------------------------------------------------------------------------------------


def kinds_of(keys: Iterable[str]) -> set[str]:
    """Which kinds' tensors a file holds, from its keys; all of CLIP is two of them."""
    keys = set(keys)
    kinds = set()
    if "conv_in.weight" in keys and any(".attn_temp." in key for key in keys):
        kinds.add(UNET)
    if any(key.startswith(("mapping_0.", "mapping_patch_0.")) for key in keys):
        kinds.add(MAPPER)
    if keys & {"text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight"}:
        kinds.add(TEXT_ENCODER)
    if keys & {"vision_model.embeddings.class_embedding", "embeddings.class_embedding"}:
        kinds.add(IMAGE_ENCODER)
    if {"encoder.conv_in.weight", "decoder.conv_in.weight"} <= keys:
        kinds.add(CODEC)
    return kinds


def what_else(keys: Iterable[str]) -> str:
    """A word for a file that is none of `KINDS`."""
    keys = set(keys)
    if any(key.startswith(("base.unet.", "unet.", "vae.", "vision.", "mapper.")) for key in keys):
        return "weights that have vbbench's own names already"
    if "conv_in.weight" in keys and any(key.startswith("down_blocks.") for key in keys):
        return "an image UNet, without VideoBooth's temporal attention"
    return f"nothing that is known here (its first key is {min(keys)!r})"


def as_published(kind: str, tensors: Mapping[str, Tensor]) -> Table:
    """A file's tensors under the names of `released_table`.

    Older autoencoders name their attention's layers otherwise; CLIP's towers come with position
    numbers, which are no weights, and with each other; a tower alone may lack the level that says
    which it is.
    """
    if kind == CODEC:
        return {_modern(key): value for key, value in tensors.items()}
    if kind not in _TOWERS:
        return dict(tensors)
    tower, others = _TOWERS[kind], tuple(name for other, name in _TOWERS.items() if other != kind)
    if not any(key.startswith(tower) for key in tensors):
        tensors = {tower + key: value for key, value in tensors.items()}
    kept = (
        key
        for key in tensors
        if not key.endswith(".position_ids")
        and not key.startswith(others)
        and key not in _BETWEEN_TOWERS
    )
    return {key: tensors[key] for key in kept}


def _modern(key: str) -> str:
    if ".attentions." not in key:
        return key
    return re.sub(r"\.(query|key|value|proj_attn)\.", lambda match: _OLD_ATTENTION[match[0]], key)


def stage_of(mapper: Iterable[str]) -> str:
    """The stage whose training a mapper's file comes from: with the fine stage's projections or
    without."""
    return (
        FINE if any(key.endswith(("_new.weight", "_exemplar.weight")) for key in mapper) else COARSE
    )


# --- names
# ------------------------------------------------------------------------------------------------------------


def our_names(kind: str, tensors: Mapping[str, Tensor]) -> Table:
    """Published tensors (all kinds but the mapper) by our names."""
    ours = {UNET: "unet.", TEXT_ENCODER: "text_encoder.", CODEC: "vae.", IMAGE_ENCODER: "vision."}[
        kind
    ]
    return _level(tensors, _TOWERS.get(kind, ""), ours)


def trained_from(mapper: Mapping[str, Tensor], sizes: Sizes, stage: str) -> Table:
    """What a stage trained, by our names, from the mapper's file.

    Raises:
        WeightsError: the file lacks a projection.
    """
    wanted = trained_table(sizes, stage)
    layers = {
        key.removeprefix("base.unet."): value
        for key, value in wanted.items()
        if key.startswith("base.unet.") and "_image." not in key
    }
    unet = checkpoint.unet_from_released(layers, mapper, "fine" if stage == FINE else "coarse")
    ours = {f"base.unet.{key}": value for key, value in unet.items()}
    ours |= {
        f"mapper.{key}": value for key, value in checkpoint.mapper_from_released(mapper).items()
    }
    if wrong := misfits(ours, wanted):
        raise WeightsError(f"the mapper does not fit: {wrong}.")
    return ours


def mapper_file(trained: Mapping[str, Tensor]) -> Table:
    """The content of VideoBooth's mapper file from what was trained, by our names; the inverse of
    `trained_from`."""
    return checkpoint.to_released(
        _level(trained, "base.unet.", ""), _level(trained, "mapper.", "")
    )[1]
