"""The time embedding, and what the miniature adds to it.

Shape suffixes: B batch, T frames, S text tokens, D embedding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.models.videobooth.config import UNetConfig


class TimestepEmbedding(nn.Module):
    """Two linear layers on sinusoids of the timestep."""

    def __init__(self, channels: int, emb_dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, emb_dim)
        self.linear_2 = nn.Linear(emb_dim, emb_dim)

    def forward(self, timestep_B: Tensor) -> Tensor:
        """(B,) timesteps, whole or not -> (B, D)."""
        weight = self.linear_1.weight
        sinusoids = timestep_sinusoids(timestep_B, weight.shape[1]).to(weight.dtype)
        return self.linear_2(F.silu(self.linear_1(sinusoids)))


def timestep_sinusoids(timestep_B: Tensor, channels: int) -> Tensor:
    """[cosines; sines] of the timestep at frequencies 10000^(-i / half) (Ho et al. 2020, in Stable Diffusion's order)."""
    half = channels // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=timestep_B.device, dtype=torch.float32) / half)
    angles = timestep_B[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class FrameText(nn.Module):
    """What the miniature adds to the time embedding: which frame it is, what the text says, and both together."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        dim = config.emb_dim
        self.pooled_text_proj = nn.Linear(config.cross_attention_dim, dim) if config.pooled_text else None
        self.frame_code = nn.Embedding(config.frame_codes, dim) if config.frame_codes else None
        both = config.pooled_text and config.frame_codes > 0
        self.motion_text_proj = nn.Linear(config.cross_attention_dim, dim) if both else None
        self.motion_frame_code = nn.Embedding(config.frame_codes, dim) if both else None

    def forward(self, emb_BD: Tensor, text_BSD: Tensor, frame_index_BT: Tensor) -> Tensor:
        """(B, D) -> (B, T or 1, D); T is 1 without frame codes."""
        emb = emb_BD.unsqueeze(1)
        pooled = text_BSD.mean(1, keepdim=True)
        if self.pooled_text_proj is not None:
            emb = emb + self.pooled_text_proj(pooled)
        if self.frame_code is not None:
            emb = emb + self.frame_code(frame_index_BT)
        if self.motion_text_proj is not None and self.motion_frame_code is not None:
            emb = emb + self.motion_text_proj(pooled) * self.motion_frame_code(frame_index_BT)
        return emb
