"""ELITE's local mapping: the subject's patches become features that the text attention can read (section 3).

B batch, H/W pixels, P patches, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vbbench.models.videobooth.coarse import perceptron

WHITE_FROM = 250  # grey levels: an image prompt's pixel is white, and not the subject, if no channel is below
COVERED = 0.25  # share of a patch that must be the subject for its feature to be read


class LocalMapper(nn.Module):
    """Maps hidden states of an image encoder to text features, patch by patch: the mean over the levels.

    Args:
        levels: hidden states read.
        input_dim: width of the image encoder.
        hidden_dim: width inside.
        output_dim: width of the text states.
    """

    def __init__(self, levels: int, input_dim: int, hidden_dim: int, output_dim: int) -> None:
        super().__init__()
        self.mapping_patch = nn.ModuleList(perceptron(input_dim, hidden_dim, output_dim) for _ in range(levels))

    def forward(self, states: Sequence[Tensor], foreground_BHW: Tensor) -> Tensor:
        """Features of the patches that show the subject.

        Args:
            states: one (B, 1 + P, D) tensor a level, class token first; P patches row by row in a square.
            foreground_BHW: 1 where the picture shows the subject, else 0; any size that is not smaller than the patches' grid.
        Returns:
            (B, P, D'); zero for patches that show the subject on less than a quarter of their area.
        Raises:
            ValueError: as many states as levels are needed.
        """
        if len(states) != len(self.mapping_patch):
            raise ValueError(f"{len(states)} hidden states for a local mapper of {len(self.mapping_patch)} levels")
        levels = [patch(x[:, 1:]) for x, patch in zip(states, self.mapping_patch, strict=True)]
        features = torch.stack(levels).mean(0)
        return features * covered_patches(foreground_BHW, features.shape[1]).unsqueeze(-1)


def covered_patches(foreground_BHW: Tensor, patches: int) -> Tensor:
    """(B, P) bool: which patches of a square grid show the subject."""
    side = round(patches**0.5)
    cover = F.adaptive_avg_pool2d(foreground_BHW.float().unsqueeze(1), side)
    return cover.flatten(1) >= COVERED


def not_white(picture_HWC: np.ndarray) -> np.ndarray:
    """(H, W) bool: what an image prompt, which is cut out on white, shows of its subject where nobody has a mask of it.

    White parts of the subject count as background: a suite that shows such subjects should bring masks.
    """
    return picture_HWC.min(-1) < WHITE_FROM
