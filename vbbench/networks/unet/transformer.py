"""The transformer of the video UNet: cross-frame attention with injected image prompts, text
attention, feed-forward, temporal attention.

Shape suffixes: B batch, T frames, C channels, H/W latent pixels, L tokens of a frame (H * W), M
tokens of the image prompt, S text tokens, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vbbench.attention import attention, injection_attention
from vbbench.networks.unet.conditioning import Conditioning
from vbbench.networks.unet.convolution import Conv1x1
from vbbench.networks.unet.text_attention import LocalPrompt, TextAttention


class Recomputed(nn.Module):
    """Gradient checkpointing of a block, whose children say in ``compute`` what it does.

    Attributes:
        recompute: whether its inner results are computed twice instead of kept: the same numbers
            for less memory and about a third more time.
    """

    recompute = False
    compute: Callable[..., Tensor]

    def forward(self, *arguments: Any) -> Tensor:
        """What ``compute`` gives."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(
                self.compute, *arguments, use_reentrant=False, preserve_rng_state=False
            )  # nothing here is random
        return self.compute(*arguments)


def project(x_C: Tensor, *layers: nn.Linear, fused: bool) -> tuple[Tensor, ...]:
    """Queries, keys and values: what some linear layers without a bias make of one input.

    Args:
        x_C: (..., C).
        layers: of one width.
        fused: as one matrix product. The weights are laid together each time: that is little beside
            the product, and can never be out of date.
    Returns:
        A tensor (..., C') for each layer; parts of one tensor if fused.
    """
    if not fused:
        return tuple(layer(x_C) for layer in layers)
    return F.linear(x_C, torch.cat([layer.weight for layer in layers])).chunk(len(layers), dim=-1)


class CrossFrameAttention(nn.Module):
    """Self-attention of every frame to the first and the previous frame, which an image prompt can
    be injected into.

    Args:
        channels: C.
        num_heads: heads; divides C.
        injection: with the image prompt's own projections.
    """

    def __init__(self, channels: int, num_heads: int, injection: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.fused_qkv = (
            False  # how it is computed, not what: see `vbbench.networks.sampling.speed`
        )
        self.backend: str | None = None
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.to_k_image: nn.Linear | None = None
        self.to_v_image: nn.Linear | None = None
        if injection:
            self.enable_injection()

    def enable_injection(self) -> None:
        """Add the image prompt's key and value projections, starting as copies of the frames'
        own."""
        if self.to_k_image is not None:
            return
        weight = self.to_k.weight
        self.to_k_image, self.to_v_image = (
            nn.Linear(
                weight.shape[1],
                weight.shape[0],
                bias=False,
                device=weight.device,
                dtype=weight.dtype,
            )
            for _ in range(2)
        )
        self.reset_injection()

    def reset_injection(self) -> None:
        """Set the image prompt's projections to copies of the frames' own, if there are any."""
        if self.to_k_image is None or self.to_v_image is None:
            return
        with torch.no_grad():
            self.to_k_image.weight.copy_(self.to_k.weight)
            self.to_v_image.weight.copy_(self.to_v.weight)

    def image_keys_values(self, image_BMC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the image prompt's first frame.

        Raises:
            RuntimeError: the network has no injection projections.
        """
        if self.to_k_image is None or self.to_v_image is None:
            raise RuntimeError(
                "this network has no injection projections; "
                "call enable_injection() or load weights that have them"
            )
        return self.to_k_image(image_BMC), self.to_v_image(image_BMC)

    def forward(self, x_BTLC: Tensor, image: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, T, L, C) -> (B, T, L, C); ``image``: keys and values of image prompts, for the first
        so many videos."""
        heads = (self.num_heads, -1)
        q, k, v = (
            x.unflatten(-1, heads)
            for x in project(x_BTLC, self.to_q, self.to_k, self.to_v, fused=self.fused_qkv)
        )
        k_image, v_image = (
            (None, None) if image is None else (kv.unflatten(-1, heads) for kv in image)
        )
        return self.to_out[0](
            injection_attention(q, k, v, k_image, v_image, backend=self.backend).flatten(-2)
        )


class TemporalAttention(nn.Module):
    """Attention of every pixel to itself in the other frames.

    Args:
        channels: C.
        num_heads: heads; divides C.
        positions: size of a learned table of frame positions added to the input; 0: none, as
            released.
    """

    def __init__(self, channels: int, num_heads: int, positions: int = 0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.fused_qkv = (
            False  # how it is computed, not what: see `vbbench.networks.sampling.speed`
        )
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.position_code = nn.Parameter(_sinusoids(positions, channels)) if positions else None

    def forward(self, x_BTLC: Tensor, positions_BT: Tensor) -> Tensor:
        """(B, T, L, C) -> (B, T, L, C)."""
        if self.position_code is not None:
            x_BTLC = x_BTLC + self.position_code[positions_BT].unsqueeze(2).to(x_BTLC.dtype)
        if x_BTLC.shape[1] == 1:  # the softmax over one frame is 1
            return self.to_out[0](self.to_v(x_BTLC))
        parts = project(x_BTLC, self.to_q, self.to_k, self.to_v, fused=self.fused_qkv)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in parts)
        # Contiguous: a linear layer on anything else becomes many small products.
        return self.to_out[0](attention(q, k, v).transpose(1, 2).flatten(-2).contiguous())


def _sinusoids(positions: int, channels: int) -> Tensor:
    """Sines and cosines of geometrically spaced frequencies, (positions, channels): a start that
    tells frames apart."""
    frequencies = torch.exp(
        -math.log(1000.0) * torch.arange((channels + 1) // 2) / max(channels // 2, 1)
    )
    angles = torch.arange(positions)[:, None] * frequencies[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :channels].contiguous()


class GEGLU(nn.Module):
    """Linear layer gated by the GELU of a second one (Shazeer 2020)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., inner)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU and a linear layer. ``net.1`` is empty: it was a dropout, and the keys keep its
    place."""

    def __init__(self, channels: int, mult: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GEGLU(channels, channels * mult), nn.Identity(), nn.Linear(channels * mult, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        return self.net(x)


class TransformerBlock(Recomputed):
    """Cross-frame attention, text attention, feed-forward and temporal attention, each normalised
    before, added after."""

    def __init__(
        self,
        channels: int,
        num_heads: int,
        text_dim: int,
        mult: int,
        positions: int,
        injection: bool,
    ) -> None:
        super().__init__()
        self.attn1 = CrossFrameAttention(channels, num_heads, injection)
        self.norm1 = nn.LayerNorm(channels)
        self.attn2 = TextAttention(channels, text_dim, num_heads)
        self.norm2 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, mult)
        self.norm3 = nn.LayerNorm(channels)
        self.attn_temp = TemporalAttention(channels, num_heads, positions)
        self.norm_temp = nn.LayerNorm(channels)

    def image_keys_values(self, x_BTLC: Tensor) -> tuple[Tensor, Tensor]:
        """What a video reads of an image prompt here: keys and values (B, L, C) of its first
        frame."""
        return self.attn1.image_keys_values(self.norm1(x_BTLC[:, 0]))

    def compute(
        self,
        x_BTLC: Tensor,
        text: Tensor | tuple[Tensor, Tensor],
        positions_BT: Tensor,
        image: tuple[Tensor, Tensor] | None = None,
        local: LocalPrompt | None = None,
    ) -> Tensor:
        """(B, T, L, C) -> (B, T, L, C); the rest is what this layer reads of a `Conditioning`."""
        x = x_BTLC + self.attn1(self.norm1(x_BTLC), image)
        x = x + self.attn2(self.norm2(x), text, local)
        x = x + self.ff(self.norm3(x))
        return x + self.attn_temp(self.norm_temp(x), positions_BT)


class Transformer(nn.Module):
    """A transformer block between 1 x 1 convolutions, with a residual around the whole."""

    def __init__(
        self,
        channels: int,
        num_heads: int,
        text_dim: int,
        *,
        groups: int,
        mult: int,
        positions: int,
        injection: bool,
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = Conv1x1(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(channels, num_heads, text_dim, mult, positions, injection)]
        )
        self.proj_out = Conv1x1(channels, channels)

    def forward(self, x: Tensor, cond: Conditioning) -> Tensor:
        """(B * T, C, H, W) -> (B * T, C, H, W)."""
        height, width = x.shape[-2:]
        # Channels last in memory, pixels x channels is a view; the 1 x 1 convolutions are linear
        # layers on it.
        h = self.proj_in.pixels(self.norm(x).permute(0, 2, 3, 1))
        h = h.reshape(-1, cond.frames, height * width, x.shape[1])
        h = self._block(h, cond)
        h = self.proj_out.pixels(h.view(-1, height, width, x.shape[1]))
        return x + h.permute(0, 3, 1, 2)

    def _block(self, h: Tensor, cond: Conditioning) -> Tensor:
        block, text = cast(TransformerBlock, self.transformer_blocks[0]), next(cond.text)
        if cond.recorder is not None:
            cond.recorder.keys_values.append(block.image_keys_values(h))
            if cond.recorder.complete:
                return h
        return block(
            h, text, cond.positions_BT, None if cond.image is None else next(cond.image), cond.local
        )
