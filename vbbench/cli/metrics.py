"""``vbbench metrics``: what can be named after ``--metrics``, the ids that make numbers comparable,
and whether they can be trusted."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vbbench.cli.options import add_encoder_options, positive, rate, setting_from
from vbbench.errors import CheckFailed, IncompleteError, UsageError, VBBenchError, WeightsError

if TYPE_CHECKING:
    from vbbench.metrics.encoders.setting import Setting
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
    what.add_argument(
        "--explain",
        metavar="NAME",
        help="print a metric's protocol in words, ready for a paper's appendix",
    )
    what.add_argument(
        "--check",
        action="store_true",
        help="compare the encoders' embeddings of fixed frames and texts with the recorded ones",
    )
    parser.add_argument(
        "--record",
        nargs="?",
        const="",
        metavar="DIR",
        help="with --check: do not compare, but record the embeddings anew, into DIR or where this user's checks look first",
    )
    what.add_argument(
        "--validate",
        action="store_true",
        help="run every metric over damage of known size in the miniature world",
    )
    parser.add_argument(
        "--run", type=Path, metavar="RUN", help="with --explain: as that run measured it"
    )
    parser.add_argument(
        "--frames",
        type=positive,
        metavar="N",
        help="with --explain: frames of every video (default: any)",
    )
    parser.add_argument(
        "--fps",
        type=rate,
        metavar="F",
        help="with --explain: frames a second of every video (default: any)",
    )
    parser.add_argument(
        "--storage",
        metavar="KIND",
        help="with --explain: lossless or lossy videos (default: lossless)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"with --validate: where its tables and pictures go (default: {VALIDITY})",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu or cuda (default: auto; the miniature stays on the CPU)",
    )
    add_encoder_options(parser)
    parser.set_defaults(command=metrics)


def metrics(options: argparse.Namespace) -> int:
    """The command."""
    from vbbench.metrics.encoders.configs import check_scale, encoder_config

    _check_options(options)
    videos = {
        "num_frames": options.frames,
        "fps": options.fps,
        "storage": options.storage or "lossless",
    }
    setting = setting_from(options, check_scale(options.scale), **videos)
    for role, _ in setting.variants:
        encoder_config(role, setting)  # a wrong name is told once, not in every row
    if options.explain is not None:
        return _explain(options.explain, setting, options.run)
    if options.check:
        return check_canary(setting, options.device, options.record)
    if options.validate:
        return _validate(setting, options.out or Path(VALIDITY), options.device)
    return _list(setting)


def _check_options(options: argparse.Namespace) -> None:
    """An option that would be passed over in silence is refused."""
    places = {
        "run": "explain",
        "frames": "explain",
        "fps": "explain",
        "storage": "explain",
        "record": "check",
        "out": "validate",
    }
    for name, place in places.items():
        if getattr(options, name) is not None and not getattr(options, place):
            raise UsageError(f"--{name} goes with --{place}.")
    if options.run is not None and (options.frames, options.fps, options.storage) != (
        None,
        None,
        None,
    ):
        raise UsageError(
            "--run tells frames, rate and storage already: leave out --frames, --fps and --storage."
        )


def _list(setting: Setting) -> int:
    """A metric that the scale does not have is listed with the reason; without the weights there
    are no ids, and that is said once."""
    from vbbench.cli.tables import console, table
    from vbbench.metrics import metric_names

    listed = table(
        f"Metrics at scale {setting.scale}",
        "name",
        "spec",
        "better",
        "range",
        "reads text",
        "encoder",
        whole=("name", "spec"),
    )
    missing = None
    for name in metric_names():
        try:
            spec, found = _spec(name, setting)
        except VBBenchError as error:
            listed.add_row(name, "none", "", "", "", str(error))
            continue
        if found is not None:  # do not look for the same weights again and again
            missing, setting = found, replace(setting, weights="absent")
        reads = "yes" if spec.reads_text else "no"
        low, high = (f"{bound:g}" for bound in spec.bounds)
        listed.add_row(
            name,
            "none" if missing else spec.id,
            spec.direction,
            f"{low} to {high} {spec.unit}",
            reads,
            spec.encoder or "none",
        )
    console().print(listed)
    print("`vbbench metrics --explain NAME` tells a protocol in full.")
    if missing is not None:
        print(f"No ids without the weights: {missing}", file=sys.stderr)
    return 0


def _explain(name: str, setting: Setting, run: Path | None) -> int:
    """Weights that are not at hand are no reason not to tell how they would be used; the id is then
    another, and that is said."""
    from vbbench.metrics.explain import explain

    if run is not None:
        print(explain(_spec_of_run(name, run)))
        return 0
    spec, missing = _spec(name, setting)
    print(explain(spec))
    if missing is not None:
        print(
            f"Without the weights this id cannot be held against a run's: {missing}",
            file=sys.stderr,
        )
    return 0


def _spec_of_run(name: str, run: Path) -> MetricSpec:
    from vbbench.metrics import metric_name
    from vbbench.results.run_folder import load_run

    specs = {spec.name: spec for spec in load_run(run).metrics}
    if name in specs:
        return specs[name]
    name = metric_name(name)
    if name not in specs:
        raise UsageError(f"the run {run} has not measured {name}; it has {', '.join(specs)}.")
    return specs[name]


def _spec(name: str, setting: Setting) -> tuple[MetricSpec, WeightsError | None]:
    """Nothing is downloaded only to tell how it would be used."""
    from vbbench.metrics import get_metric
    from vbbench.metrics.encoders.weights import without_download

    try:
        with without_download():
            return get_metric(name, setting).spec, None
    except WeightsError as error:
        return get_metric(name, replace(setting, weights="absent")).spec, error


def check_canary(setting: Setting, device: str, record: str | None = None) -> int:
    """What drifted decides; what could not be measured is no pass either."""
    from vbbench.cli.tables import console, table
    from vbbench.core.environment import choose_device
    from vbbench.metrics.encoder_check import check

    device = choose_device(device, setting.scale)
    folder = Path(record) if record else None
    results = (
        check.check_encoders(setting, device)
        if record is None
        else check.record(setting, device, folder)
    )
    columns = ("encoder", "what", "difference", "allowed", "verdict")
    shown = table(
        f"Encoders at scale {setting.scale} in {setting.precision}",
        *columns,
        numbers=("difference", "allowed"),
    )
    for result in results:
        shown.add_row(*result.row)
    console().print(shown)
    if wrong := [result.sentence for result in results if result.measured and not result.passed]:
        raise CheckFailed(" ".join(wrong))
    if missing := dict.fromkeys(result.row[0] for result in results if not result.measured):
        raise IncompleteError(f"not measured, for the reasons in the table: {', '.join(missing)}.")
    return 0


def _validate(setting: Setting, out: Path, device: str) -> int:
    """Scores without a value are told with their reasons; what the others show stands beside them
    all the same."""
    import torch

    from vbbench.core.environment import choose_device, default_threads
    from vbbench.metrics.validation.validity import validate
    from vbbench.report.validity.files import prepare_folder, write_validation
    from vbbench.report.validity.words import plain_sentence
    from vbbench.results.validity import analyse
    from vbbench.runner.progress import make_progress

    prepare_folder(out)  # a place that cannot be written to is told before anything is scored
    device = choose_device(device, setting.scale)
    torch.set_num_threads(default_threads(setting.scale, device))
    with make_progress() as progress:
        start = partial(progress.stage, "damaged clips")
        validation = validate(setting, device, start=start, advance=progress.advance)
        findings = analyse(validation)
        write_validation(findings, out)
    for name in findings.real:
        print(plain_sentence(findings, name), end="\n\n")
    print(f"All of it, with pictures: {out / 'README.md'}")
    if findings.validation.failures:
        raise IncompleteError(
            f"some scores have no value: {'; '.join(findings.validation.failures)}"
        )
    return 0
