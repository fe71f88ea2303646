"""``vbbench data dreambooth``: a suite out of a user's own copy of the DreamBooth dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import positive

if TYPE_CHECKING:
    from vbbench.datasets.segmenters import Segmenter

NO_SEGMENTER = "none"


def add_dreambooth(actions: Any) -> None:
    """Add ``dreambooth`` to the command line."""
    made = actions.add_parser(
        "dreambooth",
        help="make a suite out of your copy of the DreamBooth dataset",
        description="Make a suite out of photographs, a folder a subject, and the dataset's prompts_and_classes.txt, with the protocol of "
        "the DreamBooth paper (section 4); `vbbench run --suite DIR` takes it. The image prompt is the first photograph by name.",
    )
    made.add_argument("--photographs", type=Path, required=True, metavar="DIR", help="holds a folder of photographs for each subject")
    made.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="the dataset's prompts_and_classes.txt")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="the suite's folder, new or empty")
    made.add_argument(
        "--scale", choices=("sd14", "mini"), default="sd14", help="mini: prompts in the miniature's few words (default: %(default)s)"
    )
    made.add_argument(
        "--segmenter",
        choices=(NO_SEGMENTER, "grounded-sam"),
        default=NO_SEGMENTER,
        help="cuts the image prompt out of the first photograph that it finds the subject in (default: %(default)s, used whole)",
    )
    made.add_argument("--seeds", type=positive, default=4, metavar="N", help="videos of each prompt (default: %(default)s)")
    made.add_argument("--subjects", default="", metavar="LIST", help="names of folders (default: all)")
    add_segmenter_options(made)
    made.set_defaults(command=make_dreambooth)


def add_segmenter_options(parser: argparse.ArgumentParser) -> None:
    """Options of the segmenter that needs weights."""
    parser.add_argument("--detector", metavar="WEIGHTS", help="of grounded-sam: Grounding DINO, a folder or owner/name@commit")
    parser.add_argument("--sam", metavar="WEIGHTS", help="of grounded-sam: SAM, a folder or owner/name@commit")
    parser.add_argument("--device", metavar="NAME", help="of grounded-sam: cpu or cuda (default: cpu)")


def segmenter_options(options: argparse.Namespace) -> dict[str, str]:
    """Those that were given."""
    return {name: getattr(options, name) for name in ("detector", "sam", "device") if getattr(options, name) is not None}


def make_dreambooth(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.datasets.dreambooth import make_suite
    from vbbench.recipes import names_in

    made = make_suite(
        options.out,
        options.photographs,
        options.prompts,
        scale=options.scale,
        segmenter=_segmenter(options),
        seeds=options.seeds,
        wanted=names_in(options.subjects),
    )
    for note in made.notes:
        print(f"Note: {note}.", file=sys.stderr)
    suite = made.suite
    print(
        f"Suite {suite.name}, digest {suite.digest[:12]}: {len(suite.subjects)} subjects, {len(suite.items)} prompt items in {options.out}."
    )
    print(f"To run it: vbbench run --suite {options.out}")
    return 0


def _segmenter(options: argparse.Namespace) -> Segmenter | None:
    from vbbench.datasets.segmenters import make_segmenter
    from vbbench.errors import UsageError

    given = segmenter_options(options)
    if options.segmenter == NO_SEGMENTER:
        if given:
            raise UsageError(f"--{next(iter(given))} is of grounded-sam: add --segmenter grounded-sam.")
        return None
    return make_segmenter(options.segmenter, given)
