"""A whole evaluation of the video UNet, and a guided step, as the released code computes them.

Shape suffixes: B batch, T frames, C channels, H/W latent pixels, S text tokens, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vbbench.networks.sampling.guidance import guided
from vbbench.networks.unet.text_attention import TextAttention
from vbbench.networks.unet.unet import ImagePromptInput, TextStates, VideoUNet
from vbbench.profiling.released import layers
from vbbench.profiling.released.attention import Text
from vbbench.profiling.released.streams import Stream, Way, apply, run_features, way_through

__all__ = ["KeptText", "StepInputs", "guided_step", "keep_text", "predict"]


@dataclass(frozen=True)
class StepInputs:
    """One denoising step's inputs.

    Attributes:
        sample_BCTHW: noised video latent.
        timestep_B: its timestep.
        text_BSD: text states of the conditional pass.
        null_text_BSD: text states of the unconditional pass, and of the image prompt where it
            brings none.
        image: noised image prompt, with as many frames as the video (as released) or one; None:
            without.
        guidance_scale: as in `guided`.
        guidance_channels: as in `guided`.
    """

    sample_BCTHW: Tensor
    timestep_B: Tensor
    text_BSD: Tensor
    null_text_BSD: Tensor
    image: ImagePromptInput | None
    guidance_scale: float = 4.0
    guidance_channels: int | None = None


@torch.no_grad()
def guided_step(
    unet: VideoUNet, inputs: StepInputs, way: Way | None = None, *, kept: KeptText | None = None
) -> Tensor:
    """The guided prediction of a step: a conditional pass with the image prompt and an
    unconditional one, apart.

    Args:
        unet: the network.
        inputs: the step's.
        way: what to leave out.
        kept: text keys and values from `keep_text`, for ``text_every_step``.
    Returns:
        (B, C, T, H, W).
    """
    way = way or Way()
    kept = kept or KeptText({}, {})
    text, null_text = Text(inputs.text_BSD, kept.text), Text(inputs.null_text_BSD, kept.null_text)
    image_text = null_text
    if (
        inputs.image is not None
        and inputs.image.text_BLD is not None
        and inputs.image.text_BLD is not inputs.null_text_BSD
    ):
        states = inputs.image.text_BLD
        image_text = Text(states.states_BSD if isinstance(states, TextStates) else states)
    cond = predict(
        unet, inputs.sample_BCTHW, inputs.timestep_B, text, inputs.image, image_text, way
    )
    uncond = predict(unet, inputs.sample_BCTHW, inputs.timestep_B, null_text, None, None, way)
    return guided(cond, uncond, inputs.guidance_scale, inputs.guidance_channels)


@dataclass(frozen=True)
class KeptText:
    """Keys and values of every text attention, for the text and for the null text."""

    text: dict[TextAttention, tuple[Tensor, Tensor]]
    null_text: dict[TextAttention, tuple[Tensor, Tensor]]


@torch.no_grad()
def keep_text(unet: VideoUNet, inputs: StepInputs) -> KeptText:
    """What a clip's steps need of its texts."""
    text, null_text = (
        {layer: (layer.to_k(x), layer.to_v(x)) for layer in unet.text_attentions()}
        for x in (inputs.text_BSD, inputs.null_text_BSD)
    )
    return KeptText(text, null_text)


@torch.no_grad()
def predict(
    unet: VideoUNet,
    sample_BCTHW: Tensor,
    timestep_B: Tensor,
    text: Text,
    image: ImagePromptInput | None = None,
    image_text: Text | None = None,
    way: Way | None = None,
) -> Tensor:
    """One evaluation of the network.

    Args:
        unet: without the miniature's additions (codes of frames, positions and places, pooled text,
            scale and shift).
        sample_BCTHW: noised video latent.
        timestep_B: its timestep.
        text: the video's.
        image: noised image prompt, or None.
        image_text: the image prompt's; None: the video's.
        way: what to leave out, and what to count.
    Returns:
        (B, C, T, H, W).
    Raises:
        ValueError: a network that the released code does not know.
    """
    _check(unet)
    way = way or Way()
    video = Stream(_layout(sample_BCTHW, way), unet.time_embedding(timestep_B), text)
    prompt = None
    if image is not None:
        prompt = Stream(
            _layout(image.latent_BCTHW, way),
            unet.time_embedding(image.timestep_B),
            image_text or text,
        )
    run_features(unet, video, prompt, way)
    x = video.x
    if unet.config.watermark_widths is not None:
        with way.scope("watermark removal"):
            marks = Stream(x, video.emb_BD, text, [x])
            for layer in way_through(unet.watermark_down_blocks, None, unet.watermark_up_blocks):
                apply(layer, marks, Way(way.removals))
            x = x + layers.pointwise(unet.watermark_zero_out, marks.x, way.removals)
    return layers.conv(
        unet.conv_out, F.silu(layers.frame_norm(unet.conv_norm_out, x, way.removals))
    )


def _check(unet: VideoUNet) -> None:
    config = unet.config
    if (
        config.frame_codes
        or config.temporal_codes
        or config.spatial_codes
        or config.pooled_text
        or config.time_scale_shift
    ):
        raise ValueError(
            "the released step knows no codes of frames or places, no pooled text and no scale and shift"
        )


def _layout(x_BCTHW: Tensor, way: Way) -> Tensor:
    if not way.removals.planar_layout:
        return x_BCTHW
    frames = layers.frames_of(x_BCTHW).contiguous(memory_format=torch.channels_last)
    return layers.video_of(frames, len(x_BCTHW))
