"""The encoders' architectures, untrained: the miniature's sizes and the real ones in the same libraries' classes.

Shape suffixes: B batch, H/W pixels, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vbbench.errors import WeightsError

SEED = 0
_SHOWN = 3


class ConvStem(nn.Module):
    """Strided convolutions in the place of a timm ViT's patch projection (Xiao et al. 2021), for `embed_layer`."""

    def __init__(
        self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, widths: Sequence[int] = (), bias: bool = True, **_: Any
    ) -> None:
        super().__init__()
        if patch_size != 2 ** (len(widths) + 1):
            raise ValueError(f"{len(widths)} widths make patches of {2 ** (len(widths) + 1)}, not of {patch_size}")
        self.patch_size = (patch_size, patch_size)
        self.grid_size = (img_size // patch_size,) * 2
        self.num_patches = self.grid_size[0] ** 2
        layers: list[nn.Module] = []
        for channels_in, channels_out in zip((in_chans, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(channels_in, channels_out, 3, 2, 1, bias=False), nn.BatchNorm2d(channels_out), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 3, 2, 1, bias=bias))

    def forward(self, pictures_B3HW: Tensor) -> Tensor:
        """(B, patches, D)."""
        return self.net(pictures_B3HW).flatten(2).transpose(1, 2)


def build_clip(arch: Mapping[str, Any], vocab_size: int) -> nn.Module:
    """open_clip's CLIP, untrained, in the sizes of ``arch``, or in those that open_clip has under the name ``arch["open_clip"]``."""
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    # not open_clip.create_model: it logs a warning whenever no weights are asked for
    sizes = open_clip.get_model_config(arch["open_clip"]) if "open_clip" in arch else arch
    vision, text = CLIPVisionCfg(**sizes["vision_cfg"]), CLIPTextCfg(**{**sizes["text_cfg"], "vocab_size": vocab_size})
    return CLIP(sizes["embed_dim"], vision, text, quick_gelu=sizes.get("quick_gelu", False)).to(memory_format=torch.channels_last)


def build_dino(arch: Mapping[str, Any]) -> nn.Module:
    """timm's VisionTransformer, untrained; its output is the class token after the last norm.

    Args:
        arch: sizes of the miniature, or ``timm``: name of a timm model, with the options it is made with.
    """
    if "timm" in arch:
        import timm

        options = {key: value for key, value in arch.items() if key not in ("timm", "trained_size")}
        return timm.create_model(arch["timm"], pretrained=False, num_classes=0, **options).to(memory_format=torch.channels_last)
    from timm.models.vision_transformer import VisionTransformer

    sizes = dict(arch)
    stem = partial(ConvStem, widths=tuple(sizes.pop("stem_widths")))
    model = VisionTransformer(**sizes, embed_layer=stem).to(memory_format=torch.channels_last)
    for block in model.blocks:
        block.attn.fused_attn = False  # plain softmax is twice as fast on the CPU at 17 tokens, above all backwards
    return model


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """The network that ``build`` makes from the fixed seed; nobody else's random numbers change."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # the CPU's alone, where networks are made
        return build()


def fill(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with published or trained tensors in it, every one of them used.

    Args:
        name: of the weights, for the message.
    Raises:
        WeightsError: tensors are missing, unexpected or of another shape; the first few of each are named.
    """
    own = network.state_dict()
    both = [key for key in own if key in tensors]
    wrong = {
        "missing": [key for key in own if key not in tensors],
        "unexpected": [key for key in tensors if key not in own],
        "of another shape": [
            f"{key} ({_shape(tensors[key])}, not {_shape(own[key])})" for key in both if own[key].shape != tensors[key].shape
        ],
    }
    if any(wrong.values()):
        told = "; ".join(f"{len(keys)} {what}: {_first(keys)}" for what, keys in wrong.items() if keys)
        raise WeightsError(f"the weights {name!r} do not fit their encoder: {told}.")
    network.load_state_dict(dict(tensors))
    return network


def adapted(network: nn.Module, tensors: Mapping[str, Tensor], arch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Published tensors as the network wants them, where it is known in what the files differ.

    CLIP's scale is a number in one file and a row of one in another. DINOv2 comes with the mask token of its training, and with
    position codes for ``arch["trained_size"]``, which are resampled as timm does it (bicubic, antialiased).
    """
    tensors = dict(tensors)
    if "logit_scale" in tensors and tensors["logit_scale"].numel() == 1:
        tensors["logit_scale"] = tensors["logit_scale"].reshape(())
    if "trained_size" in arch:
        from timm.layers import resample_abs_pos_embed

        tensors.pop("mask_token", None)
        side = arch["trained_size"] // network.patch_embed.patch_size[0]
        if "pos_embed" in tensors and tensors["pos_embed"].shape[1:-1] == (side * side + 1,):
            tensors["pos_embed"] = resample_abs_pos_embed(tensors["pos_embed"], list(network.patch_embed.grid_size), [side, side])
    return tensors


def _first(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (" ..." if len(keys) > _SHOWN else "")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
