"""The video and the image prompt on their way through the network, layer by layer.

The image prompt goes beside the video, with as many frames. In every transformer the video reads
its features before its own transformer; the transformer of the video runs the image prompt's block
too and throws the result away, and then the image prompt's own transformer runs. (So does the
released code, `models/attention.py` and `sample_scripts/sample.py` of Vchitect/VideoBooth at
d10e06f; no line of it is here.) Dropouts of 0, divisions by 1 and a second copy of the batch that
never reaches the network are left out: the yardstick is the released code at its best.

Shape suffixes: B batch, T frames, C channels, H/W latent pixels, L tokens of a frame, M tokens of
the image prompt, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn

from vbbench.networks.unet.blocks import DownBlock, MidBlock, UpBlock
from vbbench.networks.unet.transformer import Transformer, TransformerBlock
from vbbench.networks.unet.unet import VideoUNet
from vbbench.profiling.released import attention, layers
from vbbench.profiling.released.attention import Text
from vbbench.profiling.released.removals import Removals

KINDS = (
    "resnets",
    "watermark removal",
    "cross-frame attention",
    "text attention",
    "feed-forward",
    "temporal attention",
)
"""What the time of a step is told by; the rest (samplers, projections, normalisations, residuals,
output) is ``other``."""

Scope = Callable[[str], AbstractContextManager[object]]
"""Opens what is counted as one kind of layer."""


@dataclass
class Way:
    """How a pass is computed, and what tells its parts apart: ``scope`` is opened around each layer
    of the kinds in `KINDS`."""

    removals: Removals = field(default_factory=Removals)
    scope: Scope = lambda kind: nullcontext()


@dataclass
class Stream:
    """The video or the image prompt on its way through the network.

    Attributes:
        x: features, (B, C, T, H, W).
        emb_BD: time embedding.
        text: what it reads of its text.
        skips: features kept for the way up.
    """

    x: Tensor
    emb_BD: Tensor
    text: Text
    skips: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Layer:
    """One layer on the way through the network.

    Attributes:
        kind: resnet, transformer, down or up.
        module: its weights.
        takes_skip: joins the last skip to its input.
        leaves_skip: keeps its result for the way up.
    """

    kind: str
    module: nn.Module
    takes_skip: bool = False
    leaves_skip: bool = False


def way_through(down: nn.ModuleList, middle: MidBlock | None, up: nn.ModuleList) -> Iterator[Layer]:
    """The layers in the order they run in."""
    for block in cast(Iterable[DownBlock], down):
        for index, resnet in enumerate(block.resnets):
            yield Layer("resnet", resnet, leaves_skip=not block.has_attention)
            if block.has_attention:
                yield Layer("transformer", block.attentions[index], leaves_skip=True)
        for layer in block.downsamplers or ():
            yield Layer("down", layer, leaves_skip=True)
    if middle is not None:
        yield Layer("resnet", middle.resnets[0])
        yield Layer("transformer", middle.attentions[0])
        yield Layer("resnet", middle.resnets[1])
    for above in cast(Iterable[UpBlock], up):
        for index, resnet in enumerate(above.resnets):
            yield Layer("resnet", resnet, takes_skip=True)
            if above.has_attention:
                yield Layer("transformer", above.attentions[index])
        for layer in above.upsamplers or ():
            yield Layer("up", layer)


def run_features(unet: VideoUNet, video: Stream, prompt: Stream | None, way: Way) -> None:
    """Both streams through everything but the watermark removal and the output layers."""
    streams = [video] if prompt is None else [video, prompt]
    for stream in streams:
        stream.x = layers.conv(unet.conv_in, stream.x)
        stream.skips.append(stream.x)
    program = list(way_through(unet.down_blocks, unet.mid_block, unet.up_blocks))
    last_read = max(index for index, layer in enumerate(program) if layer.kind == "transformer")
    for index, layer in enumerate(program):
        goes_on = not (way.removals.unread_image_layers and index >= last_read)
        if layer.kind == "transformer":
            _transform(layer.module, streams, goes_on, way)  # type: ignore[arg-type]
        if not goes_on:
            streams = [video]
        for stream in streams:
            if layer.kind != "transformer":
                apply(layer, stream, way)
            elif layer.leaves_skip:
                stream.skips.append(stream.x)


def apply(layer: Layer, stream: Stream, way: Way) -> None:
    """A layer that looks at one stream alone."""
    if layer.kind == "resnet":
        x = (
            layers.join(stream.x, stream.skips.pop(), way.removals)
            if layer.takes_skip
            else stream.x
        )
        with way.scope("resnets"):
            stream.x = layers.resnet(layer.module, x, stream.emb_BD, way.removals)  # type: ignore[arg-type]
    elif layer.kind == "down":
        stream.x = layers.downsample(layer.module, stream.x)  # type: ignore[arg-type]
    else:
        height, width = stream.skips[-1].shape[-2:]
        stream.x = layers.upsample(layer.module, stream.x, (height, width), way.removals)  # type: ignore[arg-type]
    if layer.leaves_skip:
        stream.skips.append(stream.x)


def _transform(layer: Transformer, streams: list[Stream], goes_on: bool, way: Way) -> None:
    """The video's transformer, which reads the image prompt before the image prompt's own
    transformer runs."""
    block, removals = cast(TransformerBlock, layer.transformer_blocks[0]), way.removals
    video, prompts = streams[0], streams[1:]
    x = layers.to_tokens(layer, video.x, removals)
    images = [layers.to_tokens(layer, prompt.x, removals) for prompt in prompts]
    normed = [block.norm1(image) for image in images]
    x = _block(block, x, block.norm1(x), normed[0] if normed else None, video.text, way)
    video.x = layers.from_tokens(layer, x, video.x, removals)
    for prompt, image, image_normed in zip(prompts, images, normed, strict=True):
        if not removals.dead_blocks:
            _block(block, image, block.norm1(image), None, prompt.text, way)
        if goes_on:
            if not removals.dead_blocks:
                image = layers.to_tokens(layer, prompt.x, removals)
                image_normed = block.norm1(image)
            image = _block(block, image, image_normed, None, prompt.text, way)
            prompt.x = layers.from_tokens(layer, image, prompt.x, removals)


def _block(
    block: TransformerBlock,
    x_BTLC: Tensor,
    normed_BTLC: Tensor,
    image_BTMC: Tensor | None,
    text: Text,
    way: Way,
) -> Tensor:
    removals, batch, frames = way.removals, len(x_BTLC), x_BTLC.shape[1]
    with way.scope("cross-frame attention"):
        out = attention.cross_frame(block.attn1, normed_BTLC, image_BTMC, removals)
    x = x_BTLC + out
    normed = block.norm2(x)
    with way.scope("text attention"):
        out = attention.text(block.attn2, normed, text, removals)
    x = x + out
    normed = block.norm3(x)
    with way.scope("feed-forward"):
        out = block.ff(normed)
    x = x + out
    with way.scope("temporal attention"):
        if removals.temporal_copies:
            return x + attention.temporal(block.attn_temp, block.norm_temp(x), removals)
        moved = x.transpose(1, 2).flatten(0, 1).contiguous()
        moved = moved + attention.temporal(block.attn_temp, block.norm_temp(moved), removals)
        return moved.unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch, frames, *x.shape[2:])
