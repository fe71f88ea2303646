"""``vbbench metrics``: what can be named after ``--metrics``, the ids that make numbers comparable, and whether they can be trusted."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import add_encoder_options, finite, positive, setting_from
from vbbench.errors import CheckFailed, IncompleteError, UsageError, VBBenchError, WeightsError

if TYPE_CHECKING:
    from vbbench.metrics.setting import Setting
    from vbbench.types import MetricSpec

VALIDITY = "metrics-validity"


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "metrics",
        help="list, explain, check and validate metrics",
        description="List metrics and the ids that make their numbers comparable; explain one, check that the encoders still give the "
        "recorded embeddings, or hold all metrics against known damage.",
    )
    parser.add_argument("--scale", default="mini", help="mini or sd14 (default: %(default)s)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--explain", metavar="NAME", help="print a metric's protocol in words, ready for a paper's appendix")
    what.add_argument(
        "--check", action="store_true", help="compare the encoders' embeddings of fixed frames and texts with the recorded ones"
    )
    parser.add_argument(
        "--record",
        nargs="?",
        const="",
        metavar="DIR",
        help="with --check: do not compare, but record the embeddings anew, into DIR or where this user's checks look first",
    )
    what.add_argument("--validate", action="store_true", help="run every metric over damage of known size in the miniature world")
    parser.add_argument("--frames", type=positive, metavar="N", help="with --explain: frames of every video (default: any)")
    parser.add_argument("--fps", type=finite, metavar="F", help="with --explain: frames a second of every video (default: any)")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"with --validate: where its tables and pictures go (default: {VALIDITY})")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto; the miniature stays on the CPU)")
    add_encoder_options(parser)
    parser.set_defaults(command=metrics)


def metrics(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.metrics.configs import check_scale

    setting = setting_from(options, check_scale(options.scale), num_frames=options.frames, fps=options.fps)
    if options.explain is not None:
        return _explain(options.explain, setting)
    if options.record is not None and not options.check:
        raise UsageError("--record goes with --check.")
    if options.check:
        return check_canary(setting, options.device, options.record)
    if options.validate:
        return _validate(setting, options.out or Path(VALIDITY), options.device)
    return _list(setting)


def _list(setting: Setting) -> int:
    """A metric that the scale does not have is listed with the reason; without the weights there are no ids, and that is said once."""
    from vbbench.cli.tables import console, table
    from vbbench.metrics import METRICS

    listed = table(f"Metrics at scale {setting.scale}", "name", "spec", "better", "range", "reads text", "encoder", whole=("name", "spec"))
    missing = None
    for name in METRICS:
        try:
            spec, found = _spec(name, setting)
        except VBBenchError as error:
            listed.add_row(name, "none", "", "", "", str(error))
            continue
        if found is not None:  # do not look for the same weights again and again
            missing, setting = found, replace(setting, weights="absent")
        better, reads = "higher" if spec.higher_is_better else "lower", "yes" if spec.reads_text else "no"
        low, high = (f"{bound:g}" for bound in spec.bounds)
        listed.add_row(name, "none" if missing else spec.id, better, f"{low} to {high} {spec.unit}", reads, spec.encoder or "none")
    console().print(listed)
    print("`vbbench metrics --explain NAME` tells a protocol in full.")
    if missing is not None:
        print(f"No ids without the weights: {missing}")
    return 0


def _explain(name: str, setting: Setting) -> int:
    """Weights that are not at hand are no reason not to tell how they would be used; the id is then another, and that is said."""
    from vbbench.metrics.explain import explain

    spec, missing = _spec(name, setting)
    print(explain(spec))
    if missing is not None:
        print(f"\nWithout the weights this id cannot be held against a run's: {missing}")
    return 0


def _spec(name: str, setting: Setting) -> tuple[MetricSpec, WeightsError | None]:
    from vbbench.metrics import get_metric

    try:
        return get_metric(name, setting).spec, None
    except WeightsError as error:
        return get_metric(name, replace(setting, weights="absent")).spec, error


def check_canary(setting: Setting, device: str, record: str | None = None) -> int:
    """What drifted decides; what could not be measured is no pass either."""
    from vbbench.cli.tables import console, table
    from vbbench.metrics import canary
    from vbbench.run.environment import choose_device

    device = choose_device(device, setting.scale)
    folder = Path(record) if record else None
    results = canary.check_encoders(setting, device) if record is None else canary.record(setting, device, folder)
    columns = ("encoder", "what", "difference", "allowed", "verdict")
    shown = table(f"Encoders at scale {setting.scale} in {setting.precision}", *columns, numbers=("difference", "allowed"))
    for result in results:
        shown.add_row(*result.row)
    console().print(shown)
    if wrong := [result.sentence for result in results if result.measured and not result.passed]:
        raise CheckFailed(" ".join(wrong))
    if missing := dict.fromkeys(result.row[0] for result in results if not result.measured):
        raise IncompleteError(f"not measured, for the reasons in the table: {', '.join(missing)}.")
    return 0


def _validate(setting: Setting, out: Path, device: str) -> int:
    """Scores without a value are told with their reasons; what the others show stands beside them all the same."""
    import torch

    from vbbench.metrics.validity import validate
    from vbbench.report.validity_files import prepare_folder, write_validation
    from vbbench.report.validity_words import plain_sentence
    from vbbench.run.environment import choose_device, default_threads
    from vbbench.run.progress import make_progress

    prepare_folder(out)  # a place that cannot be written to is told before anything is scored
    device = choose_device(device, setting.scale)
    torch.set_num_threads(default_threads(setting.scale, device))
    with make_progress() as progress:
        start = partial(progress.stage, "damaged clips")
        findings = write_validation(out, validate(setting, device, start=start, advance=progress.advance))
    for name in findings.real:
        print(plain_sentence(findings, name), end="\n\n")
    print(f"All of it, with pictures: {out / 'README.md'}")
    if findings.validation.failures:
        raise IncompleteError(f"some scores have no value: {'; '.join(findings.validation.failures)}")
    return 0
