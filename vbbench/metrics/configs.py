"""Which encoder each metric reads at each scale: architecture, weights and preprocessing. Configuration alone; no torch here.

The miniature encoders are the same libraries' classes as the real ones (open_clip's CLIP, timm's VisionTransformer), small. Their
towers begin with strided convolutions because patches of raw pixels learn too slowly in the minutes they get.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vbbench.errors import UsageError

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class EncoderConfig:
    """One encoder at one scale.

    Attributes:
        kind: which class reads it: ``clip``, ``dino`` or ``segmenter``.
        weights: name of the weights file (``vbbench.resources.weights_path``).
        title: architecture in a word, for people and for the metric spec.
        resize: the frame's short side is resized to it (bicubic, antialiased); nothing is done where it already has that size.
        crop: side of the centre crop after that.
        mean, std: of each channel, for pixels in 0..1.
        arch: what the class is built from.
    """

    kind: str
    weights: str
    title: str
    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    arch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def preprocessing(self) -> str:
        """What happens to a frame, in words; part of the metric spec."""
        return (
            f"uint8 RGB, short side {self.resize} bicubic antialiased (Pillow), centre crop {self.crop}, /255, "
            f"mean {' '.join(map(str, self.mean))}, std {' '.join(map(str, self.std))}"
        )


MINI_CLIP = MappingProxyType(
    {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": (1, 1, 1, 1), "width": 16, "head_width": 64},
        "text_cfg": {"context_length": 20, "width": 96, "heads": 3, "layers": 2, "mlp_ratio": 2.0},
    }
)
MINI_DINO = MappingProxyType(
    {"img_size": 64, "patch_size": 16, "embed_dim": 128, "depth": 4, "num_heads": 4, "num_classes": 0, "stem_widths": (32, 64, 96)}
)
MINI_SEGMENTER = MappingProxyType({"widths": (32, 48, 64, 96)})

ENCODERS: dict[str, dict[str, EncoderConfig]] = {
    "mini": {
        "clip": EncoderConfig("clip", "clip", "open_clip ResNet, 16 wide, 64 px", 64, 64, CLIP_MEAN, CLIP_STD, MINI_CLIP),
        "dino": EncoderConfig("dino", "dino", "timm ViT 128x4, conv stem /16, 64 px", 64, 64, IMAGENET_MEAN, IMAGENET_STD, MINI_DINO),
        "segmenter": EncoderConfig("segmenter", "segmenter", "U-Net, 64 px", 64, 64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), MINI_SEGMENTER),
    },
    "sd14": {
        "clip": EncoderConfig(
            "clip", "clip-vit-b-32", "ViT-B-32-quickgelu, openai", 224, 224, CLIP_MEAN, CLIP_STD, {"open_clip": "ViT-B-32-quickgelu"}
        ),
        "dino": EncoderConfig(
            "dino",
            "dino-vit-s-16",
            "vit_small_patch16_224.dino",
            256,
            224,
            IMAGENET_MEAN,
            IMAGENET_STD,
            {"timm": "vit_small_patch16_224.dino"},
        ),
    },
}


def check_scale(scale: str) -> str:
    """The scale itself.

    Raises:
        UsageError: no encoder is known at it.
    """
    if scale not in ENCODERS:
        raise UsageError(f"there is no scale {scale!r}; there are {', '.join(ENCODERS)}.")
    return scale


def encoder_config(name: str, scale: str) -> EncoderConfig:
    """The configuration of an encoder.

    Raises:
        UsageError: no such scale, or no such encoder at it.
    """
    known = ENCODERS[check_scale(scale)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(known)}."
        raise UsageError(f"there is no encoder {name!r} at scale {scale}.{hint}")
    return known[name]
