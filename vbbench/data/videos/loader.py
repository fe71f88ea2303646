"""One example of a dataset after the other, as training reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vbbench.core.names import nearest
from vbbench.data.videos import heldout
from vbbench.data.videos.layout import (
    Row,
    class_files,
    cut_out,
    find_video,
    is_id,
    read_instances,
    read_mask,
    read_rows,
)
from vbbench.errors import InputError, UsageError, one_line


@dataclass(frozen=True)
class Example:
    """A subject in a video, and the caption.

    Attributes:
        source: id of what the clip was cut from; it decides the split.
        video: file of the clip.
        mask: file of the subject's mask in the first frame.
        box: x1, y1, x2, y2 in pixels of the first frame.
        label: by which word the subject is called.
        score: the detector's, 0..1.
    """

    class_name: str
    videoid: str
    source: str
    video: Path
    mask: Path
    box: tuple[float, float, float, float]
    label: str
    score: float
    caption: str

    def image_prompt(self) -> np.ndarray:
        """The subject on white, uint8 (S, S, 3), not resized; decodes the first frame.

        Raises:
            InputError: frame or mask cannot be read, or do not fit each other.
        """
        from vbbench.media.video import read_start

        return cut_out(read_start(self.video)[0], read_mask(self.mask), self.box)


def examples(
    root: Path | str,
    videos: Path | str,
    *,
    classes: Sequence[str] = (),
    split: str | None = None,
    on_fault: Callable[[str], None] | None = None,
) -> Iterator[Example]:
    """Every subject of a dataset: class by class, in the order of the rows.

    Args:
        root: the dataset's folder; videos: the folder above the ``page_dir`` of its rows.
        classes: only these; all that are there by default.
        split: ``train`` or ``heldout`` (`vbbench.data.videos.heldout`); both by default.
        on_fault: told a sentence about each clip that cannot be used, which is then left out.
    Raises:
        InputError: no such dataset; or, without ``on_fault``, a clip without its video or with a
            damaged mask.json.
        UsageError: a class or split that is none.
    """
    if split not in (None, "train", "heldout"):
        raise UsageError(f"a split is train or heldout, not {split!r}.")
    files = class_files(Path(root))
    for name in classes:
        if name not in files:
            raise UsageError(f"there is no class {name!r} in {root}: {nearest(name, files)}")
    for class_name in classes or files:
        for row in read_rows(files[class_name]):
            if split not in (None, heldout.split_of(row.source)):
                continue
            try:
                video = _video_of(row, files[class_name], Path(videos))
                found = read_instances(Path(root) / class_name / row.videoid)
            except InputError as error:
                if on_fault is None:
                    raise
                on_fault(one_line(error))
                continue
            for one in found:
                yield Example(
                    class_name,
                    row.videoid,
                    row.source,
                    video,
                    one.mask,
                    one.box,
                    one.label,
                    one.score,
                    row.name,
                )


def _video_of(row: Row, table: Path, videos: Path) -> Path:
    """A row's video file; ``table`` is the file that the row stands in.

    Raises:
        InputError: its name is none for a folder, or the file is not there.
    """
    if not is_id(row.videoid):
        raise InputError(
            f"{table}, line {row.line}: the videoid {row.videoid!r} cannot name a folder."
        )
    video = find_video(videos, row.page_dir, row.videoid)
    if video is None:
        raise InputError(f"the video {row.page_dir}/{row.videoid} is not in {videos}.")
    return video
