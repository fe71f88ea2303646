"""What frozen networks make of clips and image prompts, kept in files: with a cache, training is
bit for bit what it is without.

    <folder>/<first two digits>/<SHA-256 of the key>.safetensors     the tensor, and a digest of its
    bytes

Several processes may share a folder: a file appears under its name when it is whole, and whoever
comes later writes the same bytes. A file that was damaged is computed again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from vbbench.core.digests import sha256_of
from vbbench.core.files import write_atomic
from vbbench.core.log import TRAINING

_DIGEST_BYTES = 16


class TensorCache:
    """Tensors by key. Threads may share it.

    Args:
        folder: made when the first tensor is written.
        tell: told once, in a sentence, when nothing more can be written (a full disk); training
            goes on, and what is there is still read.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = TRAINING.warning) -> None:
        self._folder, self._tell = folder, tell
        self._writes = True
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        """File of a key, which may not be there."""
        name = sha256_of(key)
        return self._folder / name[:2] / f"{name}.safetensors"

    def has(self, key: str) -> bool:
        """Whether there is a file for a key; it may turn out to be damaged."""
        return self.path(key).is_file()

    def get(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """The tensor of a key, on the CPU, contiguous, without gradient: read where it can be, else
        computed and written.

        Args:
            key: tells apart everything that the tensor depends on, the network's weights too.
            compute: gives the same bits whenever it is called for this key; what it raises is not
                held up.
        """
        path = self.path(key)
        found = _read(path)
        if found is not None:
            return found
        computed = compute().detach().cpu()
        tensor = computed.reshape(-1).reshape(
            computed.shape
        )  # with the strides that a file gives, of sides of length 1 too
        if self._writes:
            try:
                _write(path, tensor)
            except OSError as error:
                self._stop(error)
        return tensor

    def _stop(self, error: OSError) -> None:
        with self._lock:
            first, self._writes = self._writes, False
        if first:
            self._tell(
                f"the cache {self._folder} cannot be written to ({error.strerror}): from here on nothing more is kept in it."
            )


def _read(path: Path) -> Tensor | None:
    """None where there is no file, or not a whole one."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = load(
            path.read_bytes()
        )  # not by memory map: a file that shrinks meanwhile would end the process
        tensor, digest = content["tensor"], content["digest"]
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None
    return tensor if torch.equal(digest, _digest(tensor)) else None


def _write(path: Path, tensor: Tensor) -> None:
    from safetensors.torch import save

    content = save({"tensor": tensor, "digest": _digest(tensor)})
    write_atomic(path, content)


def _digest(tensor: Tensor) -> Tensor:
    """uint8 (16,): BLAKE2 over dtype, shape and bytes."""
    digest = hashlib.blake2b(
        f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=_DIGEST_BYTES
    )
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
