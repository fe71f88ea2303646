"""Checks of a dataset in the released layout: what is missing or damaged, and what leaks from one
split into another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbbench.data.videos import faults
from vbbench.data.videos.faults import Fault
from vbbench.data.videos.heldout import is_held_out
from vbbench.data.videos.inspection import Embed, Entry, Inspected, inspect_clip, make_inspector
from vbbench.data.videos.layout import Row, class_files, is_id, read_rows
from vbbench.data.videos.leaks import ALIKE, find_leaks
from vbbench.data.videos.parallel import each
from vbbench.errors import InputError, one_line


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Attributes:
        clips: how many have a row and a folder.
        splits: names and sizes of the two splits that were held against each other.
    """

    faults: tuple[Fault, ...]
    clips: int
    splits: tuple[tuple[str, int], tuple[str, int]]

    def counts(self) -> dict[str, int]:
        """Faults by kind, the commonest first."""
        return dict(
            sorted(
                Counter(fault.kind for fault in self.faults).items(),
                key=lambda pair: (-pair[1], pair[0]),
            )
        )


def check(
    root: Path,
    *,
    videos: Path | None = None,
    against: Path | None = None,
    against_videos: Path | None = None,
    make_embed: Callable[[], Embed] | None = None,
    lowest: float = ALIKE,
    workers: int = 1,
) -> Checked:
    """Check a dataset, and look for leaks: into another dataset, or between its own clips that the
    rule holds out and the others.

    Args:
        root: the dataset's folder.
        videos: folder above the ``page_dir`` of its rows; without it, videos are not looked at, and
            leaks only found by what is stored.
        against: another dataset, whose own faults are not told; against_videos: its videos, the
            same ones by default.
        make_embed: as `make_inspector`; lowest: as `find_leaks`.
        workers: processes.
    Raises:
        InputError: no dataset, or no folder of videos.
        IncompleteError: a worker was killed.
    """
    for folder in (videos, against_videos):
        if folder is not None and not folder.is_dir():
            raise InputError(f"there is no folder of videos {folder}.")
    entries, found = list_entries(root)
    seen = _inspect(entries, videos, make_embed, workers)
    found += [fault for one in seen for fault in one.faults]
    if against is not None:
        others = _inspect(list_entries(against)[0], against_videos or videos, make_embed, workers)
        name, other_name, these = root.name, str(against), seen
    else:
        these = [one for one in seen if not is_held_out(one.entry.source)]
        others = [one for one in seen if is_held_out(one.entry.source)]
        name, other_name = "train", "the held-out split"
    found += find_leaks(these, others, other_name, lowest)
    return Checked(tuple(found), len(entries), ((name, len(these)), (other_name, len(others))))


def _inspect(
    entries: Sequence[Entry],
    videos: Path | None,
    make_embed: Callable[[], Embed] | None,
    workers: int,
) -> list[Inspected]:
    done = {
        one.entry.name: one
        for one in each(entries, inspect_clip, make_inspector, (videos, make_embed), workers)
    }
    return [done[entry.name] for entry in entries]


def list_entries(root: Path) -> tuple[list[Entry], list[Fault]]:
    """The clips that have a row and a folder, and the faults of those that lack one of the two.

    Raises:
        InputError: no dataset.
    """
    entries: list[Entry] = []
    found: list[Fault] = []
    files = class_files(root)
    for class_name, path in files.items():
        try:
            rows = read_rows(path)
        except InputError as error:
            found.append(
                Fault(faults.DAMAGED_CSV, path.name, one_line(error).replace(f"{root}/", ""))
            )
            continue
        good = _good_rows(rows, path, root, found)
        entries += [Entry(root, class_name, row.videoid, row.page_dir, row.source) for row in good]
        listed = {row.videoid for row in rows}
        found += [
            Fault(
                faults.FOLDER_WITHOUT_ROW, f"{class_name}/{name}", f"{path.name} does not name it"
            )
            for name in _folders(root / class_name)
            if name not in listed
        ]
    for name in _folders(root):
        if name not in files:
            found.append(Fault(faults.FOLDER_WITHOUT_ROW, name, f"there is no {name}.csv"))
    return entries, found


def _good_rows(rows: Sequence[Row], path: Path, root: Path, found: list[Fault]) -> list[Row]:
    """Rows that have a folder, each id once; what is wrong with the others goes to the faults."""
    good: dict[str, Row] = {}
    for row in rows:
        where = f"{path.name}, line {row.line}"
        if not is_id(row.videoid):
            found.append(
                Fault(faults.STRANGE_ID, where, f"the videoid {row.videoid!r} cannot name a folder")
            )
        elif row.videoid in good:
            found.append(
                Fault(
                    faults.DUPLICATE_ID,
                    where,
                    f"the videoid {row.videoid!r} stands in line {good[row.videoid].line} too",
                )
            )
        elif not (root / path.stem / row.videoid).is_dir():
            found.append(
                Fault(
                    faults.ROW_WITHOUT_FOLDER,
                    where,
                    f"there is no folder {path.stem}/{row.videoid}",
                )
            )
        else:
            good[row.videoid] = row
    return list(good.values())


def _folders(folder: Path) -> list[str]:
    return (
        sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if folder.is_dir()
        else []
    )
