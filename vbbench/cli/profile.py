"""``vbbench profile``: how long the parts of a clip take, what memory they hold, and how far that
is from what the device could do."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import positive, threads
from vbbench.errors import UsageError
from vbbench.profiling.options import DTYPES, TARGET_THREADS, Options

if TYPE_CHECKING:
    from rich.table import Table

    from vbbench.profiling.record import Record, Row


@dataclass(frozen=True)
class Part:
    """What can be profiled.

    Attributes:
        name: the word on the command line.
        words: what it is.
        function: ``module:function``, `vbbench.profiling.options.Options` ->
            `vbbench.profiling.record.Record`.
        add: adds options of its own; they arrive in `Options.further`.
    """

    name: str
    words: str
    function: str
    add: Callable[[argparse.ArgumentParser], None] = lambda _: None


def _step_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        choices=("small", "sd14"),
        default="small",
        help="the network's size (default: small, for a CPU)",
    )
    parser.add_argument(
        "--rounds", type=positive, metavar="N", help="timed rounds (default: by scale and device)"
    )
    parser.add_argument(
        "--ways",
        type=_names,
        metavar="LIST",
        help="rungs and other ways of the table (default: those quick to set up)",
    )


def _clip_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=_names,
        metavar="LIST",
        help="models that need no fitting (default: videobooth, elite, text-to-video)",
    )
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="clips at once (default: the recipe's)"
    )


def _training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        choices=("mini", "small", "sd14"),
        default="mini",
        help="the network's size (default: mini)",
    )


PARTS = (
    Part(
        "attention", "injection attention, by every backend", "vbbench.profiling.attention:profile"
    ),
    Part(
        "step",
        "a denoising step, one removal at a time",
        "vbbench.profiling.step:profile",
        _step_options,
    ),
    Part(
        "clip",
        "a whole clip, from prompt items to frames",
        "vbbench.profiling.clip:profile",
        _clip_options,
    ),
    Part(
        "training",
        "a training step of the fine stage",
        "vbbench.profiling.training:profile",
        _training_options,
    ),
)
FEW_CASES = 4
_SHARED = ("device", "threads", "quick", "backward", "dtype", "backends", "frames", "sizes", "out")


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "profile",
        help="measure latency, memory and the share of what the device could do",
        description="Measure a part of the program: latency, peak memory, operations, traffic, the share of this device's own ceilings. "
        "Writes profile.json, pictures and a page. Exit code 1: a target was missed; 3: one could not be measured.",
    )
    parts = parser.add_subparsers(title="parts", metavar="PART", parser_class=type(parser))
    for part in PARTS:
        _add_part(
            parts.add_parser(part.name, help=part.words, description=f"Profile {part.words}."), part
        )
    parser.set_defaults(command=_no_part)


def _add_part(parser: argparse.ArgumentParser, part: Part) -> None:
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)"
    )
    parser.add_argument("--quick", action="store_true", help="only what the targets need")
    parser.add_argument(
        "--backward",
        action="store_true",
        help="forward and backward with gradients, instead of forward without",
    )
    parser.add_argument(
        "--dtype",
        type=_dtypes,
        metavar="LIST",
        help=f"of {', '.join(DTYPES)} (default: float32,bfloat16)",
    )
    parser.add_argument(
        "--backends", type=_names, metavar="LIST", help="attention backends (default: all)"
    )
    parser.add_argument(
        "--frames", type=_numbers, metavar="LIST", help="numbers of frames to sweep"
    )
    parser.add_argument(
        "--sizes", type=_numbers, metavar="LIST", help="sizes of videos to sweep, in pixels"
    )
    parser.add_argument(
        "--threads",
        type=threads,
        default=TARGET_THREADS,
        metavar="N",
        help="CPU threads (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder of the results (default: runs/profile-{part.name})",
    )
    part.add(parser)
    parser.set_defaults(command=lambda options: profile(part, options))


def _no_part(_: argparse.Namespace) -> int:
    raise UsageError(f"`vbbench profile` needs a part: {', '.join(part.name for part in PARTS)}.")


def profile(part: Part, chosen: argparse.Namespace) -> int:
    """The command."""
    from vbbench.core.environment import choose_device
    from vbbench.profiling.finite import finite
    from vbbench.report.profile.page import claimed_folder, write_profile

    folder = chosen.out or Path("runs") / f"profile-{part.name}"
    device = choose_device(chosen.device, "mini")
    further = {
        name: value for name, value in vars(chosen).items() if name not in (*_SHARED, "command")
    }
    options = Options(
        device=device,
        threads=chosen.threads,
        quick=chosen.quick,
        backward=chosen.backward,
        dtypes=chosen.dtype,
        backends=chosen.backends,
        frames=chosen.frames,
        sizes=chosen.sizes,
        further=further,
        tell=_teller(),
    )
    module, name = part.function.split(":")
    with claimed_folder(folder):
        record: Record = finite(getattr(importlib.import_module(module), name)(options))
        page = write_profile(record, folder)
    show(record)
    print(f"Profile: {page}")
    return record.exit_code


def show(record: Record) -> None:
    """Tables on standard output: rows, gaps, and last the targets."""
    from rich.markup import escape

    from vbbench.cli.tables import console, table
    from vbbench.profiling import words

    out = console()
    for section, rows in record.sections().items():
        title, cases = words.section_title(section), list(dict.fromkeys(row.case for row in rows))
        # A few cases are tables of their own: their names, often long, would leave no room for the
        # numbers.
        if len(cases) <= FEW_CASES:
            for case in cases:
                out.print(
                    _rows_table(
                        record,
                        f"{title}: {case}",
                        [row for row in rows if row.case == case],
                        with_case=False,
                    )
                )
        else:
            out.print(_rows_table(record, title, rows, with_case=True))
    out.print(escape(words.legend(record)))
    for gap in record.gaps:
        out.print(f"Not measured: {words.gap(gap)}", markup=False)
    counted = [check for check in record.checks if check.counts]
    if counted:
        made = table(
            "Targets",
            "target",
            "wanted",
            "measured",
            "verdict",
            numbers=("wanted", "measured"),
            whole=("wanted", "measured"),
        )
        for check in counted:
            made.add_row(
                *map(escape, words.check_cells(check)),
                style="bold" if check.passed is not True else None,
            )
        out.print(made)
    for line in (*record.notes, *words.aside(record)):
        out.print(line, markup=False)


def _rows_table(record: Record, title: str, rows: Sequence[Row], *, with_case: bool) -> Table:
    from rich.markup import escape

    from vbbench.cli.tables import table
    from vbbench.profiling import words

    columns = words.columns(record, rows)
    heads = [column.head.replace(" ", "\n") for column in columns]
    made = table(
        escape(title),
        *(("case",) if with_case else ()),
        "variant",
        *heads,
        numbers=heads,
        whole=("variant", *heads),
    )
    for place, row in enumerate(rows):
        last = place + 1 == len(rows) or rows[place + 1].case != row.case
        cells = (
            *((row.case,) if with_case else ()),
            words.variant(row),
            *(column.text(row) for column in columns),
        )
        made.add_row(
            *map(escape, cells), end_section=last, style="bold" if words.is_chosen(row) else None
        )
    return made


def _teller() -> Callable[[str], None]:
    """Tells on standard error what goes on, where somebody looks."""
    started = time.monotonic()

    def tell(line: str) -> None:
        if sys.stderr.isatty():
            print(f"{time.monotonic() - started:5.0f} s  {line}", file=sys.stderr)

    return tell


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("nothing is named")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(positive(name) for name in _names(text)))


def _dtypes(text: str) -> tuple[str, ...]:
    return _known(_names(text), DTYPES)


def _known(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {name!r}: known are {', '.join(known)}")
    return tuple(names)
