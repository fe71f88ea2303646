"""Which encoder each metric reads at each scale: architecture, weights and preprocessing.
Configuration alone; no torch here.

The miniature encoders are the same libraries' classes as the real ones (open_clip's CLIP, timm's
VisionTransformer), small. Their towers begin with strided convolutions because patches of raw
pixels learn too slowly in the minutes they get.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vbbench.core.names import nearest_sentence
from vbbench.errors import UsageError
from vbbench.metrics.encoders.setting import Setting

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Source:
    """One file in which an encoder's weights are published.

    Attributes:
        file: its name, as its publisher gives it.
        repository: of the hub; None where the hub is not where it is had from.
        sha256: the publisher's own digest of it; None where the publisher states none.
    """

    file: str
    repository: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class EncoderConfig:
    """One encoder at one scale.

    Attributes:
        kind: its role, and which class reads it: ``clip``, ``dino`` or ``segmenter``.
        name: how it is called on the command line and in specs; its weights file is
            ``<name>.safetensors``.
        title: library and architecture, for people and for the metric spec.
        resize: the frame's short side is resized to it; nothing is done where it already has that
            size.
        crop: side of the centre crop after that; at most ``resize``.
        mean, std: of each channel, for pixels in 0..1.
        arch: what the class is built from.
        patch_size: side of a patch in pixels; None where the network has no patches.
        resample: the filter of `vbbench.media.video.resize_frames`.
        sources: where its weights are published, the preferred one first.
    """

    kind: str
    name: str
    title: str
    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    arch: Mapping[str, Any] = field(default_factory=dict)
    patch_size: int | None = None
    resample: str = "bicubic"
    sources: tuple[Source, ...] = ()

    @property
    def interpolation(self) -> str:
        """The resize filter in words: Pillow's filters, all but ``nearest``, widen when they
        shrink."""
        return (
            f"{self.resample}, {'not ' if self.resample == 'nearest' else ''}antialiased (Pillow)"
        )

    @property
    def preprocessing(self) -> str:
        """What happens to a frame, in words; part of the metric spec."""
        return (
            f"uint8 RGB, short side {self.resize} {self.interpolation}, centre crop {self.crop}, /255, "
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
    {
        "img_size": 64,
        "patch_size": 16,
        "embed_dim": 128,
        "depth": 4,
        "num_heads": 4,
        "num_classes": 0,
        "stem_widths": (32, 64, 96),
    }
)
MINI_SEGMENTER = MappingProxyType({"widths": (32, 48, 64, 96)})


def _openai_clip(
    name: str, architecture: str, patch_size: int, repository: str, file: str, sha256: str
) -> EncoderConfig:
    """OpenAI's CLIP (Radford et al. 2021); repository and digest as open_clip's table of pretrained
    weights carries them."""
    sources = (
        Source("open_clip_model.safetensors", repository),
        Source("open_clip_pytorch_model.bin", repository),
        Source(file, sha256=sha256),
    )
    arch = {"open_clip": architecture}
    return EncoderConfig(
        "clip",
        name,
        f"open_clip {architecture}",
        224,
        224,
        CLIP_MEAN,
        CLIP_STD,
        arch,
        patch_size=patch_size,
        sources=sources,
    )


def _timm_dino(
    name: str, architecture: str, patch_size: int, file: str, **options: Any
) -> EncoderConfig:
    """A self-distilled ViT in timm's class at 224 pixels; repository and file as timm's table of
    pretrained weights carries them.

    The crop is 0.875 of the short side, as the protocols have it that numbers are compared with;
    timm's own default for DINO is 0.9.
    """
    repository = f"timm/{architecture}"
    sources = (
        Source("model.safetensors", repository),
        Source("pytorch_model.bin", repository),
        Source(file),
    )
    title, arch = f"timm {architecture}", {"timm": architecture, "img_size": 224, **options}
    if "trained_size" in options:
        title += f" at img_size 224 (positions resampled from {options['trained_size']})"
    return EncoderConfig(
        "dino",
        name,
        title,
        256,
        224,
        IMAGENET_MEAN,
        IMAGENET_STD,
        arch,
        patch_size=patch_size,
        sources=sources,
    )


ENCODERS: dict[str, dict[str, tuple[EncoderConfig, ...]]] = {
    "mini": {
        "clip": (
            EncoderConfig(
                "clip",
                "clip",
                "open_clip ResNet, 16 wide, 64 px",
                64,
                64,
                CLIP_MEAN,
                CLIP_STD,
                MINI_CLIP,
            ),
        ),
        "dino": (
            EncoderConfig(
                "dino",
                "dino",
                "timm ViT 128x4, conv stem /16, 64 px",
                64,
                64,
                IMAGENET_MEAN,
                IMAGENET_STD,
                MINI_DINO,
                patch_size=16,
            ),
        ),
        "segmenter": (
            EncoderConfig(
                "segmenter",
                "segmenter",
                "U-Net, 64 px",
                64,
                64,
                (0.5, 0.5, 0.5),
                (0.25, 0.25, 0.25),
                MINI_SEGMENTER,
            ),
        ),
    },
    "sd14": {
        "clip": (
            _openai_clip(
                "clip-vit-b-32",
                "ViT-B-32-quickgelu",
                32,
                "timm/vit_base_patch32_clip_224.openai",
                "ViT-B-32.pt",
                "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            ),
            _openai_clip(
                "clip-vit-l-14",
                "ViT-L-14-quickgelu",
                14,
                "timm/vit_large_patch14_clip_224.openai",
                "ViT-L-14.pt",
                "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            ),
        ),
        "dino": (
            _timm_dino(
                "dino-vit-s-16", "vit_small_patch16_224.dino", 16, "dino_deitsmall16_pretrain.pth"
            ),
            _timm_dino(
                "dinov2-vit-s-14",
                "vit_small_patch14_dinov2.lvd142m",
                14,
                "dinov2_vits14_pretrain.pth",
                trained_size=518,
                # of the layer scales: at timm's 1e-5 an untrained network answers every picture
                # alike
                init_values=1.0,
            ),
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


def encoder_config(role: str, setting: Setting) -> EncoderConfig:
    """The configuration of the encoder that plays a role: the setting's variant, or else the usual
    one.

    Raises:
        UsageError: no such scale, no such role at it (a variant's included), or no such encoder for
            the role.
    """
    roles = ENCODERS[check_scale(setting.scale)]
    for named in (role, *(named for named, _ in setting.variants)):
        if named not in roles:
            raise UsageError(
                f"there is no encoder {named!r} at scale {setting.scale}. "
                f"{nearest_sentence(named, roles)}"
            )
    known = {config.name: config for config in roles[role]}
    name = setting.variant(role) or roles[role][0].name
    if name not in known:
        raise UsageError(
            f"there is no {role} encoder {name!r} at scale {setting.scale}. "
            f"{nearest_sentence(name, known)}"
        )
    return known[name]
