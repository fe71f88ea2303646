"""Digests of pictures and videos by their pixels.

The bytes of a PNG or of a video depend on the library that packs them, the pixels on the drawing
code alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from vbbench.core.digests import file_digest
from vbbench.core.files import write_atomic
from vbbench.errors import InputError, SuiteError

# file -> [digest of its bytes, digest of its pixels], so that a suite need not be decoded whenever
# it is read
PIXELS = "pixels.json"


def pixel_digests(root: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Digest of the pixels of each picture and video; those that are new here are decoded, and
    remembered beside them.

    Raises:
        SuiteError: a file cannot be read.
    """
    known = _remembered(root)
    found: dict[str, str] = {}
    for name, path in files.items():
        content = file_digest(path)
        if known.get(name, [None])[0] != content:
            known[name] = [content, _pixel_digest(path)]
        found[name] = known[name][1]
    if known != _remembered(root):
        _remember(root, known)
    return found


def _remembered(root: Path) -> dict[str, list[str]]:
    try:
        known = json.loads((root / PIXELS).read_text("utf-8"))
        return {name: [str(content), str(pixels)] for name, (content, pixels) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(root: Path, known: Mapping[str, list[str]]) -> None:
    """Only spares time: a folder that cannot be written to is decoded again."""
    with contextlib.suppress(OSError):
        write_atomic(root / PIXELS, json.dumps(known, indent=0, sort_keys=True) + "\n")


def _pixel_digest(path: Path) -> str:
    import numpy as np
    from PIL import Image

    from vbbench.media.video import read_video, video_digest
    from vbbench.types import Video

    try:
        if path.suffix != ".png":
            return video_digest(read_video(path))
        with Image.open(path) as picture:
            return video_digest(Video(np.asarray(picture.convert("RGB"))[None], fps=1))
    except (InputError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise SuiteError(f"{path} cannot be read: {error}") from None
