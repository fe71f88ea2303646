"""From a request to one video of a user's own picture. Nothing here prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.core.environment import choose_device, default_threads
from vbbench.core.threads import torch_threads
from vbbench.data.suite import single_item
from vbbench.errors import UsageError
from vbbench.media.video import load_image_prompt
from vbbench.models.evaluation import asked, left_as_they_are
from vbbench.models.memory_notes import memory_estimates
from vbbench.models.registry import resolve_models
from vbbench.runner.api import MOST_THREADS, check_count, check_dtype, given_values
from vbbench.runner.plan import sampling_params

if TYPE_CHECKING:
    import numpy as np

    from vbbench.types import PromptItem, Recipe, SamplingParams, Video

VIDEO_SHAPES = {"mini": (8, 64, 8), "sd14": (16, 256, 8)}  # frames, pixels, frames a second
WHITE = 240  # grey level from which a border pixel counts as white


@dataclass(frozen=True)
class SampleRequest:
    """Everything that a user can ask of one video.

    Attributes:
        image: picture of the subject.
        text: the text prompt.
        subject_word: the word of the text that the picture shows.
        model: a name or a recipe folder.
        seed: 0 or more.
        scale: ``mini`` or ``sd14``.
        num_frames: None for the scale's.
        steps, guidance, scheduler: in the place of the recipe's own.
        dtype, offload: of the networks.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None for the scale's.
    Raises:
        UsageError: a number that cannot be.
    """

    image: Path
    text: str
    subject_word: str
    model: str = "videobooth"
    seed: int = 0
    scale: str = "mini"
    num_frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    dtype: str | None = None
    offload: bool = False
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        check_count("frames", self.num_frames)
        check_count("steps", self.steps)
        check_count("threads", self.threads, MOST_THREADS)
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise UsageError(f"guidance must be finite, not {self.guidance}.")
        check_dtype(self.dtype)


@dataclass(frozen=True)
class PreparedSample:
    """A video that can be made.

    Attributes:
        notes: sentences that the user should read before judging the video.
        memory_warnings: sentences on memory that is not there.
    """

    recipe: Recipe
    item: PromptItem
    params: SamplingParams
    scale: str
    device: str
    threads: int
    notes: tuple[str, ...]
    memory_warnings: tuple[str, ...]


def prepare_sample(
    request: SampleRequest, tell: Callable[[str], None] = lambda sentence: None
) -> PreparedSample:
    """Choose the model, read the picture, and settle how the video is sampled.

    Args:
        tell: called with each note and memory warning, as soon as it is known.
    Raises:
        UsageError: a wrong name, or a model that makes no video of one picture.
        InputError: a picture that cannot be read, or a text without the subject word.
        RecipeError: sampling settings that cannot be.
    """
    if request.scale not in VIDEO_SHAPES:
        raise UsageError(
            f"there is no scale {request.scale!r}: known are {', '.join(VIDEO_SHAPES)}."
        )
    num_frames, size, fps = VIDEO_SHAPES[request.scale]
    recipe = _recipe(request)
    picture, notes = load_image_prompt(request.image, size)
    item = single_item(request.image, request.text, request.subject_word, request.seed)
    notes = [f"Note: {note}." for note in (*notes, *_remarks(picture, request.scale))]
    for note in notes:
        tell(note)
    params = sampling_params(
        recipe,
        request.scale,
        num_frames=request.num_frames or num_frames,
        size=size,
        fps=fps,
        overrides=given_values(
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            scheduler=request.scheduler,
        ),
    )
    device = choose_device(request.device, request.scale)
    estimates = memory_estimates([(recipe, params)], request.scale, device)
    warnings = tuple(f"Note: {warning}" for _, warning in estimates if warning)
    for warning in warnings:
        tell(warning)
    threads = request.threads or default_threads(request.scale, device)
    return PreparedSample(
        recipe, item, params, request.scale, device, threads, tuple(notes), warnings
    )


def run_sample(prepared: PreparedSample) -> Video:
    """Make the video.

    Returns:
        uint8 frames (T, H, W, 3), RGB, as the model made them.
    Raises:
        VBBenchError: weights that are missing, or a model's program that failed.
        ValueError: the model made another kind of video than it was asked for.
    """
    from vbbench.models.recipes import build_model
    from vbbench.runner.execute import check_videos

    with torch_threads(prepared.threads):
        model: Any = build_model(prepared.recipe, prepared.scale, prepared.device)
        videos = model.generate([prepared.item], prepared.params)
        return check_videos(videos, 1, prepared.params)[0]


def _recipe(request: SampleRequest) -> Recipe:
    """The one model that is named, as ``dtype`` and ``offload`` change it."""
    recipes = resolve_models(request.model)
    if len(recipes) != 1:
        raise UsageError(f"{request.model!r} names {len(recipes)} models; one is wanted.")
    (recipe,) = recipes
    if recipe.fitted:
        raise UsageError(
            f"the model {recipe.name!r} must be fitted to several clips of a subject;"
            " one picture is not enough."
        )
    wanted: dict[str, Any] = {"dtype": request.dtype, "offload": request.offload}
    if left_as_they_are(recipes, request.scale, **wanted):
        raise UsageError(
            f"the model {recipe.name!r} does not take --dtype or --offload:"
            " its own code or program decides on that."
        )
    return asked(recipe, request.scale, **wanted)


def _remarks(picture: np.ndarray, scale: str) -> list[str]:
    """What a user should know before judging the video.

    Args:
        picture: uint8 (H, W, 3), RGB.
    """
    import numpy as np

    remarks = []
    if scale == "mini":
        remarks.append(
            "the miniature weights have only seen the miniature world, never photographs:"
            " expect its shapes, with your colours at best"
        )
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    if (border.min(axis=1) < WHITE).mean() > 0.5:
        remarks.append(
            "the picture has a background; models are made for subjects cut out on white"
        )
    return remarks
