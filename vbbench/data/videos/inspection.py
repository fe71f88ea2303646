"""One clip of a dataset, looked at: its faults, and the fingerprints by which it is found in
another split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vbbench.data.videos import faults
from vbbench.data.videos.faults import Fault
from vbbench.data.videos.filters import clipped_box
from vbbench.data.videos.fingerprints import Fingerprint, fingerprint
from vbbench.data.videos.layout import Instance, cut_out, find_video, read_instances, read_mask
from vbbench.data.videos.nouns import CLASSES, find_noun
from vbbench.errors import InputError, one_line

SLACK = 1.0  # pixels by which a detector's box may overrun the frame
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Entry:
    """A clip that a dataset lists and has a folder for."""

    root: Path
    class_name: str
    videoid: str
    page_dir: str
    source: str

    @property
    def name(self) -> str:
        """The folder, relative to the dataset's."""
        return f"{self.class_name}/{self.videoid}"


@dataclass
class Inspected:
    """What was found in a clip; fingerprints and embeddings of pictures that could be read."""

    entry: Entry
    faults: list[Fault] = field(default_factory=list)
    frame: Fingerprint | None = None
    prompts: list[Fingerprint] = field(default_factory=list)
    embeddings: list[np.ndarray] = field(default_factory=list)

    def add(self, kind: str, file: str, reason: object) -> None:
        """Note a fault; paths in the reason are shortened to those inside of the dataset."""
        text = one_line(reason) if isinstance(reason, BaseException) else str(reason)
        place = f"{self.entry.name}/{file}".rstrip("/")
        self.faults.append(
            Fault(kind, place, text.replace(f"{self.entry.root}/", "").removeprefix(f"{place} "))
        )


@dataclass(frozen=True)
class Inspector:
    """What is the same for all clips: where the videos are (None: not looked at), and the
    embedding, if any."""

    videos: Path | None
    embed: Embed | None


def make_inspector(videos: Path | None, make_embed: Callable[[], Embed] | None) -> Inspector:
    """Made anew in every process.

    Args:
        make_embed: makes the encoder that embeds image prompts, as
            `vbbench.metrics.encoders.encoders.picture_embedder` does; None for none. It travels to
            other processes, so it must be picklable.
    Raises:
        WeightsError: the encoder's weights cannot be had.
    """
    return Inspector(videos, make_embed() if make_embed else None)


def inspect_clip(inspector: Inspector, entry: Entry) -> Inspected:
    """Look at one clip."""
    seen = Inspected(entry)
    frame = _first_frame(inspector, seen)
    folder = entry.root / entry.class_name / entry.videoid
    try:
        instances = read_instances(folder)
    except InputError as error:
        seen.add(faults.DAMAGED_JSON, "mask.json", error)
        instances = []
    for instance in instances:
        _check_label(instance, seen)
        prompt = _check_mask(instance, frame, seen)
        if prompt is None:
            continue
        mark = fingerprint(prompt)
        seen.prompts += [mark] if mark else []
        seen.embeddings += [inspector.embed(prompt)] if inspector.embed else []
    return seen


def _first_frame(inspector: Inspector, seen: Inspected) -> np.ndarray | None:
    from vbbench.media.video import read_start

    entry = seen.entry
    if inspector.videos is None:
        return None
    path = find_video(inspector.videos, entry.page_dir, entry.videoid)
    if path is None:
        seen.add(
            faults.MISSING_VIDEO,
            "",
            f"there is no video {Path(entry.page_dir) / entry.videoid}.mp4 among the videos",
        )
        return None
    try:
        frame = read_start(path)[0]
    except InputError as error:
        seen.add(faults.UNREADABLE_FRAME, "", str(error).replace(f"{inspector.videos}/", ""))
        return None
    seen.frame = fingerprint(frame)
    return frame


def _check_label(instance: Instance, seen: Inspected) -> None:
    own = seen.entry.class_name
    noun = find_noun(instance.label, (*CLASSES, *(() if own in CLASSES else (own,))))
    if noun is None or noun.class_name != own:
        seen.add(
            faults.OTHER_CLASS,
            "mask.json",
            f"the label {instance.label!r} is not of the class {own}",
        )


def _check_mask(instance: Instance, frame: np.ndarray | None, seen: Inspected) -> np.ndarray | None:
    """Checks mask and box, and returns the image prompt where there can be one."""
    file = instance.mask.name
    try:
        mask = read_mask(instance.mask)
    except InputError as error:
        seen.add(faults.UNREADABLE_MASK, file, error)
        return None
    size = mask.shape if frame is None else frame.shape[:2]
    fits = _check_box(instance, size, seen)
    if mask.shape != size:
        seen.add(faults.MASK_SIZE, file, f"it is {_size(mask.shape)}, the frame {_size(size)}")
        return None
    if not mask.any():
        seen.add(faults.EMPTY_MASK, file, "it shows no subject")
        return None
    x1, y1, x2, y2 = clipped_box(instance.box, size)
    if fits and not mask[y1:y2, x1:x2].any():
        seen.add(faults.EMPTY_MASK, file, "nothing of the subject lies in the box")
        return None
    if frame is None or x2 <= x1 or y2 <= y1:
        return _stored_prompt(instance)
    return cut_out(frame, mask, instance.box)


def _check_box(instance: Instance, size: Any, seen: Inspected) -> bool:
    height, width = size
    x1, y1, x2, y2 = instance.box
    if x2 <= x1 or y2 <= y1:
        seen.add(faults.BOX_OUTSIDE, "mask.json", f"the box {list(instance.box)} has no area")
        return False
    if min(x1, y1) < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
        seen.add(
            faults.BOX_OUTSIDE,
            "mask.json",
            f"the box {list(instance.box)} reaches out of the frame of {_size(size)}",
        )
        return False
    return True


def _stored_prompt(instance: Instance) -> np.ndarray | None:
    from vbbench.media.pictures import load_picture

    try:
        return load_picture(instance.mask.with_name(f"prompt_{instance.value}.png"))
    except InputError:
        return None


def _size(size: Any) -> str:
    return f"{size[1]} x {size[0]} pixels"
