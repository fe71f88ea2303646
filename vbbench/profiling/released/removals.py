"""What the released step does that need not be done, one flag each; every removal leaves the
numbers alone (up to rounding)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["LADDER", "Removals", "all_removals", "ladder"]


@dataclass(frozen=True)
class Removals:
    """What a step leaves out; all off is the released formulation.

    Attributes:
        dead_blocks: the image prompt's transformer block runs once, not twice with the first result
            thrown away; so do the normalisations and the projection before it.
        unread_image_keys: the image prompt's keys and values are projected for the one frame that
            is read.
        unread_image_layers: the image prompt stops where its last keys and values have been read.
        doubled_keys: frames 0 and 1 read frame 0 once (a softmax over every key twice is the
            softmax over every key once).
        cross_frame_copies: cross-frame attention by a backend of `vbbench.attention`, without keys
            and values gathered for every frame and without stored scores.
        text_repeats: text keys and values are projected for a clip, not for every frame of it.
        text_every_step: they are kept over a clip's steps (and given to the step: `keep_text`).
        text_scores: text attention without stored scores.
        temporal_copies: temporal attention without stored scores and without moving the frames to
            the last axis but one.
        pixel_convolutions: 1 x 1 convolutions as linear layers, on the layout the transformer has
            anyway.
        planar_layout: channels last in memory, so that tokens, frames and pictures are views of
            each other (the caller lays out the weights).
        backend: which backend of `vbbench.attention` replaces the copies; None: its own choice.
    """

    dead_blocks: bool = False
    unread_image_keys: bool = False
    unread_image_layers: bool = False
    doubled_keys: bool = False
    cross_frame_copies: bool = False
    text_repeats: bool = False
    text_every_step: bool = False
    text_scores: bool = False
    temporal_copies: bool = False
    pixel_convolutions: bool = False
    planar_layout: bool = False
    backend: str | None = None


LADDER: dict[str, str] = {
    "dead_blocks": "image prompt's blocks run once, not twice",
    "unread_image_keys": "image prompt's keys and values for the one frame that is read",
    "unread_image_layers": "image prompt stops after its last read",
    "doubled_keys": "frames 0 and 1 read frame 0 once",
    "cross_frame_copies": "cross-frame attention without copies and stored scores",
    "text_repeats": "text keys and values once a clip, not once a frame",
    "text_every_step": "text keys and values kept over the steps",
    "text_scores": "text attention without stored scores",
    "temporal_copies": "temporal attention without copies and stored scores",
    "pixel_convolutions": "1 x 1 convolutions as linear layers",
    "planar_layout": "channels last in memory",
}
"""Flag -> what it removes, in the order of the itemised ladder."""


def ladder(backend: str | None = None) -> Iterator[tuple[str, Removals]]:
    """Every rung's name and its removals: those of the rungs before, and one more.

    Args:
        backend: of `vbbench.attention`, for the rung without copies.
    """
    removals = Removals(backend=backend)
    for name in LADDER:
        rung: dict[str, Any] = {name: True}
        removals = replace(removals, **rung)
        yield name, removals


def all_removals(backend: str | None = None) -> Removals:
    """The last rung."""
    return Removals(**dict.fromkeys(LADDER, True), backend=backend)
