"""Weights of the released files and of Stable Diffusion 1.4 in our names; every key accounted for.

The released fine stage keeps three sets of projections beside the Stable Diffusion ones and patches
the attention to use them. Here each projection exists once, and loading decides which tensor it
gets:

============================  =====================================================
=========================== ours                          released, coarse stage
released, fine stage ============================
=====================================================  =========================== ``attn2.to_k``,
``to_v``      mapper ``<layer>_to_k`` (there called ``to_k_global``)  the same ``attn1.to_k``,
``to_v``      UNet ``attn1.to_k``                                    mapper ``<layer>_to_k_new``
``attn1.to_k_image``, ...     (none)                                                 mapper
``<layer>_to_k_exemplar`` ============================
=====================================================  ===========================

``<layer>`` is the UNet's module name with ``_`` for ``.``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from torch import Tensor, nn

from vbbench.errors import WeightsError
from vbbench.networks.unet.config import UNetConfig
from vbbench.networks.unet.unet import VideoUNet

Stage = Literal["text", "coarse", "fine"]
StateDict = dict[str, Tensor]

_KV = re.compile(r"(?P<layer>.+\.attn(?P<kind>[12]))\.to_(?P<kv>[kv])\.weight")
_MAPPER_LEVEL = re.compile(r"(mapping(?:_patch)?)_(\d+)\.(.+)")
_NOT_IN_STABLE_DIFFUSION = (".attn_temp.", ".norm_temp.", "watermark_")


# --- loading
# ----------------------------------------------------------------------------------------------------------


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    may_lack: Collection[str] = (),
    assign: bool = False,
) -> None:
    """Copy weights into a module, refusing anything that does not fit.

    Args:
        module: where to.
        state: the weights.
        source: named in the error.
        may_lack: parts of keys that the weights need not hold.
        assign: the tensors become the module's own, whatever it held, instead of being copied.
    Raises:
        WeightsError: names every missing, unexpected and misshapen key.
    """
    wanted = module.state_dict()
    missing = [
        key for key in wanted if key not in state and not any(part in key for part in may_lack)
    ]
    unexpected = [key for key in state if key not in wanted]
    misshapen = [
        f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    lists = (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
    problems = [f"{len(keys)} {what}: {', '.join(keys)}" for what, keys in lists if keys]
    if problems:
        raise WeightsError(f"the weights of {source} do not fit: {'; '.join(problems)}")
    module.load_state_dict(state, strict=False, assign=assign)


# --- names
# ------------------------------------------------------------------------------------------------------------


def config_from_diffusers(
    config: Mapping[str, Any], *, watermark_removal: bool, injection: bool
) -> UNetConfig:
    """Our configuration from a diffusers UNet's (its ``attention_head_dim`` is the *number* of
    heads in SD 1.4)."""
    widths = tuple(config["block_out_channels"])
    types = config.get("down_block_types", ["CrossAttn"] * (len(widths) - 1) + [""])
    return UNetConfig(
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        block_out_channels=widths,
        layers_per_block=config["layers_per_block"],
        attention_levels=tuple("CrossAttn" in name for name in types),
        num_heads=config["attention_head_dim"],
        cross_attention_dim=config["cross_attention_dim"],
        norm_num_groups=config["norm_num_groups"],
        watermark_widths=(widths[0], widths[1], widths[1]) if watermark_removal else None,
        injection=injection,
    )


def unet_from_released(
    unet: Mapping[str, Tensor], mapper: Mapping[str, Tensor] | None, stage: Stage
) -> StateDict:
    """The released UNet in our names, with the projections of a stage.

    Args:
        unet: content of the released UNet file (``ema_unet``).
        mapper: content of the released mapper file (``ema``), which holds the tuned projections;
            None for stage "text".
        stage: "text": before VideoBooth's training; "coarse": text K,V tuned; "fine": with
            attention injection.
    Raises:
        WeightsError: the mapper lacks a projection.
    """
    ours = dict(unet)
    if stage == "text":
        return ours
    tuned = mapper or {}
    for key in unet:
        match = _KV.fullmatch(key)
        if match is None:
            continue
        layer, kv = match["layer"], match["kv"]
        flat = f"{layer.replace('.', '_')}_to_{kv}"
        if match["kind"] == "2":
            ours[key] = _take(tuned, f"{flat}.weight")
        elif stage == "fine":
            ours[key] = _take(tuned, f"{flat}_new.weight")
            ours[f"{layer}.to_{kv}_image.weight"] = _take(tuned, f"{flat}_exemplar.weight")
    return ours


def mapper_from_released(mapper: Mapping[str, Tensor]) -> StateDict:
    """The released mapper in our names, without the projections that belong to the UNet."""
    renamed = {_MAPPER_LEVEL.sub(r"\1.\2.\3", key): value for key, value in mapper.items()}
    return {key: value for key, value in renamed.items() if key.startswith("mapping")}


def to_released(
    unet: Mapping[str, Tensor], mapper: Mapping[str, Tensor]
) -> tuple[StateDict, StateDict]:
    """Our weights as the contents of the two released files (UNet, mapper), for use with the
    released code.

    Projections that the released code replaces keep their place in the UNet file, with the tuned
    values.
    """
    released_mapper = {
        re.sub(r"(mapping(?:_patch)?)\.(\d+)\.", r"\1_\2.", key): value
        for key, value in mapper.items()
    }
    fine = any(".to_k_image." in key for key in unet)
    for key, value in unet.items():
        layer, _, name = key.removesuffix(".weight").rpartition(".")
        flat = layer.replace(".", "_")
        if layer.endswith(".attn2") and name in ("to_k", "to_v"):
            released_mapper[f"{flat}_{name}.weight"] = value
        elif fine and layer.endswith(".attn1") and name in ("to_k", "to_v"):
            released_mapper[f"{flat}_{name}_new.weight"] = value
        elif name in ("to_k_image", "to_v_image"):
            released_mapper[f"{flat}_{name.replace('image', 'exemplar')}.weight"] = value
    released_unet = {
        key: value
        for key, value in unet.items()
        if ".to_k_image." not in key and ".to_v_image." not in key
    }
    return released_unet, released_mapper


def load_stable_diffusion(
    unet: VideoUNet, state: Mapping[str, Tensor], *, source: str = "Stable Diffusion"
) -> None:
    """Start a video UNet from an image one: temporal attention and watermark removal begin as
    no-ops.

    Raises:
        WeightsError: keys are missing, unexpected or misshapen.
    """
    lacking = (*_NOT_IN_STABLE_DIFFUSION, ".to_k_image.", ".to_v_image.")
    load_strictly(unet, state, source=source, may_lack=lacking)
    for name, module in unet.named_modules():
        if name.endswith("attn_temp.to_out.0") or name == "watermark_zero_out":
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    for attention in unet.cross_frame_attentions():
        attention.reset_injection()


def clip_text_from_released(state: Mapping[str, Tensor]) -> StateDict:
    """A CLIP text model's weights without the ``text_model.`` level that transformers 5 no longer
    has."""
    return {
        key.removeprefix("text_model."): value
        for key, value in state.items()
        if not key.endswith(".position_ids")
    }


def _take(state: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise WeightsError(f"the released mapper lacks {key}")
    return state[key]
