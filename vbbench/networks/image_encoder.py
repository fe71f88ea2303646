"""The image encoder that conditions models: hidden states of an image prompt at several depths.

transformers' ``CLIPVisionModel`` at both scales. The miniature one reads 64 px pictures through two
strided convolutions first, because raw patches learn too slowly in the minutes it gets.

B batch, P patches, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels CLIP was trained on, 0..1 (openai/clip-vit-large-patch14)."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Sizes; the defaults are CLIP ViT-L/14's with the released levels.

    Attributes:
        size: side of the picture the vision transformer is given (after the stem).
        patch: its patch size.
        width, feed_forward, layers, heads: of the transformer.
        stem: channels of stride-2 convolutions in front of it; empty for none.
        levels: hidden states that are read after the last one: released 4, 8, 12, 16.
        pixel_mean, pixel_std: by which pixels (0..1) are normalised first; empty: they stay in [-1,
            1].
    """

    size: int = 224
    patch: int = 14
    width: int = 1024
    feed_forward: int = 4096
    layers: int = 24
    heads: int = 16
    stem: tuple[int, ...] = ()
    levels: tuple[int, ...] = (4, 8, 12, 16)
    pixel_mean: tuple[float, ...] = ()
    pixel_std: tuple[float, ...] = ()

    @property
    def picture_size(self) -> int:
        """Side of the pictures that come in; others are resized to it."""
        return self.size * 2 ** len(self.stem)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for cards."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageEncoderConfig:
        """The inverse of ``as_dict`` after a trip through JSON."""
        read: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**read)


MINI_IMAGE_ENCODER = ImageEncoderConfig(
    size=16, patch=2, width=128, feed_forward=256, layers=4, heads=4, stem=(32, 64), levels=(1, 3)
)


class ImageEncoder(nn.Module):
    """Pictures to hidden states, the last one (without the final norm) first, then the chosen
    levels."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        self.config = config
        channels = (3, *config.stem)
        self.stem = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.GELU()
                )
                for a, b in zip(channels[:-1], channels[1:], strict=True)
            )
        )
        self.vision = CLIPVisionModel(
            CLIPVisionConfig(  # type: ignore[call-arg]  # its stub lacks the last argument
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
        prepared = self._prepared(pixels_B3HW).to(next(self.parameters()).dtype)
        output = self.vision(pixel_values=self.stem(prepared), output_hidden_states=True)
        states = output.hidden_states
        return [states[-1], *(states[level] for level in self.config.levels)]

    def _prepared(self, pixels_B3HW: Tensor) -> Tensor:
        """Pixels at the size and in the range that the first layer expects."""
        side = self.config.picture_size
        if pixels_B3HW.shape[-2:] != (side, side):
            pixels_B3HW = F.interpolate(
                pixels_B3HW, (side, side), mode="bicubic", antialias=True
            ).clamp(-1.0, 1.0)
        if not self.config.pixel_mean:
            return pixels_B3HW
        mean, std = (
            pixels_B3HW.new_tensor(values).view(1, 3, 1, 1)
            for values in (self.config.pixel_mean, self.config.pixel_std)
        )
        return ((pixels_B3HW + 1.0) / 2.0 - mean) / std

    def class_token(self, pixels_B3HW: Tensor) -> Tensor:
        """(B, D): the class token of the last hidden state."""
        return self(pixels_B3HW)[0][:, 0]


def mirrored(pixels_B3HW: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture flipped left to right with probability one half."""
    flip = torch.rand(len(pixels_B3HW), generator=generator).to(pixels_B3HW.device) < 0.5
    return torch.where(flip[:, None, None, None], pixels_B3HW.flip(-1), pixels_B3HW)
