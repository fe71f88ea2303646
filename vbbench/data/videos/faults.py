"""Kinds of faults that `vbbench data check` finds, and what one looks like."""

from __future__ import annotations

from dataclasses import dataclass

DAMAGED_CSV = "damaged CSV"
DUPLICATE_ID = "duplicate id"
STRANGE_ID = "strange id"
ROW_WITHOUT_FOLDER = "row without folder"
FOLDER_WITHOUT_ROW = "folder without row"
DAMAGED_JSON = "damaged JSON"
MISSING_VIDEO = "missing video"
UNREADABLE_FRAME = "unreadable frame"
UNREADABLE_MASK = "unreadable mask"
EMPTY_MASK = "empty mask"
MASK_SIZE = "mask of another size"
BOX_OUTSIDE = "box outside"
OTHER_CLASS = "label of another class"
SAME_SOURCE = "leak, same source"
SAME_FRAME = "leak, first frame"
SAME_PROMPT = "leak, image prompt"
SAME_EMBEDDING = "leak, embedding"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: one of those above.
        file: which file or folder, relative to the dataset's folder.
        reason: a sentence without its full stop.
    """

    kind: str
    file: str
    reason: str

    def __str__(self) -> str:
        return " ".join(f"{self.kind}: {self.file}: {self.reason.rstrip('.')}.".split())
