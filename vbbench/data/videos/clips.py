"""One clip of a build: from its caption and its first frame to its folder, or to the reason why
there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vbbench.core.files import atomic_folder
from vbbench.data.videos.captions import Caption
from vbbench.data.videos.filters import Filters, why_not
from vbbench.data.videos.layout import cut_out, find_video
from vbbench.data.videos.nouns import Noun, find_noun
from vbbench.data.videos.segmenters import Found, Segmenter, make_segmenter
from vbbench.errors import InputError, one_line

Record = dict[str, Any]
KEPT, DROPPED = "kept", "dropped"
NO_NOUN, NO_VIDEO, UNREADABLE, NOTHING, FAILED = (
    "no noun",
    "no video",
    "unreadable video",
    "nothing found",
    "segmenter failed",
)
AGAIN = frozenset({NO_VIDEO, UNREADABLE, FAILED})
"""Reasons that may be gone the next time."""


@dataclass(frozen=True)
class Terms:
    """What is the same for all clips of a build; goes to every process."""

    videos: Path
    out: Path
    classes: tuple[str, ...]
    segmenter: str
    options: Mapping[str, Any]
    filters: Filters


@dataclass(frozen=True)
class Builder:
    """The terms, and the segmenter that this process made by them."""

    terms: Terms
    segmenter: Segmenter


def make_builder(terms: Terms) -> Builder:
    """Raises what `make_segmenter` raises."""
    return Builder(terms, make_segmenter(terms.segmenter, terms.options))


def build_clip(builder: Builder, clip: Caption) -> Record:
    """Look at one clip; where it is good, its folder is there, whole, when this returns.

    Returns:
        Its record: JSON, the same on every machine with the same pixels.
    """
    terms = builder.terms
    known: Record = {
        "videoid": clip.videoid,
        "page_dir": clip.page_dir,
        "name": clip.name,
        "source": clip.source,
    }
    noun = find_noun(clip.name, terms.classes)
    if noun is None:
        return _dropped(known, NO_NOUN, f"the caption speaks of none of {', '.join(terms.classes)}")
    known |= {"class": noun.class_name, "word": noun.word}
    path = find_video(terms.videos, clip.page_dir, clip.videoid)
    if path is None:
        return _dropped(
            known, NO_VIDEO, f"there is no video {Path(clip.page_dir) / clip.videoid}.mp4"
        )
    try:
        frames_THWC = _start(path, builder.segmenter.num_frames)
    except InputError as error:
        return _dropped(
            known, UNREADABLE, one_line(error).replace(f"{terms.videos}{os.sep}", "").rstrip(".")
        )
    known["frame"] = [int(side) for side in frames_THWC.shape[1:3]]
    try:
        found = builder.segmenter.find(frames_THWC, noun.class_name)
    except Exception as error:  # one strange picture must not stop all others
        return _dropped(known, FAILED, one_line(error)[:300].rstrip("."))
    reasons = [why_not(one, terms.filters) for one in found]
    good = [one for one, reason in zip(found, reasons, strict=True) if reason is None]
    against = [reason for reason in reasons if reason is not None]
    if not good:
        return _dropped(
            known,
            *(against[0] if against else (NOTHING, f"the segmenter finds no {noun.class_name}")),
        )
    entries = _write(terms.out / noun.class_name / clip.videoid, frames_THWC[0], good, noun)
    return {
        **known,
        "status": KEPT,
        "objects": entries,
        "left_out": [sentence for _, sentence in against],
    }


def _start(path: Path, count: int) -> np.ndarray:
    from vbbench.media.video import read_start

    return read_start(path, count)


def _dropped(known: Record, kind: str, reason: str) -> Record:
    return {**known, "status": DROPPED, "kind": kind, "reason": reason}


def _write(folder: Path, frame_HW3: np.ndarray, found: list[Found], noun: Noun) -> list[Record]:
    """Write a clip's folder, in the place of one that an attempt left which was stopped before its
    record was written; returns what stands in mask.json, with the masks' shares."""
    entries = []
    with atomic_folder(folder, replace=True) as partial:
        for value, one in enumerate(found, 1):
            mask = Image.fromarray(one.mask_HW.astype(np.uint8) * 255)
            mask.save(partial / f"mask_{value}.png")
            prompt = Image.fromarray(cut_out(frame_HW3, one.mask_HW, one.box))
            prompt.save(partial / f"prompt_{value}.png")
            box = [round(float(number), 2) for number in one.box]
            logit = round(float(one.score), 4)
            entries.append({"value": value, "label": noun.word, "logit": logit, "box": box})
        (partial / "mask.json").write_text(json.dumps(entries), encoding="utf-8")
    return [
        {**entry, "share": round(float(one.mask_HW.mean()), 4)}
        for entry, one in zip(entries, found, strict=True)
    ]
