"""What a model must be able to do. Its class is named by the ``entry`` of its recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vbbench.types import Adapter, PromptItem, SamplingParams, Subject, Video


@runtime_checkable
class VideoModel(Protocol):
    """Turns prompt items into videos.

    The same item must give the same video in any company: noise comes from ``item.seed`` and
    ``item.image_seed``, drawn on the CPU, never from a global generator.
    """

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        """
        Args:
            settings: the recipe's table for one scale, as it stands in recipe.toml, plus ``scale``,
                the scale's name.
            device: ``cpu`` or ``cuda``.
            folder: the recipe's folder.
        """
        ...

    def generate(self, items: Sequence[PromptItem], params: SamplingParams) -> list[Video]:
        """One video an item, in their order: uint8 (params.num_frames, params.size, params.size, 3)
        at params.fps."""
        ...


@runtime_checkable
class FittedVideoModel(Protocol):
    """Must first be fitted to a subject (Textual Inversion, DreamBooth)."""

    def __init__(self, settings: Mapping[str, Any], *, device: str, folder: Path) -> None:
        """As `VideoModel`."""
        ...

    def fit(self, subject: Subject, *, seed: int) -> Adapter:
        """Learn the subject from its clips. The adapter is stored, and handed back to every
        `generate` of the subject."""
        ...

    def generate(
        self, items: Sequence[PromptItem], params: SamplingParams, adapter: Adapter
    ) -> list[Video]:
        """As `VideoModel.generate`; every item is of the subject that the adapter was fitted to."""
        ...
