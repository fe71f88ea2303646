"""``vbbench sample``: one video from a user's own picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import add_sampling_options, positive, sampling_overrides, seed, threads
from vbbench.errors import UsageError
from vbbench.models.memory_notes import memory_estimates

if TYPE_CHECKING:
    import numpy as np

    from vbbench.types import PromptItem, Recipe, Video

VIDEO_SHAPES = {"mini": (8, 64, 8), "sd14": (16, 256, 8)}  # frames, pixels, frames a second
SHOWN_PIXELS = 512  # side up to which a small video is enlarged for people
SUFFIXES = (".mp4", ".webm")


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "sample",
        help="make one video from a picture of yours",
        description="Make one video of the subject of a picture. A picture cut out on white works best.",
    )
    parser.add_argument(
        "--image", type=Path, required=True, metavar="FILE", help="picture of the subject"
    )
    parser.add_argument(
        "--text", required=True, help='what is to be seen, e.g. "a cat on the beach"'
    )
    parser.add_argument(
        "--subject",
        required=True,
        metavar="WORD",
        help="the word of the text that the picture shows, e.g. cat",
    )
    parser.add_argument(
        "--model",
        default="videobooth",
        metavar="NAME",
        help="name or recipe folder (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out.mp4"),
        metavar="FILE",
        help=".mp4 or .webm (default: %(default)s)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    parser.add_argument("--scale", default="mini", help="mini or sd14 (default: %(default)s)")
    parser.add_argument(
        "--num-frames",
        type=positive,
        metavar="N",
        help="frames of the video (default: 8 at scale mini, 16 at sd14)",
    )
    add_sampling_options(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="CPU threads (default: 1 at scale mini, else the usable cores)",
    )
    parser.set_defaults(command=sample)


def sample(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.data.suite import single_item
    from vbbench.media.video import load_image_prompt, write_page_video, write_video_lossless

    if options.out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out must end in {' or '.join(SUFFIXES)}, not {options.out.name!r}.")
    if options.out.is_dir():
        raise UsageError(f"--out {options.out} is a folder, not a file.")
    if options.scale not in VIDEO_SHAPES:
        raise UsageError(
            f"there is no scale {options.scale!r}: known are {', '.join(VIDEO_SHAPES)}."
        )
    recipe = _choose(options)
    picture, notes = load_image_prompt(options.image, VIDEO_SHAPES[options.scale][1])
    item = single_item(options.image, options.text, options.subject, options.seed)
    for note in [*notes, *_warnings(picture, options.scale)]:
        print(f"Note: {note}.", file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)  # told now, not after the work
    video = _generate(recipe, item, options)
    lossless = options.out.with_suffix(".mkv")
    write_video_lossless(lossless, video)
    write_page_video(options.out, video, max(1, SHOWN_PIXELS // video.frames.shape[1]))
    print(f"Video: {options.out} (enlarged), {lossless} (as the model made it, without loss)")
    return 0


def _choose(options: argparse.Namespace) -> Recipe:
    from vbbench.models.evaluation import asked, left_as_they_are
    from vbbench.models.registry import resolve_models

    recipes = resolve_models(options.model)
    if len(recipes) != 1:
        raise UsageError(f"{options.model!r} names {len(recipes)} models; one is wanted.")
    (recipe,) = recipes
    if recipe.fitted:
        raise UsageError(
            f"the model {recipe.name!r} must be fitted to several clips of a subject; one picture is not enough."
        )
    wanted: dict[str, Any] = {"dtype": options.dtype, "offload": options.offload}
    if left_as_they_are(recipes, options.scale, **wanted):
        raise UsageError(
            f"the model {recipe.name!r} does not take --dtype or --offload: its own code or program decides on that."
        )
    return asked(recipe, options.scale, **wanted)


def _generate(recipe: Recipe, item: PromptItem, options: argparse.Namespace) -> Video:
    import torch

    from vbbench.core.environment import choose_device, default_threads
    from vbbench.models.recipes import build_model
    from vbbench.runner.execute import check_videos
    from vbbench.runner.plan import sampling_params

    num_frames, size, fps = VIDEO_SHAPES[options.scale]
    frames = options.num_frames or num_frames
    params = sampling_params(
        recipe,
        options.scale,
        num_frames=frames,
        size=size,
        fps=fps,
        overrides=sampling_overrides(options),
    )
    device = choose_device(options.device, options.scale)
    for _, warning in memory_estimates([(recipe, params)], options.scale, device):
        if warning:
            print(f"Note: {warning}", file=sys.stderr)
    torch.set_num_threads(options.threads or default_threads(options.scale, device))
    model: Any = build_model(recipe, options.scale, device)
    return check_videos(model.generate([item], params), 1, params)[0]


def _warnings(picture: np.ndarray, scale: str) -> list[str]:
    """What a user should know before judging the video."""
    import numpy as np

    warnings = []
    if scale == "mini":
        warnings.append(
            "the miniature weights have only seen the miniature world, never photographs: expect its shapes, with your colours at best"
        )
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    if (border.min(axis=1) < 240).mean() > 0.5:
        warnings.append(
            "the picture has a background; models are made for subjects cut out on white"
        )
    return warnings
