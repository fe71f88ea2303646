"""The same weights in `transformers`' networks: an implementation of CLIP, DINO and DINOv2 that
shares no code with open_clip or timm."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_CLIP = (
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^text_projection$", "text_projection.weight"),
    (r"\.ln_(\d)\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.", ".self_attn."),
)
# of transformers, by the names of its first and of its later releases 5, to timm
_VIT = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
    (r"attention\.(?:attention\.)?(q|k|v)(?:_proj|uery|ey|alue)\.", r"attn.\1."),
    (r"attention\.(?:o_proj|output\.dense)\.", "attn.proj."),
    (r"\.(?:layernorm_before|norm1)\.", ".norm1."),
    (r"\.(?:layernorm_after|norm2)\.", ".norm2."),
    (r"\.(?:intermediate\.dense|mlp\.fc1)\.", ".mlp.fc1."),
    (r"\.(?:output\.dense|mlp\.fc2)\.", ".mlp.fc2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
)


def _renamed(key: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, name in table:
        key = re.sub(pattern, name, key)
    return key


def shaken(network: nn.Module, size: float = 0.02) -> nn.Module:
    """Every parameter moved a little: fresh networks have zero biases and unit norms, which hide
    what was left out or exchanged."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * size)
    return network


def clip(
    own: Mapping[str, Tensor], sizes: Mapping[str, Mapping[str, int]], embed_dim: int
) -> nn.Module:
    """transformers' CLIPModel with open_clip's tensors; ``sizes``: transformers' ``vision_config``
    and ``text_config``."""
    from transformers import CLIPConfig, CLIPModel

    tensors: dict[str, Tensor] = {}
    for key, tensor in own.items():
        name = _renamed(key, _CLIP)
        if ".in_proj_" in name:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                tensors[name.replace("in_proj_", f"{part}_proj.")] = third
        else:
            tensors[name] = tensor.T if name.endswith("_projection.weight") else tensor
    model = CLIPModel(CLIPConfig(**sizes, projection_dim=embed_dim)).eval()
    model.load_state_dict({key: tensor.contiguous() for key, tensor in tensors.items()})
    return model


def features(found: object) -> Tensor:
    """What ``get_image_features`` and ``get_text_features`` return: a tensor, or a record that
    holds it."""
    return found if isinstance(found, Tensor) else found.pooler_output  # type: ignore[attr-defined]


def vit(
    own: Mapping[str, Tensor],
    *,
    depth: int,
    width: int,
    heads: int,
    patch_size: int,
    second: bool = False,
) -> nn.Module:
    """transformers' ViTModel (``second``: Dinov2Model) at 224 pixels with timm's tensors."""
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    sizes = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "patch_size": patch_size,
        "image_size": 224,
    }
    sizes["attn_implementation"] = "eager"  # written out, where timm calls torch's own attention
    if second:
        model = Dinov2Model(Dinov2Config(**sizes)).eval()
    else:
        model = ViTModel(
            ViTConfig(**sizes, intermediate_size=4 * width, layer_norm_eps=1e-6),
            add_pooling_layer=False,
        ).eval()
    tensors: dict[str, Tensor] = {}
    for key in model.state_dict():
        name = _renamed(key, _VIT)
        if part := re.search(r"\.attn\.([qkv])\.", name):
            tensors[key] = own[name.replace(part[0], ".attn.qkv.")].chunk(3)["qkv".index(part[1])]
        elif not key.endswith("mask_token"):  # of Dinov2's training alone
            tensors[key] = own[name]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(key.endswith("mask_token") for key in missing)
    return model
