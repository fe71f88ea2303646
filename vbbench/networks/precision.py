"""The word ``dtype`` of a recipe's scale: which numbers a network's weights and activations are.

Latents, noise and the schedulers' arithmetic are float32 at any ``dtype``, and so is the
autoencoder: in float16 decoders of Stable Diffusion's kind can pass its largest number, bfloat16
keeps 8 bits of a pixel's value, about one grey level, and at 334 MB and one frame at a time there
is little to gain.

Against the released code's recorded tensors (`tests.parity`; its UNet is narrow, random and
ill-conditioned), root mean square of the difference relative to the recorded value's, in bfloat16:
layers and encoders within 2 %, the UNet 15 %, its guided prediction 25 %, a whole sampling loop 10
%; in float16 a quarter of that. In float32 all are within 1e-4 of the maximum, most far below.

Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vbbench.errors import RecipeError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")


def dtype_name(settings: Mapping[str, Any]) -> str:
    """One of `DTYPES`, float32 where a scale's table does not say.

    Raises:
        RecipeError: another word.
    """
    name = settings.get("dtype", DTYPES[0])
    if name not in DTYPES:
        raise RecipeError(
            f"dtype in [scales.{settings['scale']}] must be one of {', '.join(DTYPES)}, not {name!r}."
        )
    return name


def dtype_of(settings: Mapping[str, Any]) -> torch.dtype:
    """The same for torch.

    Raises:
        RecipeError: another word.
    """
    import torch

    return getattr(torch, dtype_name(settings))
