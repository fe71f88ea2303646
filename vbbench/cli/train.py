"""``vbbench train``: makes the miniature's weights from nothing, and trains VideoBooth's stages on
real videos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vbbench.cli.options import at_least, finite, positive, seed
from vbbench.errors import UsageError

REAL = "sd14"
PRECISIONS = ("bfloat16", "float32")


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "train",
        help="train weights, or all of them",
        description="Train weights, or all of them. Run the same command again to go on where it stopped. On real videos it may run as "
        "many processes: `accelerate launch -m vbbench train ...`, or `torchrun --nproc-per-node N -m vbbench train ...`.",
    )
    parser.add_argument(
        "recipe", metavar="NAME", help="name of the weights, or all; a wrong name lists them"
    )
    parser.add_argument(
        "--scale", choices=("mini", REAL), default="mini", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the weights (default: where they are read from)",
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="steps instead of the recipe's own"
    )
    parser.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="mini: processes that train together (default: %(default)s)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="folder of data and checkpoints (default: $VBBENCH_WORK or work)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="base: do not train; measure whether the shipped one reads its prompts",
    )
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="with --check: measure the training's newest checkpoint instead",
    )
    _add_real(parser)
    parser.set_defaults(command=train)


def _add_real(parser: argparse.ArgumentParser) -> None:
    """What only trainings on real videos take; everything is None where it is not asked for."""
    from vbbench.training.real.settings import ClipSettings, RealSettings

    group = parser.add_argument_group(f"on real videos (--scale {REAL})")
    for flag, metavar, what in (
        ("--data", "DIR", "dataset in VideoBooth's layout, as `vbbench data build` writes it"),
        ("--videos", "DIR", "holds its videos, <page_dir>/<videoid>.mp4"),
        ("--cache", "DIR", "keep latents there (worth it with --windows)"),
    ):
        group.add_argument(flag, type=Path, metavar=metavar, help=what)
    group.add_argument("--classes", metavar="LIST", help="only these classes of it")
    group.add_argument(
        "--precision", choices=PRECISIONS, help=f"of the forward pass (default: {PRECISIONS[0]})"
    )
    group.add_argument(
        "--gradient-checkpointing",
        dest="recompute",
        action="store_true",
        default=None,
        help="less memory, a third more time",
    )
    for settings, options in ((RealSettings, _LOOP), (ClipSettings, _CLIPS)):
        for flag, (name, kind, what) in options.items():
            metavar, default = "X" if kind is finite else "N", getattr(settings, name)
            group.add_argument(
                flag, dest=name, type=kind, metavar=metavar, help=f"{what} (default: {default:g})"
            )


def _natural(text: str) -> int:
    return at_least(0, text)


_LOOP = {
    "--batch-size": ("global_batch", positive, "clips a step, over all processes"),
    "--micro-batch": (
        "micro_batch",
        positive,
        "clips that a process computes at once; the others of its share are accumulated",
    ),
    "--lr": ("lr", finite, "learning rate"),
    "--warmup-steps": ("warmup_steps", _natural, "steps of linear warm-up"),
    "--ema-decay": (
        "ema_decay",
        finite,
        "of the moving average of the weights, which is what is kept",
    ),
    "--validate-every": ("validate_every", positive, "steps between validations on held-out clips"),
    "--sample-every": (
        "sample_every",
        _natural,
        "steps between samples of held-out image prompts; 0: none",
    ),
    "--checkpoint-every": ("checkpoint_every_seconds", finite, "seconds between checkpoints"),
    "--loaders": ("loaders", _natural, "threads that read videos ahead"),
}
_CLIPS = {
    "--num-frames": ("num_frames", positive, "of a clip"),
    "--frame-interval": ("frame_interval", positive, "frames from one frame of a clip to the next"),
    "--size": ("size", positive, "side of its frames in pixels"),
    "--windows": ("windows", _natural, "places of a video at which a clip may begin; 0: any"),
}
_OTHERS = {
    "--data": "data",
    "--videos": "videos",
    "--cache": "cache",
    "--classes": "classes",
    "--precision": "precision",
}
_OTHERS |= {"--gradient-checkpointing": "recompute"}


def train(options: argparse.Namespace) -> int:
    """The command."""
    return _train_real(options) if options.scale == REAL else _train_miniature(options)


def _train_miniature(options: argparse.Namespace) -> int:
    names = {**{flag: name for flag, (name, _, _) in (_LOOP | _CLIPS).items()}, **_OTHERS}
    if wrong := [flag for flag, name in names.items() if getattr(options, name) is not None]:
        raise UsageError(
            f"{', '.join(wrong)}: for trainings on real videos (--scale {REAL}), not for the miniature."
        )
    if options.check or options.checkpoint:
        return _check(options)
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


def _check(options: argparse.Namespace) -> int:
    """Prints the base's PSNR by timestep and caption."""
    from vbbench.core.progress import say
    from vbbench.training.base_check import NAME, check

    if options.recipe != NAME or not options.check:
        raise UsageError(
            f"--check is for `vbbench train {NAME} --check`, and --checkpoint is an option of it."
        )
    say(check(options.work, seed=options.seed, checkpoint=options.checkpoint))
    return 0


def _train_real(options: argparse.Namespace) -> int:
    import os

    from vbbench.core.names import names_in
    from vbbench.training.real.recipes import RealRun
    from vbbench.training.real.settings import ClipSettings, RealSettings
    from vbbench.training.recipes import WORK_VARIABLE

    if options.workers != 1:
        raise UsageError(
            "--workers is the miniature's; on real videos start the processes with `accelerate launch -m vbbench train ...`."
        )
    if options.data is None or options.videos is None:
        raise UsageError(
            f"--scale {REAL} is trained on real videos: name --data (as `vbbench data build` writes it) and --videos."
        )
    if options.device not in ("cpu", "cuda"):
        raise UsageError(
            f"there is no device {options.device!r} to train on; there are cpu and cuda."
        )
    loop = _given(options, _LOOP) | {
        name: value
        for name in ("steps", "recompute")
        if (value := getattr(options, name)) is not None
    }
    loop |= {"bf16": options.precision != "float32"}
    run = RealRun(
        options.recipe,
        options.data,
        options.videos,
        work=Path(options.work or os.environ.get(WORK_VARIABLE) or "work"),
        settings=RealSettings(**loop),
        clips=ClipSettings(**_given(options, _CLIPS)),
        classes=tuple(names_in(options.classes)) if options.classes else (),
        out=options.out,
        seed=options.seed,
        device=options.device,
        cache=options.cache,
    )
    from vbbench.training.real.train import train as train_stage

    train_stage(run)
    return 0


def _given(options: argparse.Namespace, known: dict[str, tuple[str, Any, str]]) -> dict[str, Any]:
    return {
        name: value
        for name, _, _ in known.values()
        if (value := getattr(options, name)) is not None
    }
