"""Which of given files is which part of scale sd14: told by what is in them, not by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vbbench.errors import WeightsError
from vbbench.models import released
from vbbench.models.released import KINDS, MAPPER, UNET
from vbbench.models.tensor_files import SUFFIXES, TensorFile, open_tensors

_NAMED = {"watermark_remove_module": UNET, "mapper": MAPPER}
_VARIANT = re.compile(r"[.-](fp16|non_ema|bf16)\b")


@dataclass(frozen=True)
class Part:
    """One kind's tensors (see `vbbench.models.released`), by their publisher's names, and the file they lie in."""

    kind: str
    file: TensorFile
    tensors: Mapping[str, Tensor] = field(repr=False)


def find_parts(paths: Sequence[Path]) -> dict[str, Part]:
    """Open files, and those in folders, and tell what each is.

    Args:
        paths: a file that is none of `released.KINDS` is passed over in a folder, and refused where it is named itself.
    Raises:
        WeightsError: a path that is not there, a file that cannot be read or is another than its name says, or two of one kind.
    """
    parts: dict[str, list[Part]] = {}
    for path, named in _files(paths):
        file = open_tensors(path)
        kinds = released.kinds_of(file.tensors)
        _check_name(path, file, kinds)
        if not kinds and named:
            raise WeightsError(f"{path} holds {released.what_else(file.tensors)}, and none of {', '.join(KINDS.values())}.")
        for kind in sorted(kinds):
            parts.setdefault(kind, []).append(Part(kind, file, released.as_published(kind, file.tensors)))
    return {kind: _only(found) for kind, found in parts.items()}


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file once, and whether it was named itself."""
    seen = set()
    for path in paths:
        if not path.exists():
            raise WeightsError(f"there is no file or folder {path}.")
        for file in _in_folder(path) if path.is_dir() else [path]:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, not path.is_dir()


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file() and not _VARIANT.search(path.name))
    safe = {path.parent for path in found if path.suffix == ".safetensors"}
    return [path for path in found if path.suffix != ".bin" or path.parent not in safe]  # the same again, as a pickle


def _check_name(path: Path, file: TensorFile, kinds: set[str]) -> None:
    """A released file's name with something else in it is a mistake."""
    expected = next((kind for name, kind in _NAMED.items() if path.name.startswith(name)), None)
    if expected is not None and expected not in kinds:
        found = " and ".join(KINDS[kind] for kind in sorted(kinds)) or released.what_else(file.tensors)
        under = f" under its key {file.key!r}" if file.key else ""
        raise WeightsError(
            f"{path} should hold {KINDS[expected]}, and holds {found}{under}: fetch it again, or rename it if that is meant."
        )


def _only(parts: Sequence[Part]) -> Part:
    """The one part of its kind; all of CLIP gives way to a file of one tower alone."""
    if len(parts) > 1:
        alone = [part for part in parts if len(released.kinds_of(part.file.tensors)) == 1]
        parts = alone if len(alone) == 1 else parts
    if len(parts) > 1:
        places = " and ".join(str(part.file.path) for part in parts)
        raise WeightsError(f"{KINDS[parts[0].kind]} is there {len(parts)} times, in {places}: name the files that are meant.")
    return parts[0]
