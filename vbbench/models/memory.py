"""How much memory sampling will take, from sizes alone, held against what is free.

GB are 10^9 bytes. Estimates are of the most that is held at once. Measured on a CPU at the real
size, with random weights (resident memory, loading included): in float32 8.0 GB for 4 frames and
8.3 for 16 (estimates 7.8 and 8.0), in bfloat16 4.9 and 5.1 (both 4.7). The figures for GPUs follow
from the same sizes and were not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from vbbench.models.latent_video import LatentVideoModel
from vbbench.models.recipes import build_model
from vbbench.models.videobooth.model import VideoBooth
from vbbench.networks.loading import META
from vbbench.networks.placement import parts_of
from vbbench.networks.unet.unet import UNetConfig
from vbbench.networks.vae import VaeCodec

if TYPE_CHECKING:
    from vbbench.types import Recipe, SamplingParams

GIGABYTE = 1e9
UNET_WIDTHS = 18
"""A feed-forward layer's tensors that are alive at once, in widths of the UNet's first level:
input, norm, 8 + 4 + 4 of the gated layer."""
DECODER_WIDTHS = 8
"""Maps of an autoencoder's first width that are alive at once at full resolution."""
CGROUP = Path("/sys/fs/cgroup")
OVERHEAD = {"cpu": 1.0e9, "cuda": 0.3e9}
"""Libraries and their workspaces."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that sampling with a model takes.

    Attributes:
        weights: of each part.
        denoising, decoding: what the UNet and the autoencoder need to work.
        kept: keys and values of image prompts, kept over steps and prompts.
        overhead: of libraries.
        offload: whether one part at a time is on the device.
    """

    weights: Mapping[str, int]
    denoising: float
    decoding: float
    kept: float
    overhead: float
    offload: bool

    @property
    def all_weights(self) -> int:
        """Of all parts."""
        return sum(self.weights.values())

    @property
    def total(self) -> float:
        """The most that is on the device at once."""
        if not self.offload:
            return self.all_weights + max(self.denoising, self.decoding) + self.kept + self.overhead
        decoder = self.weights.get("autoencoder", 0) + self.decoding
        others = (
            max(size for part, size in self.weights.items() if part != "autoencoder")
            + self.denoising
        )
        return max(decoder, others) + self.kept + self.overhead

    def __str__(self) -> str:
        weights = f"weights {_gb(self.all_weights)}{' of which one part at a time' if self.offload else ''}"
        work = max(self.denoising, self.decoding) + self.kept
        return f"about {_gb(self.total)} ({weights}, activations {_gb(work)}, libraries {_gb(self.overhead)})"


def _gb(size: float) -> str:
    return f"{size / GIGABYTE:.1f} GB"


def estimate_memory(
    recipe: Recipe, scale: str, params: SamplingParams, device: str
) -> MemoryEstimate | None:
    """What sampling takes; None for models of other kinds, whose sizes are not known. Reads
    configurations and no weights.

    Args:
        device: ``cpu`` or ``cuda``.
    Raises:
        RecipeError, WeightsError: a model that cannot be built.
    """
    model = build_model(recipe, scale, META)
    if not isinstance(model, LatentVideoModel):
        return None
    parts = parts_of(model.network, model.base, model.codec)
    size = torch.finfo(model.dtype).bits // 8
    weights = {
        name: _bytes(part, 4 if name == "autoencoder" else size) for name, part in parts.items()
    }
    cells = (params.size // model.codec.factor) ** 2
    clips = params.batch_size
    branches = (
        2 if device == "cuda" and params.guidance_scale != 1.0 else 1
    )  # guidance's branches are one batch there
    denoising = (
        clips * branches * params.num_frames * cells * _unet_widths(model.base.unet.config) * size
    )
    frames = 1 if model.memory.vae_slicing else clips * params.num_frames
    decoding = (
        frames * params.size**2 * 4 * _decoder_channels(model.codec)
        + clips * params.num_frames * params.size**2 * 3 * 8
    )
    kept = _kept(model, params, cells, size)
    return MemoryEstimate(
        weights,
        denoising,
        decoding,
        kept,
        OVERHEAD[device],
        model.memory.offload and device == "cuda",
    )


def _bytes(part: nn.Module, size: int) -> int:
    return size * sum(parameter.numel() for parameter in part.parameters())


def _unet_widths(config: UNetConfig) -> float:
    """Channels that are alive at once at the first level, a cell and frame: its widest layer, and
    the skips of all levels."""
    widths = config.block_out_channels
    skips = sum(
        (config.layers_per_block + 1) * width / 4**level for level, width in enumerate(widths)
    )
    return UNET_WIDTHS * widths[0] + skips


def _decoder_channels(codec: object) -> float:
    return (
        DECODER_WIDTHS * codec.vae.config.block_out_channels[0]
        if isinstance(codec, VaeCodec)
        else 6
    )


def _kept(model: LatentVideoModel, params: SamplingParams, cells: int, size: int) -> float:
    """Of one image an item, up to the cache's budget."""
    if not isinstance(model, VideoBooth) or not model.network.injects:
        return 0.0
    config = model.base.unet.config
    layers = 2 * config.layers_per_block + 1
    step = sum(
        2 * layers * width * cells / 4**level * size
        for level, (width, attends) in enumerate(
            zip(config.block_out_channels, config.attention_levels, strict=True)
        )
        if attends
    )
    return params.batch_size * (
        step + min(step * params.num_inference_steps, model.speed.image_cache_mb * 2**20)
    )


def free_memory(device: str) -> float:
    """Bytes that a device has left; of the computer's memory what this container may still take."""
    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    import psutil

    free = float(psutil.virtual_memory().available)
    try:
        limit, used = (
            (CGROUP / f"memory.{name}").read_text(encoding="ascii").strip()
            for name in ("max", "current")
        )
        return min(free, float(int(limit) - int(used)))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return free


def what_helps(
    estimate: MemoryEstimate,
    recipe: Recipe,
    scale: str,
    params: SamplingParams,
    device: str,
    free: float,
) -> str:
    """A sentence where an estimate is above what is free, with what would help; empty where it
    fits."""
    if estimate.total <= free:
        return ""
    from vbbench.models.evaluation import asked

    wanted: dict[str, tuple[Recipe, SamplingParams]] = {}
    if not recipe.fitted:
        wanted["--dtype bfloat16"] = asked(recipe, scale, dtype="bfloat16"), params
        if device == "cuda":
            wanted["--offload"] = asked(recipe, scale, offload=True), params
            wanted["both"] = asked(recipe, scale, dtype="bfloat16", offload=True), params
    if params.batch_size > 1:
        wanted["--batch-size 1"] = recipe, replace(params, batch_size=1)
    found = {
        words: estimate_memory(changed, scale, those, device)
        for words, (changed, those) in wanted.items()
    }
    helps = [
        f"{words} {_gb(less.total)}"
        for words, less in found.items()
        if less is not None and less.total < 0.95 * estimate.total
    ]
    advice = (
        f"less is needed with {', '.join(helps)}, or with fewer frames"
        if helps
        else "fewer frames need less"
    )
    place = "on the GPU" if device == "cuda" else "in memory"
    return f"{recipe.name} will not fit: it needs {estimate}, and {_gb(free)} are free {place}; {advice}."
