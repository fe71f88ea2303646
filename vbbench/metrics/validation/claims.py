"""What each metric is read as telling, and so what it ought to do under a damage."""

from __future__ import annotations

from vbbench.metrics.validation.damage import Damage

TRUTHS: dict[str, str] = {
    "identity": "whether it is this individual",
    "class": "whether it is of the right class",
    "scene": "whether it is where the text says",
    "motion": "whether it does what the text says",
    "pace": "how much moves",
    "steadiness": "whether a frame follows from the one before",
    "quality": "whether the picture is clean",
}
_TEXT, _SUBJECT, _STEADY = (
    frozenset({"class", "scene", "motion"}),
    frozenset({"identity", "class"}),
    frozenset({"steadiness"}),
)
CLAIMS: dict[str, frozenset[str]] = {
    "clip-text": _TEXT,
    "clip-image": _SUBJECT,
    "clip-image-masked": _SUBJECT,
    "dino": _SUBJECT,
    "dino-masked": _SUBJECT,
    "true-identity": _SUBJECT,
    "temporal-consistency": _STEADY,
    "temporal-consistency-first": _STEADY,
    "temporal-consistency-all": _STEADY,
    "dino-consistency": _STEADY,
    "dino-consistency-first": _STEADY,
    "dino-consistency-all": _STEADY,
    "subject-consistency": _STEADY,
    "motion": frozenset({"pace"}),
}
FALL, STAY, FREE = "fall", "stay", "free"


def expected(metric: str, damage: Damage) -> str:
    """`FALL` where a truth that the metric is read as telling is harmed, `STAY` where all of them
    are kept, `FREE` where nobody can say."""
    claimed = CLAIMS[metric]
    if claimed & damage.harms:
        return FALL
    return FREE if claimed & damage.unsure else STAY
