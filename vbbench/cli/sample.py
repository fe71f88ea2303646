"""``vbbench sample``: one video from a user's own picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from vbbench.cli.options import add_sampling_options, positive, seed, threads
from vbbench.errors import UsageError

SHOWN_PIXELS = 512  # side up to which a small video is enlarged for people
SUFFIXES = (".mp4", ".webm")


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "sample",
        help="make one video from a picture of yours",
        description="Make one video of the subject of a picture. A picture cut out on white works"
        " best.",
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
    from vbbench.media.video import write_page_video, write_video_lossless
    from vbbench.runner.sample import SampleRequest, prepare_sample, run_sample

    _check_out(options.out)
    request = SampleRequest(
        image=options.image,
        text=options.text,
        subject_word=options.subject,
        model=options.model,
        seed=options.seed,
        scale=options.scale,
        num_frames=options.num_frames,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
        dtype=options.dtype,
        offload=options.offload,
        device=options.device,
        threads=options.threads,
    )
    prepared = prepare_sample(request, _print_note)
    options.out.parent.mkdir(parents=True, exist_ok=True)  # fails now, not after the work
    video = run_sample(prepared)
    lossless = options.out.with_suffix(".mkv")
    write_video_lossless(lossless, video)
    write_page_video(options.out, video, max(1, SHOWN_PIXELS // video.frames.shape[1]))
    print(f"Video: {options.out} (enlarged), {lossless} (as the model made it, without loss)")
    return 0


def _check_out(out: Path) -> None:
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out must end in {' or '.join(SUFFIXES)}, not {out.name!r}.")
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder, not a file.")


def _print_note(sentence: str) -> None:
    print(sentence, file=sys.stderr)
