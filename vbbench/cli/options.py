"""What several commands share: kinds of numbers, a wrong one of which is told before anything is
done, and how videos are scored."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

MOST_THREADS, MOST_FPS = 1024, 1000

if TYPE_CHECKING:
    from vbbench.metrics.encoders.setting import Setting
    from vbbench.runner.scoring import ScoringRequest


def at_least(lowest: int, text: str) -> int:
    """The whole number that the text says.

    Raises:
        argparse.ArgumentTypeError: none, or below ``lowest``.
    """
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None
    if number < lowest:
        raise argparse.ArgumentTypeError(f"must be at least {lowest}, not {number}")
    return number


def positive(text: str) -> int:
    """A number of steps, threads, items: 1 or more."""
    return at_least(1, text)


def threads(text: str) -> int:
    """A number of CPU threads: 1 or more, and no more than a machine could have."""
    number = positive(text)
    if number > MOST_THREADS:
        raise argparse.ArgumentTypeError(f"must be at most {MOST_THREADS}, not {number}")
    return number


def rate(text: str) -> float:
    """Frames a second: above 0 and at most 1000."""
    number = finite(text)
    if not 0 < number <= MOST_FPS:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {MOST_FPS}, not {text}")
    return number


def seed(text: str) -> int:
    """A seed: 0 or more."""
    return at_least(0, text)


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid float value: {text!r}") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be finite, not {text}")
    return number


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that sample videos; where they are left out the recipes' own settings
    hold."""
    from vbbench.networks.precision import DTYPES

    parser.add_argument(
        "--steps", type=positive, metavar="N", help="sampling steps instead of the recipe's own"
    )
    parser.add_argument(
        "--guidance", type=finite, metavar="G", help="guidance scale instead of the recipe's own"
    )
    parser.add_argument(
        "--scheduler",
        metavar="NAME",
        help="ddim, ddpm, dpmsolver++, unipc, euler or faithful (the released code's loop, sd14)",
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="of the networks' weights and activations (default: the recipe's, float32)",
    )
    parser.add_argument(
        "--offload",
        action="store_true",
        help="keep each part of a model on the GPU only while it works: slower, far less GPU"
        " memory",
    )


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Options that choose the scoring encoders."""
    parser.add_argument(
        "--clip",
        metavar="NAME",
        help="CLIP of the metrics instead of the usual one (sd14: clip-vit-l-14)",
    )
    parser.add_argument(
        "--dino",
        metavar="NAME",
        help="DINO of the metrics instead of the usual one (sd14: dinov2-vit-s-14)",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        help="of the scoring encoders: float32, bfloat16 or float16 (default: %(default)s)",
    )
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="score with untrained encoders, to try the plumbing; every id says so",
    )


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that score videos."""
    parser.add_argument(
        "--metrics",
        metavar="LIST",
        help="names of metrics, and folders of your own (default: the suite's)",
    )
    add_encoder_options(parser)
    parser.add_argument(
        "--scoring-batch",
        type=positive,
        metavar="N",
        help="frames that a scoring encoder sees at once (default: 16 on the CPU, 64 on a GPU)",
    )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="neither read nor keep embeddings in the user's cache folder",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu or cuda (default: auto; the miniature stays on the CPU)",
    )
    parser.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="CPU threads (default: 1 at scale mini, else the usable cores)",
    )


def scoring_from(options: argparse.Namespace) -> ScoringRequest:
    """How videos are scored, by the options of `add_scoring_options`."""
    from vbbench.runner.scoring import ScoringRequest, metric_names

    return ScoringRequest(
        metrics=metric_names(options.metrics),
        clip=options.clip,
        dino=options.dino,
        precision=options.precision,
        random_weights=options.random_weights,
        batch_size=options.scoring_batch,
        cache=not options.no_cache,
    )


def setting_from(
    options: argparse.Namespace,
    scale: str,
    *,
    num_frames: int | None = None,
    fps: float | None = None,
    storage: str = "lossless",
) -> Setting:
    """The setting that the options of `add_encoder_options` ask for.

    Raises:
        UsageError: an unknown precision.
    """
    from vbbench.runner.scoring import ScoringRequest

    encoders = ScoringRequest(
        clip=options.clip,
        dino=options.dino,
        precision=options.precision,
        random_weights=options.random_weights,
    )
    return encoders.setting(scale, num_frames=num_frames, fps=fps, storage=storage)
