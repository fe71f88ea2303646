"""From videos and captions to image prompts, as the paper made its training data (section 4.1), in the released dataset's layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vbbench.datasets.captions import Caption
from vbbench.datasets.clips import AGAIN, KEPT, PARTIAL, Record, Terms, build_clip, make_builder
from vbbench.datasets.parallel import each
from vbbench.datasets.records import Records
from vbbench.datasets.sheet import write_sheet
from vbbench.errors import InputError

SHEET = "contact-sheet.png"
_FORMAT = 1


@dataclass(frozen=True)
class Built:
    """What a build came to: the records of all clips, in the order of the captions."""

    records: tuple[Record, ...]

    @property
    def kept(self) -> int:
        """How many clips are in the dataset."""
        return sum(record["status"] == KEPT for record in self.records)

    @property
    def unjudged(self) -> int:
        """How many could not be judged: their videos were missing or unreadable, or the segmenter failed."""
        return sum(record.get("kind") in AGAIN for record in self.records)

    def dropped(self) -> dict[str, int]:
        """How many were dropped, by the kind of reason, the commonest first."""
        counts: dict[str, int] = {}
        for record in self.records:
            if record["status"] != KEPT:
                counts[record["kind"]] = counts.get(record["kind"], 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def settings_of(terms: Terms) -> dict[str, Any]:
    """Everything that decides a dataset besides videos and captions. Makes the segmenter, so that it fails here if it must."""
    segmenter = make_builder(terms).segmenter
    how = {"name": segmenter.name, **segmenter.settings()}
    return {"format": _FORMAT, "classes": list(terms.classes), "segmenter": how, "filters": asdict(terms.filters)}


def build(terms: Terms, captions: Sequence[Caption], *, workers: int = 1, advance: Callable[[Record], None] = lambda _: None) -> Built:
    """Look at every clip that has not been looked at, and write the dataset's files.

    Stopped at any moment, all but the clips that were being looked at is kept, and the same call goes on. The files do not depend on
    the number of workers, nor on interruptions.

    Args:
        workers: processes.
        advance: told of every new record.
    Raises:
        InputError: no folder of videos; or as `Records`.
        UsageError, WeightsError: as `make_segmenter`.
        IncompleteError: a worker was killed.
    """
    if not terms.videos.is_dir():
        raise InputError(f"there is no folder of videos {terms.videos}.")
    with Records(terms.out, settings_of(terms)) as records:
        for left in terms.out.glob(f"*/{PARTIAL}*"):  # what was being written when an earlier build was killed
            shutil.rmtree(left, ignore_errors=True)
        for record in each(records.missing(captions), build_clip, make_builder, (terms,), workers):
            records.add(record)
            advance(record)
        done = records.finish(captions)
        write_sheet(terms.out / SHEET, done, terms.videos, terms.out)
    return Built(tuple(done))
