"""The captions that a build begins with: a CSV file with a clip a row, as WebVid's are.

Columns: ``videoid`` (or ``id``) and ``name`` (or ``caption``, ``text``); ``page_dir`` and
``source`` where known; others are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vbbench.data.videos.layout import is_id, read_table
from vbbench.errors import InputError

_NAMES = {
    "videoid": ("videoid", "id"),
    "name": ("name", "caption", "text"),
    "page_dir": ("page_dir",),
    "source": ("source",),
}
_REQUIRED = ("videoid", "name")


@dataclass(frozen=True)
class Caption:
    """A clip to look at.

    Attributes:
        videoid: unique; names the clip's folder.
        page_dir: folder of its video below that of all videos; may be empty.
        name: the caption.
        source: id of what it was cut from; empty where nothing says so.
    """

    videoid: str
    page_dir: str
    name: str
    source: str


def read_captions(path: Path) -> list[Caption]:
    """The rows of a captions file, in their order.

    Raises:
        InputError: unreadable, no CSV in UTF-8, a missing column, no row, or a videoid that is
            missing, strange, or there twice. The sentence names the line.
    """
    captions: list[Caption] = []
    lines: dict[str, int] = {}
    for line, cells in read_table(path, ()):
        found = {
            key: next((cells[name] for name in names if name in cells), None)
            for key, names in _NAMES.items()
        }
        for key in _REQUIRED:
            if found[key] is None:
                raise InputError(
                    f"{path}, line 1: a column {' or '.join(_NAMES[key])} is needed; it has {', '.join(cells)}."
                )
        one = Caption(**{key: value or "" for key, value in found.items()})
        if not is_id(one.videoid):
            raise InputError(
                f"{path}, line {line}: the videoid {one.videoid!r} cannot name a folder."
            )
        if lines.setdefault(one.videoid, line) != line:
            raise InputError(
                f"{path}, line {line}: the videoid {one.videoid!r} stands in line {lines[one.videoid]} too."
            )
        captions.append(one)
    if not captions:
        raise InputError(f"{path} holds no row below its header.")
    return captions
