"""The image encoder that conditions models: hidden states of an image prompt at several depths.

transformers' ``CLIPVisionModel`` at both scales. The miniature one reads 64 px pictures through two strided convolutions
first, because raw patches learn too slowly in the minutes it gets.

B batch, P patches, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Sizes; the defaults are CLIP ViT-L/14's with the released levels.

    Attributes:
        size: side of the picture the vision transformer is given (after the stem).
        patch: its patch size.
        width, feed_forward, layers, heads: of the transformer.
        stem: channels of stride-2 convolutions in front of it; empty for none.
        levels: hidden states that are read after the last one: released 4, 8, 12, 16.
    """

    size: int = 224
    patch: int = 14
    width: int = 1024
    feed_forward: int = 4096
    layers: int = 24
    heads: int = 16
    stem: tuple[int, ...] = ()
    levels: tuple[int, ...] = (4, 8, 12, 16)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for cards."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageEncoderConfig:
        """The inverse of ``as_dict`` after a trip through JSON."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


MINI_IMAGE_ENCODER = ImageEncoderConfig(size=16, patch=2, width=128, feed_forward=256, layers=4, heads=4, stem=(32, 64), levels=(1, 3))


class ImageEncoder(nn.Module):
    """Pictures to hidden states, the last one (without the final norm) first, then the chosen levels."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        self.config = config
        channels = (3, *config.stem)
        self.stem = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.GELU())
                for a, b in zip(channels[:-1], channels[1:], strict=True)
            )
        )
        self.vision = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=config.width,
                intermediate_size=config.feed_forward,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_channels=channels[-1],
                image_size=config.size,
                patch_size=config.patch,
                attn_implementation="eager",
            )
        )

    @property
    def num_levels(self) -> int:
        """How many hidden states are given."""
        return 1 + len(self.config.levels)

    def forward(self, pixels_B3HW: Tensor) -> list[Tensor]:
        """Hidden states of pictures in [-1, 1].

        Returns:
            ``num_levels`` tensors (B, 1 + P, D), class token first.
        """
        output = self.vision(pixel_values=self.stem(pixels_B3HW), output_hidden_states=True)
        states = output.hidden_states
        return [states[-1], *(states[level] for level in self.config.levels)]

    def class_token(self, pixels_B3HW: Tensor) -> Tensor:
        """(B, D): the class token of the last hidden state."""
        return self(pixels_B3HW)[0][:, 0]


def mirrored(pixels_B3HW: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture flipped left to right with probability one half."""
    flip = torch.rand(len(pixels_B3HW), generator=generator).to(pixels_B3HW.device) < 0.5
    return torch.where(flip[:, None, None, None], pixels_B3HW.flip(-1), pixels_B3HW)
