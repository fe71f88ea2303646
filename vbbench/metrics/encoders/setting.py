"""What all numbers of one scoring have in common, whatever the metric: scale, encoders, precision,
and what the videos are like."""

from __future__ import annotations

from dataclasses import dataclass

from vbbench.errors import UsageError

PRECISIONS = ("float32", "bfloat16", "float16")
WEIGHTS = ("trained", "random", "absent")
STORAGES = ("lossless", "lossy")


@dataclass(frozen=True)
class Setting:
    """The part of a metric spec that is chosen once for all metrics.

    Attributes:
        scale: ``mini`` or ``sd14``.
        variants: (role, name) pairs that replace a role's usual encoder, e.g. ``(("clip",
            "clip-vit-l-14"),)``; sorted by role.
        precision: of the encoders' weights and arithmetic.
        weights: ``trained``; ``random`` draws them from a fixed seed, for trials of speed and
            plumbing (specs and tables say so); ``absent`` lets specs be read where the weights are
            not at hand, and loads none.
        num_frames: frames that every video has; None where any number is taken.
        fps: frames a second that every video has; None where they differ.
        storage: ``lossless``, or ``lossy`` where a codec threw detail away before scoring.
    Raises:
        UsageError: an unknown precision, weights or storage, or a role that is named twice.
    """

    scale: str = "mini"
    variants: tuple[tuple[str, str], ...] = ()
    precision: str = "float32"
    weights: str = "trained"
    num_frames: int | None = None
    fps: float | None = None
    storage: str = "lossless"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("precision", self.precision, PRECISIONS),
            ("kind of weights", self.weights, WEIGHTS),
            ("storage", self.storage, STORAGES),
        ):
            if value not in known:
                raise UsageError(f"there is no {what} {value!r}; there are {', '.join(known)}.")
        roles = [role for role, _ in self.variants]
        if len(set(roles)) < len(roles):
            raise UsageError(
                f"two encoders were named for {next(role for role in roles if roles.count(role) > 1)}."
            )

    def variant(self, role: str) -> str | None:
        """Name of the encoder chosen for a role; None for the usual one."""
        return dict(self.variants).get(role)
