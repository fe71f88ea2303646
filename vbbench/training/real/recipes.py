"""Which stages can be trained on real videos, and everything that a training of one is told.
Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vbbench.core.names import nearest
from vbbench.core.paths import seeded_name
from vbbench.errors import UsageError
from vbbench.training.real.settings import ClipSettings, RealSettings


@dataclass(frozen=True)
class RealRecipe:
    """A stage of VideoBooth.

    Attributes:
        stage: of `vbbench.networks.videobooth.STAGES`.
        after: weights of the same seed that it goes on from; None: from the base.
        noises_image_prompt: the image prompt carries the clip's noise, as in the paper.
        augment: image prompts are changed, so that they cannot be copied (in the paper: where they
            are injected).
    """

    stage: str
    after: str | None = None
    noises_image_prompt: bool = True
    augment: bool = True


RECIPES: dict[str, RealRecipe] = {
    "videobooth-coarse": RealRecipe("coarse", augment=False),
    "videobooth": RealRecipe("fine", after="videobooth-coarse"),
    "videobooth-fine": RealRecipe("fine-only"),
    "videobooth-joint": RealRecipe("fine"),
    "videobooth-clean-prompt": RealRecipe(
        "fine", after="videobooth-coarse", noises_image_prompt=False
    ),
}
"""The paper's two stages and its ablations, in dependency order."""


@dataclass(frozen=True)
class RealRun:
    """One training.

    Attributes:
        name: a key of `RECIPES`.
        data, videos: a dataset's folder, and that of its videos
            (`vbbench.data.videos.loader.examples`).
        work: folder of checkpoints, curves and samples.
        clips: how clips are cut; whether image prompts are changed is up to the recipe.
        classes: only these; none: all.
        out: folder of the weights; None: where they are read from.
        cache: folder in which latents are kept; None: they are computed each time.
        null_text: of clips whose text is dropped; "None" as in the released code.
    Raises:
        UsageError: an unknown name.
    """

    name: str
    data: Path
    videos: Path
    work: Path
    settings: RealSettings = field(default_factory=RealSettings)
    clips: ClipSettings = field(default_factory=ClipSettings)
    classes: tuple[str, ...] = ()
    scale: str = "sd14"
    out: Path | None = None
    seed: int = 0
    device: str = "cpu"
    cache: Path | None = None
    null_text: str = "None"

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise UsageError(
                f"there is no training on real videos called {self.name!r}: {nearest(self.name, RECIPES)}"
            )

    @property
    def recipe(self) -> RealRecipe:
        """Its stage."""
        return RECIPES[self.name]

    @property
    def seeded(self) -> str:
        """Name of the weights it makes."""
        return seeded_name(self.name, self.seed)

    @property
    def start(self) -> str | None:
        """Name of the weights it starts from, beside the base."""
        return seeded_name(self.recipe.after, self.seed) if self.recipe.after else None

    @property
    def folder(self) -> Path:
        """Where its checkpoints lie."""
        return self.work / self.scale / self.seeded
