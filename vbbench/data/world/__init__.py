"""The miniature world: nine classes of drawn subjects, eight scenes, six motions, rendered from
seeds at 64 x 64 pixels."""

from __future__ import annotations

from vbbench.data.world.captions import VOCABULARY, caption, rich_caption
from vbbench.data.world.individuals import (
    SPLITS,
    Individual,
    IndividualBatch,
    batch_of,
    individual,
    individuals,
    split_size,
)
from vbbench.data.world.names import (
    CLASSES,
    COLOURS,
    MARKINGS,
    MOTIONS,
    NUM_FRAMES,
    PALETTE,
    SCENES,
    SIZE,
    WORLD_VERSION,
)
from vbbench.data.world.render import (
    render_clip,
    render_clips,
    render_image_prompt,
    render_image_prompts,
)

__all__ = [
    "CLASSES", "COLOURS", "MARKINGS", "MOTIONS", "NUM_FRAMES", "PALETTE", "SCENES", "SIZE", "SPLITS", "VOCABULARY", "WORLD_VERSION",
    "Individual", "IndividualBatch", "batch_of", "caption", "individual", "individuals", "render_clip", "render_clips",
    "render_image_prompt", "render_image_prompts", "rich_caption", "split_size",
]  # fmt: skip
