"""``vbbench data``: image prompts out of videos, checks of such data, its held-out split, and
suites out of photographs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import at_least, finite, positive
from vbbench.errors import CheckFailed, IncompleteError

if TYPE_CHECKING:
    from vbbench.data.videos.build import Built
    from vbbench.data.videos.layout import Row
    from vbbench.data.videos.segmenters import Segmenter

# ``vbbench data dreambooth``: a suite out of a user's own copy of the DreamBooth dataset.

NO_SEGMENTER = "none"


def add_dreambooth(actions: Any) -> None:
    """Add ``dreambooth`` to the command line."""
    made = actions.add_parser(
        "dreambooth",
        help="make a suite out of your copy of the DreamBooth dataset",
        description="Make a suite out of photographs, a folder a subject, and the dataset's prompts_and_classes.txt, with the protocol of "
        "the DreamBooth paper (section 4); `vbbench run --suite DIR` takes it. The image prompt is the first photograph by name.",
    )
    made.add_argument(
        "--photographs",
        type=Path,
        required=True,
        metavar="DIR",
        help="holds a folder of photographs for each subject",
    )
    made.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="the dataset's prompts_and_classes.txt",
    )
    made.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the suite's folder, new or empty"
    )
    made.add_argument(
        "--scale",
        choices=("sd14", "mini"),
        default="sd14",
        help="mini: prompts in the miniature's few words (default: %(default)s)",
    )
    made.add_argument(
        "--segmenter",
        choices=(NO_SEGMENTER, "grounded-sam"),
        default=NO_SEGMENTER,
        help="cuts the image prompt out of the first photograph that it finds the subject in (default: %(default)s, used whole)",
    )
    made.add_argument(
        "--seeds",
        type=positive,
        default=4,
        metavar="N",
        help="videos of each prompt (default: %(default)s)",
    )
    made.add_argument(
        "--subjects", default="", metavar="LIST", help="names of folders (default: all)"
    )
    add_segmenter_options(made)
    made.set_defaults(command=make_dreambooth)


def add_segmenter_options(parser: argparse.ArgumentParser) -> None:
    """Options of the segmenter that needs weights."""
    parser.add_argument(
        "--detector",
        metavar="WEIGHTS",
        help="of grounded-sam: Grounding DINO, a folder or owner/name@commit",
    )
    parser.add_argument(
        "--sam", metavar="WEIGHTS", help="of grounded-sam: SAM, a folder or owner/name@commit"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="of grounded-sam: cpu or cuda (default: cpu)"
    )


def segmenter_options(options: argparse.Namespace) -> dict[str, str]:
    """Those that were given."""
    return {
        name: getattr(options, name)
        for name in ("detector", "sam", "device")
        if getattr(options, name) is not None
    }


def make_dreambooth(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.core.names import names_in
    from vbbench.data.dreambooth import make_suite

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
    from vbbench.data.videos.segmenters import make_segmenter
    from vbbench.errors import UsageError

    given = segmenter_options(options)
    if options.segmenter == NO_SEGMENTER:
        if given:
            raise UsageError(
                f"--{next(iter(given))} is of grounded-sam: add --segmenter grounded-sam."
            )
        return None
    return make_segmenter(options.segmenter, given)


_FILTERS = (
    ("--min-score", "min_score", finite, "of the segmenter's score, 0 to 1"),
    ("--min-share", "min_share", finite, "share of the frame that the mask covers at least"),
    ("--max-share", "max_share", finite, "share of the frame that the mask covers at most"),
    (
        "--max-sides",
        "max_sides",
        partial(at_least, 0),
        "sides of the frame that the subject may touch, 0 to 4",
    ),
    (
        "--min-piece",
        "min_piece",
        finite,
        "share of the mask in its largest connected piece, at least",
    ),
    ("--min-side", "min_side", positive, "pixels of the shorter side of the box, at least"),
)


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "data",
        help="cut image prompts out of videos, check such data, make a suite out of photographs",
        description="Real data: for training, in VideoBooth's layout, and for the suite dreambooth.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_build(actions)
    _add_check(actions)
    _add_heldout(actions)
    add_dreambooth(actions)


def _add_build(actions: Any) -> None:
    from vbbench.data.videos.nouns import CLASSES

    made = actions.add_parser(
        "build",
        help="cut image prompts out of the first frames of videos",
        description="For each clip: find the subject's noun in the caption and the subject in the first frame, and write masks, boxes and "
        "the image prompt on white, in the layout of the released VideoBooth dataset. manifest.jsonl says of every clip whether it was "
        "kept, and if not, why. Run the same command again to go on after an interruption.",
    )
    made.add_argument(
        "--videos",
        type=Path,
        required=True,
        metavar="DIR",
        help="holds <page_dir>/<videoid>.mp4 or <videoid>.mp4",
    )
    made.add_argument(
        "--captions",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV with the columns videoid and name (the caption), as WebVid's",
    )
    made.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder, or one to go on with"
    )
    made.add_argument(
        "--segmenter",
        default="colour-motion",
        metavar="NAME",
        help="colour-motion or grounded-sam (default: %(default)s)",
    )
    made.add_argument(
        "--classes",
        default=",".join(CLASSES),
        metavar="LIST",
        help="nouns to look for (default: %(default)s)",
    )
    made.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes (default: %(default)s)"
    )
    add_segmenter_options(made)
    for flag, name, kind, what in _FILTERS:
        made.add_argument(flag, dest=name, type=kind, metavar="X", help=what)
    made.set_defaults(command=build_data)


def build_data(options: argparse.Namespace) -> int:
    """The command ``vbbench data build``."""
    from vbbench.core.names import names_in
    from vbbench.data.videos.build import SHEET, build
    from vbbench.data.videos.captions import read_captions
    from vbbench.data.videos.clips import Terms
    from vbbench.data.videos.filters import Filters
    from vbbench.data.videos.nouns import check_classes

    chosen = {
        name: getattr(options, name)
        for _, name, _, _ in _FILTERS
        if getattr(options, name) is not None
    }
    classes = check_classes(names_in(options.classes))
    terms = Terms(
        options.videos,
        options.out,
        classes,
        options.segmenter,
        segmenter_options(options),
        Filters(**chosen),
    )
    captions = read_captions(options.captions)
    print(f"Looking at {len(captions)} clips ...", file=sys.stderr)
    try:
        built = build(terms, captions, workers=options.workers)
    except KeyboardInterrupt:
        print(
            f"vbbench: stopped; all that is done is kept in {options.out}. Run the same command again to go on.",
            file=sys.stderr,
        )
        return 130
    _tell_build(built, options.out / SHEET)
    if built.unjudged:
        raise IncompleteError(
            f"{built.unjudged} of {len(captions)} clips could not be judged (video missing or unreadable, or the segmenter failed): "
            "manifest.jsonl says why; the same command tries them again."
        )
    return 0


def _tell_build(built: Built, sheet: Path) -> None:
    classes = Counter(record["class"] for record in built.records if record["status"] == "kept")
    shown = ", ".join(f"{count} {name}" for name, count in sorted(classes.items()))
    print(f"Kept: {built.kept} of {len(built.records)} clips{f' ({shown})' if shown else ''}.")
    for kind, count in built.dropped().items():
        print(f"Dropped: {count}, {kind}.")
    print(f"Contact sheet: {sheet}")


def _add_check(actions: Any) -> None:
    made = actions.add_parser(
        "check",
        help="find faults of a dataset, and leaks between its splits",
        description="Check a dataset in the layout of the released one: a line for each fault, then their counts. Leaks are clips of one "
        "split that are in the other too, by source or as near-duplicates: between the clips that the held-out rule takes and the rest, "
        "or between two datasets with --against. Exit code 1 where there are faults.",
    )
    made.add_argument(
        "data", type=Path, metavar="DIR", help="the dataset's folder, with <class>.csv in it"
    )
    made.add_argument(
        "--videos",
        type=Path,
        metavar="DIR",
        help="holds <page_dir>/<videoid>.mp4; without it, videos are not looked at",
    )
    made.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="another dataset that must share no clip with this one",
    )
    made.add_argument(
        "--against-videos", type=Path, metavar="DIR", help="its videos (default: those of --videos)"
    )
    made.add_argument(
        "--embedding",
        choices=("mini", "sd14"),
        help="hold image prompts against each other by the DINO scoring encoder of a scale too",
    )
    made.add_argument(
        "--alike",
        type=finite,
        metavar="X",
        help="cosine from which embeddings count as the same (default: 0.97)",
    )
    made.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes (default: %(default)s)"
    )
    made.set_defaults(command=check_data)


def check_data(options: argparse.Namespace) -> int:
    """The command ``vbbench data check``."""
    from vbbench.data.videos.check import check
    from vbbench.data.videos.leaks import ALIKE

    if options.videos is None:
        print("Note: videos were not looked at; name their folder with --videos.", file=sys.stderr)
    make_embed = None
    if options.embedding:
        from vbbench.metrics.encoders.encoders import picture_embedder

        make_embed = partial(picture_embedder, options.embedding)
    checked = check(
        options.data,
        videos=options.videos,
        against=options.against,
        against_videos=options.against_videos,
        make_embed=make_embed,
        lowest=ALIKE if options.alike is None else options.alike,
        workers=options.workers,
    )
    for fault in checked.faults:
        print(fault)
    held = " and ".join(f"{count} clips of {name}" for name, count in checked.splits)
    print(f"Checked: {checked.clips} clips; held against each other: {held}.")
    for kind, count in checked.counts().items():
        print(f"Faults: {count}, {kind}.")
    if checked.faults:
        raise CheckFailed(f"{options.data} has {len(checked.faults)} faults.")
    print("Faults: none.")
    return 0


def _add_heldout(actions: Any) -> None:
    made = actions.add_parser(
        "heldout",
        help="list the clips of a dataset that are held out",
        description="List the held-out clips of a dataset, which a rule over their sources decides: everybody with the same dataset gets "
        "the same list. CSV on standard output, the list's digest on standard error.",
    )
    made.add_argument(
        "data", type=Path, metavar="DIR", help="the dataset's folder, with <class>.csv in it"
    )
    made.set_defaults(command=list_heldout)


def list_heldout(options: argparse.Namespace) -> int:
    """The command ``vbbench data heldout``."""
    import csv

    from vbbench.data.videos.heldout import is_held_out, list_digest
    from vbbench.data.videos.layout import class_files, read_rows

    every: list[tuple[str, Row]] = []
    for class_name, path in class_files(options.data).items():
        every += [(class_name, row) for row in read_rows(path)]
    held = [(class_name, row) for class_name, row in every if is_held_out(row.source)]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("class", "videoid", "page_dir", "name"))
    writer.writerows((class_name, row.videoid, row.page_dir, row.name) for class_name, row in held)
    digest = list_digest(f"{class_name}/{row.videoid}" for class_name, row in held)
    print(
        f"{len(held)} of {len(every)} clips are held out; digest of the list: {digest[:12]}.",
        file=sys.stderr,
    )
    return 0
