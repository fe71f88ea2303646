"""What injection attention is given, checked once for all backends: kernels read what they are told
to, whoever owns the memory."""

from __future__ import annotations

import torch
from torch import Tensor

Inputs = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]


def prepared(
    q_BTLND: Tensor,
    k_BTLND: Tensor,
    v_BTLND: Tensor,
    k_image_BMND: Tensor | None,
    v_image_BMND: Tensor | None,
) -> Inputs:
    """The tensors as every backend takes them: of one type, the last axis contiguous.

    Raises:
        ValueError: they do not fit each other, or are empty.
    """
    if (k_image_BMND is None) != (v_image_BMND is None):
        raise ValueError("the image prompt's keys and values must be given together")
    if q_BTLND.ndim != 5 or not q_BTLND.numel():
        raise ValueError(
            f"queries are clips x frames x tokens x heads x head dimension, none of them 0, not {_shape(q_BTLND)}"
        )
    for name, x in (("keys", k_BTLND), ("values", v_BTLND)):
        if x.shape != q_BTLND.shape:
            raise ValueError(f"{name} of {_shape(x)} do not fit queries of {_shape(q_BTLND)}")
    if k_image_BMND is not None and v_image_BMND is not None:
        _check_image(q_BTLND, k_image_BMND, v_image_BMND)
    given = [q_BTLND, k_BTLND, v_BTLND, *(x for x in (k_image_BMND, v_image_BMND) if x is not None)]
    kinds = {(x.device, dtype_of(x)) for x in given}
    if len(kinds) > 1:
        found = " and ".join(sorted(f"{dtype} on {device}" for device, dtype in kinds))
        raise ValueError(f"the tensors must be of one type and on one device, not {found}")
    q, k, v, *image = (_lean(x.to(dtype_of(x))) for x in given)
    return q, k, v, image[0] if image else None, image[1] if image else None


def _check_image(q_BTLND: Tensor, k_BMND: Tensor, v_BMND: Tensor) -> None:
    if k_BMND.shape != v_BMND.shape:
        raise ValueError(
            f"the image prompt's keys of {_shape(k_BMND)} do not fit its values of {_shape(v_BMND)}"
        )
    if k_BMND.ndim != 4 or not k_BMND.numel() or k_BMND.shape[2:] != q_BTLND.shape[3:]:
        raise ValueError(
            f"an image prompt of {_shape(k_BMND)} does not fit queries of {_shape(q_BTLND)}: clips x tokens x heads x dimension"
        )
    if len(k_BMND) > len(q_BTLND):
        raise ValueError(f"image prompts for {len(k_BMND)} clips, and {len(q_BTLND)} clips")


def dtype_of(x: Tensor) -> torch.dtype:
    """The type a product of this tensor has: autocast's where it is on."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind) or x.dtype not in (
        torch.float32,
        torch.float16,
        torch.bfloat16,
    ):
        return x.dtype
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _lean(x: Tensor) -> Tensor:
    """Rows that lie together; parts of a fused product do."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def _shape(x: Tensor) -> str:
    return " x ".join(map(str, x.shape))
