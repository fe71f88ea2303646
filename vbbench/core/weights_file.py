"""Weights files: half-precision safetensors, each with a card (JSON) that says how they were made
and their digest.

What a method changed of a base may be stored in eight bits: differences are small, and so is what
rounding takes from them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.digests import file_digest
from vbbench.core.files import atomic_file
from vbbench.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


SCALE_SUFFIX = ":scale"
_MAPPED_BYTES = 256 << 20


def card_path(path: Path | str) -> Path:
    """The card beside a weights file: ``base.safetensors`` -> ``base.json``."""
    return Path(path).with_suffix(".json")


def save_weights(
    path: Path | str,
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    *,
    eight_bit: bool = False,
) -> None:
    """Write tensors as float16 safetensors, and their card beside them with the file's SHA-256
    added.

    Args:
        path: ends in ``.safetensors``; its folder is made where missing.
        tensors: any floating dtype (stored as float16); integer and boolean tensors are stored as
            they are.
        card: JSON-able facts: recipe, seed, steps, device, seconds, loss, config ...
        eight_bit: store matrices and kernels as int8 with one scale a row (`<name>:scale`);
            `load_weights` undoes it, up to 1/254 of each row's largest value.
    Raises:
        ValueError: a floating tensor holds NaN, or a value that float16 cannot hold (above 65504).
    """
    import torch
    from safetensors.torch import save_file

    path = Path(path)
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        half = (
            tensor.detach().to("cpu", torch.float16)
            if tensor.is_floating_point()
            else tensor.detach().cpu()
        )
        if half.is_floating_point() and not torch.isfinite(half).all():
            raise ValueError(f"{name} holds values that float16 cannot: not finite, or above 65504")
        if eight_bit and half.is_floating_point() and half.dim() >= 2:
            stored |= _in_eight_bits(name, tensor.detach().to("cpu", torch.float32))
        else:
            stored[name] = half.contiguous().clone()
    with atomic_file(card_path(path)) as partial_card, atomic_file(path) as partial:
        save_file(stored, partial, metadata={"format": "pt"})
        text = json.dumps({**card, "sha256": file_digest(partial)}, indent=2, ensure_ascii=False)
        partial_card.write_text(text + "\n", encoding="utf-8")


def _in_eight_bits(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A float32 tensor (rows, ...) as int8, and what each row is to be multiplied by."""
    import torch

    largest = tensor.flatten(1).abs().amax(1)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest)) / 127.0
    rows = (-1, *[1] * (tensor.dim() - 1))
    return {
        name: (tensor / scale.view(rows)).round().to(torch.int8).contiguous(),
        name + SCALE_SUFFIX: scale,
    }


def _read(path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """A file's tensors in ``dtype`` (integers without a scale as they are), in memory of their own.

    The file is mapped anew after every 256 MB, so that what has been read does not stay in memory
    beside its copy.
    """
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = list(file.keys())
        scales = {
            name: file.get_tensor(name).clone() for name in names if name.endswith(SCALE_SUFFIX)
        }
    pending, tensors = deque(name for name in names if name not in scales), {}
    while pending:
        mapped = 0
        with safe_open(path, "pt") as file:
            while pending and mapped < _MAPPED_BYTES:
                name = pending.popleft()
                stored = file.get_tensor(name)
                tensors[name] = _restored(stored, scales.get(name + SCALE_SUFFIX), dtype)
                mapped += stored.nbytes
    return tensors


def _restored(stored: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    if scale is not None:
        return (stored.float() * scale.view(-1, *[1] * (stored.dim() - 1))).to(dtype)
    return stored.to(dtype, copy=True) if stored.is_floating_point() else stored.clone()


def read_card(path: Path | str) -> dict[str, Any]:
    """The card of a weights file.

    Raises:
        WeightsError: missing, or no JSON object with a ``sha256``.
    """
    card_file = card_path(path)
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} has no card: {card_file.name} must lie beside it.") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"the card {card_file} cannot be read: {error}.") from None
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise WeightsError(
            f"the card {card_file} names no sha256, so the weights beside it cannot be verified."
        )
    return card


def verified_digest(path: Path | str) -> str:
    """SHA-256 of a weights file, checked against its card. Reads no tensor and imports no torch.

    Raises:
        WeightsError: the file or its card is missing or unreadable, or the two disagree.
    """
    card = read_card(path)
    try:
        digest = file_digest(path)
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {error.strerror}.") from None
    if digest != card["sha256"]:
        raise WeightsError(
            f"the weights {path} are damaged or were changed: their SHA-256 starts with {digest[:12]}, "
            f"their card says {card['sha256'][:12]}; fetch or train them again."
        )
    return digest


def load_weights(
    path: Path | str, *, verify: bool = True, dtype: torch.dtype | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a weights file and its card.

    Args:
        path: a ``.safetensors`` file.
        verify: hold the file's digest against its card. Without it a missing card reads as an empty
            one.
        dtype: of the floating tensors; None: float32.
    Returns:
        Tensors by name on the CPU, and the card.
    Raises:
        WeightsError: missing, damaged, or another digest than the card's.
    """
    import torch
    from safetensors import SafetensorError

    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}.")
    if verify:
        verified_digest(path)
    card = read_card(path) if verify or card_path(path).is_file() else {}
    try:
        return _read(path, dtype or torch.float32), card
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the weights {path} are damaged and cannot be read: {error}.") from None
