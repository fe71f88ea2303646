"""Attention of the video UNet to the text, and (ELITE) to the patches of an image prompt beside it.

Shape suffixes: B batch, T frames, C channels, L pixels, S text tokens, M patches, N heads, D
embedding or head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vbbench.attention import attention


@dataclass(frozen=True)
class LocalPrompt:
    """What a local text attention reads of an image prompt (ELITE, section 3), beside the text.

    Attributes:
        features_BMD: features of the picture's patches in the text's feature space; zero where the
            subject is not.
        word_B: int64, which text token is the subject's primary word.
        strength: the paper's lambda, which the local attention's output is multiplied by.
    """

    features_BMD: Tensor
    word_B: Tensor
    strength: float = 1.0


class TextAttention(nn.Module):
    """Attention of every pixel to the text. A video's frames share its text, so they are one set of
    queries.

    With `enable_local` it can also attend to an image prompt's patches, through keys and values of
    their own.
    """

    def __init__(self, channels: int, text_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(text_dim, channels, bias=False)
        self.to_v = nn.Linear(text_dim, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.to_k_local: nn.Linear | None = None
        self.to_v_local: nn.Linear | None = None

    def enable_local(self) -> None:
        """Add the local attention's key and value projections; it adds nothing until it has been
        trained."""
        if self.to_k_local is not None:
            return
        weight = self.to_k.weight
        self.to_k_local, self.to_v_local = (
            nn.Linear(
                weight.shape[1],
                weight.shape[0],
                bias=False,
                device=weight.device,
                dtype=weight.dtype,
            )
            for _ in range(2)
        )
        self.reset_local()

    def reset_local(self) -> None:
        """Set the local keys' projection to a copy of the text's and the local values' to zero, if
        there are any."""
        if self.to_k_local is None or self.to_v_local is None:
            return
        with torch.no_grad():
            self.to_k_local.weight.copy_(self.to_k.weight)
            self.to_v_local.weight.zero_()

    def keys_values(self, text_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, S, N, D) of a text; they depend on no video and no timestep, so they
        can be kept."""
        heads = (self.num_heads, -1)
        return self.to_k(text_BSD).unflatten(-1, heads), self.to_v(text_BSD).unflatten(-1, heads)

    def forward(
        self, x_BTLC: Tensor, text: Tensor | tuple[Tensor, Tensor], local: LocalPrompt | None = None
    ) -> Tensor:
        """(B, T, L, C) -> (B, T, L, C).

        Args:
            x_BTLC: the frames' pixels.
            text: text states (B, S, D), or what `keys_values` made of them.
            local: patches of an image prompt for the first so many videos, or None.
        Raises:
            RuntimeError: a local prompt, and no projections for it.
        """
        q = self.to_q(x_BTLC).flatten(1, 2).unflatten(-1, (self.num_heads, -1))
        k, v = self.keys_values(text) if isinstance(text, Tensor) else text
        out = attention(q, k, v)
        if local is not None:
            out = self._add_local(out, q, k, local)
        return self.to_out[0](out.flatten(-2)).view_as(x_BTLC)

    def _add_local(self, out: Tensor, q: Tensor, k: Tensor, local: LocalPrompt) -> Tensor:
        videos = len(local.features_BMD)
        share = attention_to_word(q[:videos], k[:videos], local.word_B).unsqueeze(-1)
        added = out[:videos] + local.strength * share * self._attend_locally(q[:videos], local)
        return added if videos == len(out) else torch.cat([added, out[videos:]])

    def _attend_locally(self, q: Tensor, local: LocalPrompt) -> Tensor:
        if self.to_k_local is None or self.to_v_local is None:
            raise RuntimeError(
                "this network has no local attention; "
                "call enable_local_attention() or load weights that have it"
            )
        k, v = (
            to(local.features_BMD).unflatten(-1, (self.num_heads, -1))
            for to in (self.to_k_local, self.to_v_local)
        )
        return attention(q, k, v)


def attention_to_word(q_BLND: Tensor, k_BSND: Tensor, word_B: Tensor) -> Tensor:
    """How much of its attention each pixel pays to one word of the text, relative to the pixel and
    head that pay it most.

    The largest is each video's own. (The released code of ELITE takes the batch's, so that videos
    would depend on their company.)

    Args:
        q_BLND: queries of a video's pixels.
        k_BSND: keys of the text.
        word_B: int64, the word's place.
    Returns:
        (B, L, N) in [0, 1].
    """
    logits_BNLS = torch.matmul(
        (q_BLND * q_BLND.shape[-1] ** -0.5).transpose(1, 2), k_BSND.permute(0, 2, 3, 1)
    )
    place = word_B.view(-1, 1, 1, 1).expand(*logits_BNLS.shape[:3], 1)
    share_BNL = logits_BNLS.softmax(-1).gather(-1, place).squeeze(-1)
    largest = share_BNL.amax((1, 2), keepdim=True).clamp_min(torch.finfo(share_BNL.dtype).tiny)
    return (share_BNL / largest).transpose(1, 2)
