"""True identity: are the individual's colours and marking in the video? Known only in the miniature world.

T frames, H/W pixels, K kinds of marking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vbbench import resources, world
from vbbench.errors import InputError, UsageError
from vbbench.metrics import functional
from vbbench.metrics.base import EmbeddedClip, Measurement
from vbbench.metrics.configs import encoder_config
from vbbench.metrics.encoders import SegmentEncoder
from vbbench.metrics.segmenter import BASE, DETAIL, FIRST_MARKING, SECONDARY
from vbbench.metrics.spec import make_spec
from vbbench.weights_io import verified_digest

SMALLEST_SUBJECT = 0.01
"""Share of the frame below which no subject was found."""
SMALLEST_REGION = 6
"""Pixels below which a region counts as not found."""


@dataclass(frozen=True)
class Truth:
    """An individual's own colours (RGB, 0..255) by region, and the index of its kind of marking into MARKINGS."""

    colours: Mapping[str, np.ndarray]
    kind: int


def truth_of(people: world.IndividualBatch, row: int) -> Truth:
    """What is true of one individual of a batch."""
    colours = dict(zip(("base", "secondary", "marking"), people.colours[row].astype(float), strict=True))
    return Truth(colours, int(people.marking[row]))


def individual_of(reference: Mapping[str, object] | None) -> world.Individual:
    """The individual a suite's subject names in its ``world`` entry.

    Raises:
        InputError: the subject is not of the miniature world, or its entry is not understood.
    """
    if reference is None:
        raise InputError("true identity is known only for subjects of the miniature world.")
    try:
        return world.individual(str(reference["split"]), str(reference["class"]), int(reference["index"]))  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"the subject's world entry {dict(reference)!r} needs split, class and index.") from None


def regions_of(frame_HWC: np.ndarray, segments_HW: np.ndarray) -> tuple[dict[str, np.ndarray | None], np.ndarray]:
    """Median colour of base, secondary and marking in one frame, None where a region was not found; pixels of each kind of marking (K,)."""
    marked_HW = (segments_HW >= FIRST_MARKING) & (segments_HW < DETAIL)
    kinds_K = np.bincount(segments_HW[marked_HW] - FIRST_MARKING, minlength=len(world.MARKINGS))
    found: dict[str, np.ndarray | None] = {}
    for name, mask in (("base", segments_HW == BASE), ("secondary", segments_HW == SECONDARY), ("marking", marked_HW)):
        found[name] = np.median(frame_HWC[mask], axis=0) if mask.sum() >= SMALLEST_REGION else None
    if found["marking"] is None:
        kinds_K = np.zeros_like(kinds_K)
    return found, kinds_K


def frame_identities(frames_THWC: np.ndarray, truth: Truth, segmenter: SegmentEncoder) -> list[float]:
    """`functional.true_identity` of each frame; 0 where the segmenter finds no subject."""
    scores = []
    for frame, segments in zip(segmenter.crop(frames_THWC), segmenter.segments(frames_THWC), strict=True):
        if (segments > 0).mean() < SMALLEST_SUBJECT:
            scores.append(0.0)
            continue
        found, kinds = regions_of(frame, segments.astype(np.int64))
        scores.append(functional.true_identity(found, kinds, dict(truth.colours), truth.kind))
    return scores


class TrueIdentity:
    """Mean of `frame_identities` over all frames."""

    def __init__(self, scale: str) -> None:
        if scale != "mini":
            raise UsageError("true identity is known only in the miniature world, at scale mini.")
        config = encoder_config("segmenter", scale)
        weights = ", ".join(f"{name} {weight}" for name, weight in functional.IDENTITY_WEIGHTS.items())
        self.spec = make_spec(
            name="true-identity",
            version="1",
            encoder=f"{scale}/segmenter: {config.title}",
            encoder_digest=verified_digest(resources.weights_path(config.weights, scale)),
            preprocessing=config.preprocessing,
            frames="all",
            pooling=(
                f"mean over frames of the weighted sum ({weights}) of exp(-CIEDE2000 / {functional.IDENTITY_TAU:g}) of each region's "
                f"median colour, and of the commonest kind of marking being right; a region below {SMALLEST_REGION} pixels counts 0, "
                f"a frame whose subject covers less than {SMALLEST_SUBJECT:.0%} too"
            ),
            unit="share",
            higher_is_better=True,
            bounds=(0.0, 1.0),
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Share of the identity found, 0..1; raises InputError for subjects that are not of the miniature world."""
        subject = individual_of(clip.item.subject.world)
        segmenter = clip.encoder("segmenter")
        assert isinstance(segmenter, SegmentEncoder)
        per_frame = frame_identities(clip.frames, truth_of(world.batch_of([subject]), 0), segmenter)
        return Measurement(float(np.mean(per_frame)), tuple(per_frame))
