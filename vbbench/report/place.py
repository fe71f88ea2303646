"""Where a report may be written: nothing of anybody else's is replaced or removed, and nothing
outside of its folder is touched."""

from __future__ import annotations

from pathlib import Path

from vbbench.errors import UsageError
from vbbench.report.site.site import MARK as SITE

MARK = "· vbbench</title>"
"""Stands in every page of a report, and of earlier versions."""
FOLDERS = ("items", "models", "media", "figures")


def is_ours(page: Path) -> bool:
    """Whether a page is one of a report."""
    return MARK in page.read_text("utf-8", "replace")


def check_place(folder: Path) -> None:
    """Does nothing where a report may be written.

    Raises:
        UsageError: the folder holds somebody else's page or links where a report's files would go,
            or is that of a run.
    """
    if (folder / "manifest.json").is_file() and (folder / "jobs.jsonl").is_file():
        raise UsageError(
            f"{folder} is a run folder: a report needs one of its own, {folder / 'report'} for one."
        )
    index = folder / "index.html"
    if index.is_file() and (
        SITE in (text := index.read_text("utf-8", "replace")) or MARK not in text
    ):
        raise UsageError(
            f"{index} is another page and would be lost: name another folder with --out, or move it."
        )
    linked = [
        path
        for path in (*(folder / name for name in FOLDERS), *folder.glob("*.*"))
        if path.is_symlink()
    ]
    linked += [path for name in FOLDERS for path in (folder / name).glob("*") if path.is_symlink()]
    if linked:
        raise UsageError(
            f"{linked[0]} is a link, and what it leads to would be written over: name another folder with --out, or remove it."
        )
