"""Which examples can be trained on: told before a training begins, not in the middle of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from PIL import Image

from vbbench.data.videos.loader import Example
from vbbench.data.videos.nouns import check_classes, find_noun
from vbbench.errors import InputError, UsageError, one_line
from vbbench.media.video import count_frames, probe
from vbbench.training.real.settings import ClipSettings

_SURE = 2  # a header that promises so many times the frames that are needed is believed


def usable(
    examples: Sequence[Example],
    settings: ClipSettings,
    *,
    fits: Callable[[str, str], object] | None = None,
    workers: int | None = None,
) -> tuple[list[Example], list[str]]:
    """Examples whose subject word stands in the caption and whose clip is long enough, in their
    order; and a sentence about each other.

    No picture is decoded; clips whose header does not tell their length for certain are read
    through.

    Args:
        fits: called with caption and subject word; raises `InputError` where the text encoder
            cannot take them.
        workers: threads; as many as there are processors, at most 8, by default.
    """
    look = partial(_why_not, settings=settings, fits=fits)
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        reasons = list(pool.map(look, examples))
    return [one for one, reason in zip(examples, reasons, strict=True) if reason is None], [
        one for one in reasons if one is not None
    ]


def _why_not(
    example: Example, settings: ClipSettings, fits: Callable[[str, str], object] | None
) -> str | None:
    try:
        word = subject_word(example)
        if fits is not None:
            fits(example.caption, word)
        _check_mask(example)
        promised = probe(example.video).frames
        if promised is None or promised < _SURE * settings.num_frames:
            interval_of(count_frames(example.video), settings, example)
    except InputError as error:
        text = one_line(error)
        return (
            text if example.videoid in text else f"{example.class_name}/{example.videoid}: {text}"
        )
    return None


def _check_mask(example: Example) -> None:
    """Its header alone; the pixels are read when they are wanted."""
    try:
        with Image.open(example.mask):
            pass
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else "it cannot be read"
        raise InputError(f"the mask {example.mask}: {reason}.") from None


def subject_word(example: Example) -> str:
    """The word of the caption that the image prompt stands for: the example's label, else the noun
    of its class.

    Raises:
        InputError: neither stands in the caption as a word.
    """
    if example.label and _stands_in(example.label, example.caption):
        return example.label
    noun = _noun(example)
    if noun is None:
        raise InputError(
            f"{example.class_name}/{example.videoid}: the caption {example.caption[:80]!r} does not hold {example.label!r}."
        )
    return noun


def _noun(example: Example) -> str | None:
    try:
        found = find_noun(example.caption, check_classes([example.class_name]))
    except UsageError:  # a class whose name is no word
        return None
    return found.word if found is not None and _stands_in(found.word, example.caption) else None


def _stands_in(word: str, text: str) -> bool:
    """As a whole word, in any case; spaces are one space."""
    spaced = r"\s+".join(re.escape(part) for part in word.split())
    return bool(spaced) and re.search(rf"(?<!\w){spaced}(?!\w)", text, re.IGNORECASE) is not None


def interval_of(total: int, settings: ClipSettings, example: Example) -> int:
    """Frames from one frame of a clip to its next: as asked for, or as many as a short video has
    room for.

    Raises:
        InputError: it has fewer frames than a clip.
    """
    if total < settings.num_frames:
        raise InputError(
            f"{example.class_name}/{example.videoid}: the video has {total} frames, and a clip takes {settings.num_frames} of them."
        )
    return min(settings.frame_interval, (total - 1) // max(1, settings.num_frames - 1)) or 1
