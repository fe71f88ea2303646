"""What the VideoBooth paper claims, one record a claim. A further claim is a further record.

The numbers are the paper's (Jiang et al., "VideoBooth: Diffusion-based Video Generation with Image
Prompts", CVPR 2024, arXiv 2312.00777), times 100. Its CLIP backbone is not stated and its Table 2
comes from a subset, so its orderings are put to the test, never its digits, and the two tables are
not mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Published = Mapping[str, Mapping[str, float]]

TABLE_1: Published = {
    "textual-inversion": {"clip-text": 29.9749, "clip-image": 69.7995, "dino": 45.3143},
    "dreambooth-video": {"clip-text": 30.6877, "clip-image": 71.2078, "dino": 52.9661},
    "elite": {"clip-text": 30.0881, "clip-image": 73.7518, "dino": 58.9522},
    "videobooth": {"clip-text": 30.0967, "clip-image": 74.7971, "dino": 65.0979},
}
"""Recipe -> metric -> number; 650 held-out pairs."""
TABLE_2: Published = {
    "videobooth-coarse": {"clip-image": 75.4366, "dino": 64.9568},
    "videobooth-fine": {"clip-image": 75.5553, "dino": 66.0378},
    "videobooth-joint": {"clip-image": 75.8254, "dino": 67.4201},
    "videobooth-short": {"clip-image": 76.1631, "dino": 69.7374},
}
"""The same of the ablations, which here have equal steps and batch; the full VideoBooth, trained
longer, is not one of them."""
IMAGE = ("dino", "clip-image")
"""The paper's measures of image alignment."""
TRUTH = ("true-identity",)
"""What the miniature world knows and the paper could not measure: told beside, and no part of a
verdict."""
FIRST_CLIP = "first-clip"
"""Seconds from an image prompt to its first clip: fitting to the subject, if the model does that,
and sampling. Lower is better."""
ORDER, SHARE = "order", "share"


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        name: slug.
        says: the claim as a sentence without its full stop.
        source: where the paper says so.
        better, worse: recipes; the claim is that ``better`` is better by every one of ``metrics``.
        metrics: those the verdict comes from.
        beside: further metrics that are told, and no part of the verdict.
        published: the table that holds both recipes' numbers; None where the paper gives none.
        margin: the claim allows ``better`` to be worse by this much, in the metrics' unit.
        kind: `ORDER`; or `SHARE`: of what ``better`` gained over ``floor``, ``worse`` gained less
            than ``share``.
        floor: of a `SHARE`, the recipe that has learned nothing of it.
        of_training: it is about how a model is trained, so one training of each cannot establish
            it.
        note: what else must be known to read it.
    """

    name: str
    says: str
    source: str
    better: str
    worse: str
    metrics: tuple[str, ...] = IMAGE
    beside: tuple[str, ...] = TRUTH
    published: Published | None = None
    margin: float = 0.0
    kind: str = ORDER
    floor: str | None = None
    share: float = 0.5
    of_training: bool = False
    note: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """The recipes that must be measured."""
        return (
            (self.better, self.worse)
            if self.floor is None
            else (self.better, self.worse, self.floor)
        )


def _alignment(name: str, says: str, better: str, worse: str) -> Claim:
    return Claim(name, says, "Table 1", better, worse, published=TABLE_1)


def _ablation(name: str, says: str, better: str, worse: str) -> Claim:
    return Claim(name, says, "Table 2", better, worse, published=TABLE_2, of_training=True)


CLAIMS: tuple[Claim, ...] = (
    _alignment(
        "dreambooth-over-textual-inversion",
        "DreamBooth keeps the subject better than Textual Inversion",
        "dreambooth-video",
        "textual-inversion",
    ),
    _alignment(
        "elite-over-dreambooth",
        "ELITE keeps the subject better than DreamBooth",
        "elite",
        "dreambooth-video",
    ),
    Claim(
        "videobooth-over-elite",
        "VideoBooth keeps the subject better than ELITE",
        "Table 1",
        "videobooth",
        "elite",
        published=TABLE_1,
        note="At scale mini VideoBooth had 6,300 training steps and ELITE 1,800; the next claim compares them at equal steps.",
    ),
    Claim(
        "videobooth-over-elite-at-equal-steps",
        "With as many training steps as ELITE, VideoBooth keeps the subject better",
        "Table 1, whose training lengths the paper does not state",
        "videobooth-short",
        "elite",
        of_training=True,
        note="Both had 1,800 training steps at scale mini.",
    ),
    _alignment(
        "videobooth-over-textual-inversion",
        "VideoBooth keeps the subject better than Textual Inversion",
        "videobooth",
        "textual-inversion",
    ),
    _alignment(
        "videobooth-over-dreambooth",
        "VideoBooth keeps the subject better than DreamBooth",
        "videobooth",
        "dreambooth-video",
    ),
    Claim(
        "text-alignment-kept",
        "VideoBooth follows the text no worse than ELITE",
        "Table 1",
        "videobooth",
        "elite",
        metrics=("clip-text",),
        beside=(),
        published=TABLE_1,
        margin=0.01,
        note="No worse means: by less than 0.01 of CLIP-Text. The margin is ours; the paper's four methods lie within 0.0071 of each "
        "other, and it gives VideoBooth 0.0001 more than ELITE.",
    ),
    _ablation(
        "coarse-to-fine-over-coarse",
        "Coarse-to-fine keeps the subject better than coarse only",
        "videobooth-short",
        "videobooth-coarse",
    ),
    _ablation(
        "coarse-to-fine-over-fine",
        "Coarse-to-fine keeps the subject better than fine only",
        "videobooth-short",
        "videobooth-fine",
    ),
    _ablation(
        "coarse-to-fine-over-joint",
        "Coarse-to-fine keeps the subject better than training both jointly",
        "videobooth-short",
        "videobooth-joint",
    ),
    _ablation(
        "fine-over-coarse",
        "Fine only keeps the subject better than coarse only",
        "videobooth-fine",
        "videobooth-coarse",
    ),
    _ablation(
        "joint-over-fine",
        "Training both jointly keeps the subject better than fine only",
        "videobooth-joint",
        "videobooth-fine",
    ),
    Claim(
        "joint-teaches-coarse-less",
        "With the fine path off, the coarse encoder trained alone keeps the subject better than the one trained jointly",
        "Method, coarse-to-fine training",
        "videobooth-coarse",
        "videobooth-joint-coarse-path",
        of_training=True,
    ),
    Claim(
        "joint-leaves-coarse-untaught",
        "Trained jointly, the coarse encoder learns less than half of what it learns alone",
        "Method, coarse-to-fine training",
        "videobooth-coarse",
        "videobooth-joint-coarse-path",
        kind=SHARE,
        floor="text-to-video",
        of_training=True,
        note="The share learned is the gain over the plain text-to-video model with the fine path off, divided by the gain of the coarse "
        "encoder trained alone. The paper says that it learns nothing; half as the line is ours.",
    ),
    Claim(
        "noisy-image-prompt",
        "Noising the image prompt's latent as the video's keeps the subject better than giving it clean",
        "Method, attention injection",
        "videobooth-short",
        "videobooth-clean-prompt",
        of_training=True,
    ),
    Claim(
        "textual-inversion-costs-more",
        "VideoBooth has its first clip of a subject sooner than Textual Inversion",
        "Text, on tuning per subject",
        "videobooth",
        "textual-inversion",
        metrics=(FIRST_CLIP,),
        beside=(),
    ),
    Claim(
        "dreambooth-costs-more",
        "VideoBooth has its first clip of a subject sooner than DreamBooth",
        "Text, on tuning per subject",
        "videobooth",
        "dreambooth-video",
        metrics=(FIRST_CLIP,),
        beside=(),
    ),
)
