"""``vbbench train``: makes weights from nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vbbench.cli.options import positive, seed


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "train",
        help="train weights, or all of them",
        description="Train weights, or all of them. Run the same command again to go on where it stopped.",
    )
    parser.add_argument("recipe", metavar="NAME", help="name of the weights, or all; a wrong name lists them")
    parser.add_argument("--scale", default="mini", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the weights (default: where they are read from)")
    parser.add_argument("--steps", type=positive, metavar="N", help="steps instead of the recipe's own")
    parser.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that train together (default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder of data and checkpoints (default: $VBBENCH_WORK or work)")
    parser.set_defaults(command=train)


def train(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.training.recipes import train as train_weights

    train_weights(
        options.recipe,
        scale=options.scale,
        out=options.out,
        steps=options.steps,
        seed=options.seed,
        device=options.device,
        workers=options.workers,
        work=options.work,
    )
    return 0
