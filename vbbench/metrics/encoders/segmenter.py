"""The small U-Net that finds a subject's parts: background, base, secondary, one class a kind of
marking, detail.

Shape suffixes: B batch, H/W pixels, S classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vbbench.data.world.names import MARKINGS

BACKGROUND, BASE, SECONDARY = 0, 1, 2
FIRST_MARKING = 3
DETAIL = FIRST_MARKING + len(MARKINGS)
NUM_SEGMENTS = DETAIL + 1
SEGMENTS = ("background", "base", "secondary", *MARKINGS, "detail")


def _convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def _pair(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(channels_in, channels_out), _convolution(channels_out, channels_out)
    )


def decode(logits_BSHW: Tensor) -> Tensor:
    """The segment of each pixel, (B, H, W) int64: the most probable part, all kinds of marking
    being one, then its most probable kind.

    Asking for the most probable of all segments at once would miss markings whose kind is in doubt.
    """
    log_BSHW = logits_BSHW.float().log_softmax(dim=1)
    kinds = log_BSHW[:, FIRST_MARKING:DETAIL]
    parts = torch.cat(
        [log_BSHW[:, :FIRST_MARKING], kinds.logsumexp(dim=1, keepdim=True), log_BSHW[:, DETAIL:]],
        dim=1,
    ).argmax(dim=1)
    marked = torch.where(parts == FIRST_MARKING, FIRST_MARKING + kinds.argmax(dim=1), parts)
    return torch.where(parts == FIRST_MARKING + 1, torch.full_like(parts, DETAIL), marked)


class UNet(nn.Module):
    """Ronneberger et al. 2015, small; it works at half resolution, with 2 x 2 pixels folded into
    channels on the way in and out.

    Args:
        widths: channels of each level, from the top; each level halves the resolution.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                _pair(channels_in, out)
                for channels_in, out in zip((12, *widths[:-1]), widths, strict=True)
            ]
        )
        self.up = nn.ModuleList(
            [
                _pair(upper + lower, upper)
                for upper, lower in zip(widths[-2::-1], widths[:0:-1], strict=True)
            ]
        )
        self.head = nn.Conv2d(widths[0], 4 * NUM_SEGMENTS, 1)

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """Logits (B, S, H, W); H and W are multiples of ``2 ** len(widths)``."""
        x = F.pixel_unshuffle(pictures_B3HW, 2)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skip], dim=1))
        return F.pixel_shuffle(self.head(x), 2)
