"""The tiny weights for this folder, and a subject of which there are only photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny import items, tiny_weights, weights_root
from tests.models.tiny_sd14 import sd14_weights_root
from vbbench.media.video import read_video, write_video_lossless
from vbbench.types import PromptItem, Subject, Video

__all__ = ["items", "photographed", "sd14_weights_root", "tiny_weights", "weights_root"]


@pytest.fixture
def photographed(items: Sequence[PromptItem], tmp_path: Path) -> Subject:
    """A subject with a clip of one frame for each photograph: the middle frames of its own
    clips."""
    subject = items[0].subject
    clips = tuple(tmp_path / f"{place}.mkv" for place in range(len(subject.clips)))
    for old, new in zip(subject.clips, clips, strict=True):
        write_video_lossless(new, Video(read_video(old).frames[4:5], 8))
    return replace(subject, clips=clips, captions=("a photo of a bear",) * len(clips))
