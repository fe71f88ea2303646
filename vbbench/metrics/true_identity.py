"""True identity: are the individual's colours and marking in the video? Known only in the miniature
world.

T frames, N numbers a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vbbench.data import world
from vbbench.errors import InputError, UsageError
from vbbench.metrics import functional
from vbbench.metrics.analysis import REGIONS, SMALLEST_REGION, Analysis, Regions
from vbbench.metrics.base import Measurement
from vbbench.metrics.encoders.configs import encoder_config
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.encoders.weights import encoder_digest
from vbbench.metrics.scored_clip import EmbeddedClip
from vbbench.metrics.spec import make_spec

SMALLEST_SUBJECT = 0.01
"""Share of the frame below which no subject was found."""


@dataclass(frozen=True)
class Truth:
    """An individual's own colours (RGB, 0..255) by region, and the index of its kind of marking
    into MARKINGS."""

    colours: Mapping[str, np.ndarray]
    kind: int


def truth_of(people: world.IndividualBatch, row: int) -> Truth:
    """What is true of one individual of a batch."""
    colours = dict(
        zip(("base", "secondary", "marking"), people.colours[row].astype(float), strict=True)
    )
    return Truth(colours, int(people.marking[row]))


def individual_of(reference: Mapping[str, Any] | None) -> world.Individual:
    """The individual a suite's subject names in its ``world`` entry.

    Raises:
        InputError: the subject is not of the miniature world, or its entry is not understood.
    """
    if reference is None:
        raise InputError("true identity is known only for subjects of the miniature world.")
    try:
        return world.individual(
            str(reference["split"]), str(reference["class"]), int(reference["index"])
        )
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"the subject's world entry {dict(reference)!r} needs split, class and index."
        ) from None


def frame_identities(regions_TN: np.ndarray, truth: Truth) -> list[float]:
    """`functional.true_identity` of each row of `vbbench.metrics.analysis.Regions`; 0 where the
    segmenter finds no subject."""
    scores = []
    for row in regions_TN:
        share, colours, kinds = row[0], row[1:10].reshape(3, 3), row[10:]
        found = {
            name: None if np.isnan(colour).any() else colour
            for name, colour in zip(REGIONS, colours, strict=True)
        }
        scores.append(
            functional.true_identity(found, kinds, dict(truth.colours), truth.kind)
            if share >= SMALLEST_SUBJECT
            else 0.0
        )
    return scores


class TrueIdentity:
    """Mean of `frame_identities` over all frames."""

    reads: tuple[Analysis, ...] = (Regions(),)

    def __init__(self, setting: Setting) -> None:
        if setting.scale != "mini":
            raise UsageError("true identity is known only in the miniature world, at scale mini.")
        config = encoder_config("segmenter", setting)
        weights = ", ".join(
            f"{name} {weight}" for name, weight in functional.IDENTITY_WEIGHTS.items()
        )
        self.spec = make_spec(
            setting,
            config,
            encoder_digest(config, setting),
            name="true-identity",
            version="1",
            formula=(
                f"weighted sum ({weights}) of exp(-CIEDE2000 / {functional.IDENTITY_TAU:g}) of each region's median colour, and of the "
                f"commonest kind of marking being right; a region below {SMALLEST_REGION} pixels counts 0, a frame whose subject covers "
                f"less than {SMALLEST_SUBJECT:.0%} too"
            ),
            references="none: the individual's own colours and marking, known in the miniature world",
            unit="share",
            higher_is_better=True,
            bounds=(0.0, 1.0),
            reads_text=False,
        )

    def score(self, clip: EmbeddedClip) -> Measurement:
        """Share of the identity found, 0..1; raises InputError for subjects that are not of the
        miniature world."""
        subject = individual_of(clip.item.subject.world)
        per_frame = frame_identities(clip.get(Regions()), truth_of(world.batch_of([subject]), 0))
        return Measurement(float(np.mean(per_frame)), tuple(per_frame))
