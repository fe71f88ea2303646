"""What was computed from a video, kept on the disk: the same video under the same encoder is
embedded once in a lifetime.

An entry's name is made of the content it came from and of everything else that decides it, so that
nothing ever has to be declared stale: other weights, another resize, another library or changed
code simply have other names. The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.core.digests import sha256_of
from vbbench.core.files import write_atomic
from vbbench.core.paths import PACKAGE

LIBRARIES = ("torch", "numpy", "pillow", "av", "open_clip_torch", "timm", "scikit-image")

DIGEST_BYTES = 32
EMBEDDING_CODE = ("media", "metrics")
"""Rooms whose code decides an embedding."""


class EmbeddingCache:
    """A folder of arrays, each behind the SHA-256 of its bytes: what a disk has damaged is computed
    anew.

    Args:
        folder: where they lie; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, content: str, key: str) -> np.ndarray | None:
        """The array under that content and key; None where there is none, or none that can be
        read."""
        if self._folder is None:
            return None
        try:
            stored = self._path(self._folder, content, key).read_bytes()
            if hashlib.sha256(stored[DIGEST_BYTES:]).digest() != stored[:DIGEST_BYTES]:
                return None
            return np.load(io.BytesIO(stored[DIGEST_BYTES:]), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def put(self, content: str, key: str, array: np.ndarray) -> None:
        """Keep an array. A folder that cannot be written to keeps nothing: a cache must not end a
        run."""
        if self._folder is None:
            return
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        payload = stream.getvalue()
        with contextlib.suppress(OSError):
            path = self._path(self._folder, content, key)
            write_atomic(path, hashlib.sha256(payload).digest() + payload)

    @staticmethod
    def _path(folder: Path, content: str, key: str) -> Path:
        return folder / key[:16] / content[:2] / f"{content}.npy"


def key_of(**what: Any) -> str:
    """Digest of everything beside the content that decides an array, the code and the libraries
    that compute it included."""
    text = json.dumps(
        {**what, "libraries": _versions(), "code": _code()}, sort_keys=True, default=str
    )
    return sha256_of(text)


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


@cache
def _code() -> str:
    """Digest of the sources that turn files into embeddings; another line is another key."""
    sources: list[bytes] = []
    for room in EMBEDDING_CODE:
        sources += [path.read_bytes() for path in sorted((PACKAGE / room).rglob("*.py"))]
    return sha256_of(b"".join(sources))
