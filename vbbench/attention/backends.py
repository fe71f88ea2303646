"""The backends of injection attention: modules with the same functions, imported when they are
first used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast

from torch import Tensor

BACKENDS: Mapping[str, str] = {
    "reference": "vbbench.attention.reference",
    "released": "vbbench.attention.released",
    "plain": "vbbench.attention.plain",
    "concat": "vbbench.attention.concat",
    "merge": "vbbench.attention.merge",
    "flex": "vbbench.attention.flex",
    "triton": "vbbench.attention.triton_backend",
    "xformers": "vbbench.attention.xformers_backend",
    "flash-attn": "vbbench.attention.flash_attn_backend",
}
"""Name -> module. Whole names: a job's hash follows the modules that a source names."""


class Backend(Protocol):
    """A way to compute injection attention. B batch, T frames, L tokens, M tokens of the image
    prompt, N heads, D head dimension."""

    def inject(
        self,
        q_BLND: Tensor,
        k_BLND: Tensor,
        v_BLND: Tensor,
        k_image_BMND: Tensor,
        v_image_BMND: Tensor,
    ) -> Tensor:
        """Frame 0's new values (B, L, N, D): what it reads from [image prompt; frame 0]."""
        ...

    def across_frames(
        self, q_BTLND: Tensor, k_BTLND: Tensor, v_BTLND: Tensor, v_first_BLND: Tensor
    ) -> Tensor:
        """What every frame reads from [frame 0; previous frame], (B, T, L, N, D); frame 0's values
        are ``v_first_BLND``."""
        ...

    def refusal(self, q: Tensor, needs_grad: bool = False) -> str | None:
        """Why it cannot take such queries (device, type, head dimension, gradients, a package that
        is missing), or None."""
        ...


def load_backend(name: str) -> Backend:
    """A backend by its name.

    Raises:
        ValueError: no backend of that name.
    """
    if name not in _loaded:
        if name not in BACKENDS:
            raise ValueError(f"unknown attention backend {name!r}; there are {', '.join(BACKENDS)}")
        _loaded[name] = cast(Backend, importlib.import_module(BACKENDS[name]))
    return _loaded[name]


_loaded: dict[
    str, Backend
] = {}  # an import in the middle of a network would break its compiled graph
