"""The three attentions of a transformer block, as released or with what need not be done removed.

They read the weights of the network's own layers. Shape suffixes: B batch, T frames, L tokens of a
frame, M tokens of the image prompt's frame, S text tokens, C channels, D text width, N heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vbbench.attention import attention, injection_attention
from vbbench.attention.released import across_frames, attend, inject
from vbbench.networks.unet.text_attention import TextAttention
from vbbench.networks.unet.transformer import CrossFrameAttention, TemporalAttention
from vbbench.profiling.released.removals import Removals

__all__ = ["Text", "cross_frame", "temporal", "text"]


@dataclass(frozen=True)
class Text:
    """What a pass reads of its text.

    Attributes:
        states_BSD: text states.
        kept: keys and values of a layer, projected in an earlier step, (B, S, C) each; empty: none
            are kept.
    """

    states_BSD: Tensor
    kept: dict[TextAttention, tuple[Tensor, Tensor]] = field(default_factory=dict)


def cross_frame(
    layer: CrossFrameAttention, x_BTLC: Tensor, image_BTMC: Tensor | None, removals: Removals
) -> Tensor:
    """Attention of every frame to [frame 0; previous frame], (B, T, L, C); an image prompt first
    updates frame 0's values."""
    q, k, v = (_heads(to(x_BTLC), layer.num_heads) for to in (layer.to_q, layer.to_k, layer.to_v))
    image = None
    if image_BTMC is not None:
        if layer.to_k_image is None or layer.to_v_image is None:
            raise RuntimeError("this network has no injection projections")
        read = image_BTMC[:, :1] if removals.unread_image_keys else image_BTMC
        image = tuple(
            _heads(to(read), layer.num_heads)[:, 0] for to in (layer.to_k_image, layer.to_v_image)
        )
    if removals.cross_frame_copies:
        out = injection_attention(q, k, v, *(image or (None, None)), backend=removals.backend)
    else:
        v_first = v[:, 0] if image is None else inject(q[:, 0], k[:, 0], v[:, 0], *image)
        out = (_without_doubles if removals.doubled_keys else across_frames)(q, k, v, v_first)
    return layer.to_out[0](out.flatten(-2))


def _without_doubles(
    q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
) -> Tensor:
    """The released formulation, except that frames 0 and 1 read frame 0 once."""
    frames, k_first = q_BTLND.shape[1], k_BTLND[:, 0]
    early = attend(q_BTLND[:, :2].flatten(1, 2), k_first, v_first_BLND).unflatten(
        1, (min(frames, 2), -1)
    )
    if frames <= 2:
        return early
    pairs = ((k_first, k_BTLND), (v_first_BLND, v_BTLND))
    k, v = (
        torch.cat([first.unsqueeze(1).expand_as(x[:, 1:-1]), x[:, 1:-1]], dim=2).flatten(0, 1)
        for first, x in pairs
    )
    late = attend(q_BTLND[:, 2:].flatten(0, 1), k, v).unflatten(0, (-1, frames - 2))
    return torch.cat([early, late], dim=1)


def text(layer: TextAttention, x_BTLC: Tensor, read: Text, removals: Removals) -> Tensor:
    """Attention of every pixel to the text, (B, T, L, C)."""
    frames = x_BTLC.shape[1]
    once = removals.text_repeats
    states = read.states_BSD if once else read.states_BSD.repeat_interleave(frames, 0)
    q = _heads(layer.to_q(x_BTLC).flatten(*(1, 2) if once else (0, 1)), layer.num_heads)
    kept = read.kept.get(layer) if removals.text_every_step else None
    k, v = (layer.to_k(states), layer.to_v(states)) if kept is None else kept
    if kept is not None and not once:
        k, v = (x.repeat_interleave(frames, 0) for x in kept)
    attends = attention if removals.text_scores else attend
    out = attends(q, _heads(k, layer.num_heads), _heads(v, layer.num_heads))
    return layer.to_out[0](out.flatten(-2)).view_as(x_BTLC)


def temporal(layer: TemporalAttention, normed: Tensor, removals: Removals) -> Tensor:
    """Attention of every pixel to itself in the other frames.

    Args:
        layer: the layer.
        normed: (B * L, T, C), the copy that the released code makes; (B, T, L, C) with
            ``temporal_copies``.
        removals: what to leave out.
    Returns:
        Of the input's shape.
    """
    q, k, v = (_heads(to(normed), layer.num_heads) for to in (layer.to_q, layer.to_k, layer.to_v))
    if not removals.temporal_copies:
        return layer.to_out[0](attend(q, k, v).flatten(-2))
    out = attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
    return layer.to_out[0](out.flatten(-2))


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1))
