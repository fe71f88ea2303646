"""Files of many gigabytes: tensors that stay on the disk until they are read, and are written one
after the other.

Formats: safetensors (8 bytes with the header's length, a JSON header, then the tensors' bytes), and
PyTorch's zip files, whose pickle is read with ``weights_only=True``: nothing in a file is ever run
as code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbbench.core.files import atomic_file
from vbbench.core.weights_file import card_path
from vbbench.errors import WeightsError, reason_of

TOP_LEVEL_KEYS = ("ema_unet", "ema", "unet", "model", "state_dict")
"""Under which a file may hold its tensors, the preferred one first; the released files have
``ema_unet`` (also ``unet``) and ``ema``."""

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
FLOATING = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
"""The kinds of numbers that weights may be of, and what safetensors calls them."""

_CODE = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True)
class TensorFile:
    """An opened file.

    Attributes:
        path: where it lies.
        key: the top-level key under which the tensors lay; None: at the top.
        tensors: by name; where the format allows it they lie in the file until they are read.
    """

    path: Path
    key: str | None
    tensors: dict[str, Tensor]


def open_tensors(path: Path) -> TensorFile:
    """Open a ``.safetensors`` or PyTorch file.

    Raises:
        WeightsError: no such file, empty, cut off, damaged, with code in it, or without a table of
            tensors.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}.")
    if not path.stat().st_size:
        raise WeightsError(f"{path} is empty: fetch it again.")
    if path.suffix == ".safetensors":
        return TensorFile(path, None, _from_safetensors(path))
    content = _from_pickle(path)
    key, table = _table_in(content)
    if not table:
        there = (
            f": at its top it has {', '.join(map(str, list(content)[:8]))}"
            if isinstance(content, Mapping) and content
            else ""
        )
        raise WeightsError(f"{path} holds no table of tensors{there}.")
    return TensorFile(path, key, {str(name): tensor.detach() for name, tensor in table.items()})


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path} is cut off or damaged, or no safetensors file: {reason_of(error)}."
        ) from None


def _from_pickle(path: Path) -> Any:
    # what training scripts keep their options in; it can only hold values
    with torch.serialization.safe_globals([argparse.Namespace]):
        try:
            return _load(path)
        except pickle.UnpicklingError as error:
            code = _CODE.search(str(error))
            if code is not None:
                raise WeightsError(
                    f"{path} holds code besides tensors ({code[1]}), which is never run: have its tensors alone, as safetensors."
                ) from None
            raise WeightsError(
                f"{path} is cut off or damaged, or no file of weights: {reason_of(error)}."
            ) from None
        except Exception as error:  # a dozen kinds, of zip files, pickles and tensors
            raise WeightsError(
                f"{path} is cut off or damaged, or no file of weights: {reason_of(error)}."
            ) from None


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap can only be used" not in str(error):
            raise
    return torch.load(
        path, map_location="cpu", weights_only=True
    )  # written by PyTorch before 1.6: read whole


def _table_in(content: Any) -> tuple[str | None, Mapping[Any, Tensor]]:
    """The table of tensors in what a file holds, and under which key it lies; an empty one where
    there is none."""
    if _is_table(content):
        return None, content
    tables = (
        {key: value for key, value in content.items() if _is_table(value)}
        if isinstance(content, Mapping)
        else {}
    )
    key = next(
        (key for key in TOP_LEVEL_KEYS if key in tables),
        next(iter(tables), None) if len(tables) == 1 else None,
    )
    return (None, {}) if key is None else (str(key), tables[key])


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(each, Tensor) for each in value.values())
    )


# --- writing
# ----------------------------------------------------------------------------------------------------------


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any], *, source: str
) -> None:
    """Write tensors as they are, one at a time, and their card beside them with the file's SHA-256
    added.

    Both appear under their names only when they are whole.

    Args:
        path: ends in ``.safetensors``; its folder is made where missing.
        tensors: of the dtypes in `FLOATING`; the file's tensors are bit for bit these.
        card: JSON-able facts.
        source: where the tensors come from, for messages.
    Raises:
        WeightsError: a tensor holds NaN or infinities.
    """
    order = sorted(
        tensors, key=lambda name: (-tensors[name].element_size(), name)
    )  # so that every tensor starts aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": FLOATING[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_file(path) as partial, atomic_file(card_path(path)) as partial_card:
        with partial.open("wb") as file:
            for part in (len(text).to_bytes(8, "little"), text):
                file.write(part)
                digest.update(part)
            for name in order:
                _refuse_not_finite(tensors[name], name, source)
                data = tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data
                file.write(data)
                digest.update(data)
            _flush(file)
        partial_card.write_text(
            json.dumps({**card, "sha256": digest.hexdigest()}, indent=2, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def write_pickle(path: Path, tensors: Mapping[str, Tensor], key: str | None) -> None:
    """Write a PyTorch file that holds the tensors under a top-level key (None: at the top)."""
    content = dict(tensors) if key is None else {key: dict(tensors)}
    with atomic_file(path) as partial, partial.open("wb") as file:
        torch.save(content, file)
        _flush(file)


def _refuse_not_finite(tensor: Tensor, name: str, source: str) -> None:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise WeightsError(
            f"{name} of {source} holds NaN or infinite values: the file is damaged, or its training went wrong."
        )


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the first tensor that holds NaN or infinities; None where none does."""
    return next(
        (
            name
            for name, each in tensors.items()
            if each.is_floating_point() and not torch.isfinite(each).all()
        ),
        None,
    )


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
