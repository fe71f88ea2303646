"""Suites that are rendered when first used: what is shipped is how to make them and the digest of what must come out.

They lie in ``<cache>/suites/<name>-<version>-<digest>``, whole or not at all. Their digest counts pixels and texts: the bytes of a PNG
or of a video depend on the library that packs them, the pixels on the drawing code alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vbbench.errors import InputError, SuiteError
from vbbench.resources import CACHE_VARIABLE, cache_dir, file_digest
from vbbench.types import PromptSuite
from vbbench.world.individuals import SPLITS
from vbbench.world.names import CLASSES
from vbbench.world.suites import FIT_CLIPS, OTHER_OFFSET, write_suite

TABLE: Mapping[str, type] = {"per_class": int, "prompts": int, "seed": int, "split": str}
PIXELS = "pixels.json"  # file -> [digest of its bytes, digest of its pixels], so that a suite need not be decoded whenever it is read
SECONDS_A_CLIP = 0.04
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it names a folder


def check_settings(settings: Mapping[str, Any], root: Path) -> None:
    """Whether a suite.toml says soundly how its suite is rendered.

    Raises:
        SuiteError: it does not.
    """
    table = settings["rendered"]
    good = isinstance(table, Mapping) and set(table) == set(TABLE)
    if not good or any(not isinstance(table[key], kind) or isinstance(table[key], bool) for key, kind in TABLE.items()):
        raise SuiteError(f"the suite {root} must say {', '.join(TABLE)} in [rendered], not {table!r}.")
    if not 1 <= table["per_class"] <= OTHER_OFFSET or table["prompts"] < 1 or table["seed"] < 0 or table["split"] not in SPLITS:
        raise SuiteError(f"the suite {root} cannot be rendered with {table!r}.")
    if not _VERSION.fullmatch(settings["version"]) or not _DIGEST.fullmatch(str(settings.get("digest", "0" * 64))):
        raise SuiteError(f"the suite {root} has a version or a digest that cannot name a folder.")


def counts(header: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of subjects and items of a suite that may not be rendered yet."""
    table = header["rendered"]
    subjects = len(CLASSES) * table["per_class"]
    return subjects, subjects * table["prompts"]


def pixel_digests(root: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Digest of the pixels of each picture and video; those that are new here are decoded, and remembered beside them.

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
    partial = root / f".{PIXELS}.{os.getpid()}.tmp"
    try:
        partial.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", "utf-8")
        os.replace(partial, root / PIXELS)
    except OSError:
        return


def _pixel_digest(path: Path) -> str:
    import numpy as np
    from PIL import Image

    from vbbench.types import Video
    from vbbench.video import read_video, video_digest

    try:
        if path.suffix != ".png":
            return video_digest(read_video(path))
        with Image.open(path) as picture:
            return video_digest(Video(np.asarray(picture.convert("RGB"))[None], fps=1))
    except (InputError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise SuiteError(f"{path} cannot be read: {error}") from None


def from_cache(header: Mapping[str, Any], read: Callable[[Path], PromptSuite]) -> PromptSuite:
    """The suite, rendered first where it is not there yet or has been damaged.

    Args:
        header: the settings of its suite.toml.
        read: reads a suite's folder and holds it against the digest recorded in that folder.
    Raises:
        SuiteError: the cache cannot be written to, or other pixels come out here than those recorded.
    """
    folder = cache_dir() / "suites" / f"{header['name']}-{header['version']}-{str(header.get('digest'))[:12]}"
    try:
        found = _read_whole(folder, header, read)
        if found is not None:
            return found
        with _locked(folder):
            found = _read_whole(folder, header, read)  # another process may have rendered it in the meantime
            if found is None:
                _tell(header, folder)
                render_whole(folder, header)
            return found or read(folder)
    except OSError as error:
        raise SuiteError(
            f"the suite {header['name']} is rendered when first used, but {folder.parent} cannot be used for it: "
            f"{error.strerror or error}. Set {CACHE_VARIABLE} to a folder that can be written to."
        ) from None


def _read_whole(folder: Path, header: Mapping[str, Any], read: Callable[[Path], PromptSuite]) -> PromptSuite | None:
    """The rendered suite; None where it is not there, or not as it was recorded."""
    if not folder.is_dir():
        return None
    try:
        suite = read(folder)
    except SuiteError:
        return None
    return suite if suite.digest == header["digest"] else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time renders into a folder; the others wait for it. The lock goes with the process, however it ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.parent / f".{folder.name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another process is rendering {folder}; waiting for it.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _tell(header: Mapping[str, Any], folder: Path) -> None:
    subjects, items = counts(header)
    seconds = SECONDS_A_CLIP * (subjects * FIT_CLIPS + 2 * items)
    what = "is damaged and rendered anew" if folder.exists() else f"is rendered once ({subjects} individuals, {items} prompts)"
    _say(f"the suite {header['name']} {what}, into {folder}; this takes about {max(1, round(seconds))} s.")


def _say(text: str) -> None:
    sys.stderr.write(f"vbbench: {text}\n")
    sys.stderr.flush()


def render_whole(folder: Path, header: Mapping[str, Any]) -> str:
    """Render a suite beside its folder, and put it in the place of what is there once it is whole; returns its digest.

    Args:
        header: name, version, ``rendered``, and the digest that must come out, where there is one.
    Raises:
        SuiteError: other pixels or texts came out than those recorded.
    """
    partial, old = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("tmp", "old"))
    for left_over in (partial, old):  # by a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        digest = write_suite(partial, header["name"], header["version"], **header["rendered"], rendered=True)
        if digest != header.get("digest", digest):
            raise SuiteError(
                f"the suite {header['name']} comes out differently here: its digest is {digest[:12]}, {header['digest'][:12]} is recorded. "
                "The drawing code or the arithmetic of this machine is another, so its scores could stand beside no others; "
                "`vbbench world suite` writes a suite of your own."
            )
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        for left_over in (partial, old):
            shutil.rmtree(left_over, ignore_errors=True)
    return digest
