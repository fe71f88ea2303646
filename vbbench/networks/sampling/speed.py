"""How a UNet is evaluated while it samples: switches that change no number beyond rounding, and
approximations that do.

A recipe sets them in a scale's tables ``speed`` and ``approximate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from vbbench.attention import BACKENDS, load_backend
from vbbench.errors import RecipeError
from vbbench.networks.unet.blocks import ResnetBlock
from vbbench.networks.unet.transformer import (
    CrossFrameAttention,
    TemporalAttention,
    TransformerBlock,
)
from vbbench.networks.unet.unet import VideoUNet

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

COMPILED = (ResnetBlock, TransformerBlock)
COMPILED_SHAPES = 512


@dataclass(frozen=True)
class Speed:
    """Exact switches: each step's latent stays within 1e-4 of that step's maximum in float32.

    Attributes:
        attention: backend of the injection attention; empty: by the table of
            `vbbench.attention.dispatch`.
        text_once: keys and values of the texts are made once a clip instead of once a step.
        batched_guidance: guidance's two branches are one batch.
        fused_qkv: queries, keys and values are one product.
        channels_last: convolution weights lie as the pixels do.
        image_cache_mb: memory for what image prompts leave behind at each step, kept over the
            prompts of one image; 0: none is kept.
        compiled: blocks are compiled by torch.compile, one by one; the first evaluation of each
            shape takes long.
        cuda_graph: an evaluation is captured once a shape and replayed (CUDA).
    """

    attention: str = ""
    text_once: bool = True
    batched_guidance: bool = False
    fused_qkv: bool = False
    channels_last: bool = True
    image_cache_mb: float = 256.0
    compiled: bool = False
    cuda_graph: bool = False


@dataclass(frozen=True)
class Approximate:
    """Switches that change the videos, off by default; fewer steps are a sampling parameter.

    Attributes:
        reuse_features: the inner levels are evaluated every so many steps, and their last result is
            used in between (1: always).
    """

    reuse_features: int = 1


_Settings = TypeVar("_Settings", bound="DataclassInstance")


def speed_of(settings: Mapping[str, Any], device: str = "cpu") -> Speed:
    """The table ``speed`` of a recipe's scale. Guidance's branches are one batch by default where
    that pays: not on a CPU.

    Raises:
        RecipeError: unknown keys or backends, values of another type or below 0, or what the device
            cannot do.
    """
    speed = read_table(Speed(batched_guidance=device == "cuda"), "speed", settings)
    if speed.attention and speed.attention not in BACKENDS:
        raise RecipeError(
            f"[speed] attention: there is no backend {speed.attention!r}; there are {', '.join(BACKENDS)}."
        )
    if device == "cpu":
        _check_cpu(speed)
    if speed.image_cache_mb < 0:
        raise RecipeError(
            f"[speed] image_cache_mb must be at least 0, not {speed.image_cache_mb:g}."
        )
    return speed


def _check_cpu(speed: Speed) -> None:
    """What runs on a GPU only is refused now, not at each video."""
    if speed.cuda_graph:
        raise RecipeError("[speed] cuda_graph needs a GPU: CUDA graphs are not for a CPU.")
    reason = (
        load_backend(speed.attention).refusal(torch.zeros(1, 1, 1, 1, 8))
        if speed.attention
        else None
    )
    if reason is not None:
        raise RecipeError(
            f"[speed] attention: the backend {speed.attention!r} cannot be used here: {reason}."
        )


def approximate_of(settings: Mapping[str, Any]) -> Approximate:
    """The table ``approximate`` of a recipe's scale.

    Raises:
        RecipeError: unknown keys, values of another type or below 1, or with CUDA graphs.
    """
    approximate = read_table(Approximate(), "approximate", settings)
    if approximate.reuse_features < 1:
        raise RecipeError(
            f"[approximate] reuse_features must be at least 1, not {approximate.reuse_features}."
        )
    if approximate.reuse_features > 1 and settings.get("speed", {}).get("cuda_graph"):
        raise RecipeError(
            "[approximate] reuse_features and [speed] cuda_graph exclude each other: not every step is the same."
        )
    return approximate


def read_table(default: _Settings, table: str, settings: Mapping[str, Any]) -> _Settings:
    """A table of a recipe's scale as a record, its defaults those of ``default`` (a frozen
    dataclass).

    Raises:
        RecipeError: unknown keys, or values of another type.
    """
    values = settings.get(table, {})
    known = {field.name: type(getattr(default, field.name)) for field in fields(default)}
    for key, value in values.items() if isinstance(values, Mapping) else [(table, values)]:
        if key not in known:
            raise RecipeError(f"[{table}] has no setting {key!r}; there are {', '.join(known)}.")
        wanted = (int, float) if known[key] is float else (known[key],)
        if not isinstance(value, wanted) or (isinstance(value, bool) and known[key] is not bool):
            raise RecipeError(
                f"[{table}] {key} must be of type {known[key].__name__}, not {value!r}."
            )
    return replace(default, **values)


def apply_speed(unet: VideoUNet, speed: Speed) -> VideoUNet:
    """Set what a UNet does by itself; the rest is up to the sampling around it. Returns the
    UNet."""
    for module in unet.modules():
        if isinstance(module, CrossFrameAttention | TemporalAttention):
            module.fused_qkv = speed.fused_qkv
    for attention in unet.cross_frame_attentions():
        attention.backend = speed.attention or None
    unet.to(memory_format=torch.channels_last if speed.channels_last else torch.contiguous_format)
    if speed.compiled:
        for name in BACKENDS:
            load_backend(name)
        # The limit is for each function, over all instances of a class; a UNet has dozens, of many
        # shapes.
        torch._dynamo.config.recompile_limit = max(
            COMPILED_SHAPES, torch._dynamo.config.recompile_limit
        )
        for module in unet.modules():
            if isinstance(module, COMPILED):
                module.compile(dynamic=False)
    return unet
