"""``vbbench metrics``: what can be named after ``--metrics``, and the ids that make numbers comparable."""

from __future__ import annotations

import argparse
from typing import Any

from vbbench.errors import VBBenchError


def add_parser(commands: Any) -> None:
    """Add this command's part of the command line."""
    parser = commands.add_parser(
        "metrics", help="list metrics", description="List metrics, and the ids that make their numbers comparable."
    )
    parser.add_argument("--scale", default="mini", help="mini or sd14 (default: %(default)s)")
    parser.set_defaults(command=metrics)


def metrics(options: argparse.Namespace) -> int:
    """The command. A metric whose weights are missing is listed with that reason."""
    from vbbench.cli.tables import console, table
    from vbbench.metrics import METRICS, get_metric
    from vbbench.metrics.configs import check_scale

    check_scale(options.scale)
    listed = table(f"Metrics at scale {options.scale}", "name", "spec", "better", "range", "reads the text", "how")
    for name in METRICS:
        try:
            spec = get_metric(name, options.scale).spec
        except VBBenchError as error:
            listed.add_row(name, "none", "", "", "", str(error))
            continue
        better, reads = "higher" if spec.higher_is_better else "lower", "yes" if spec.reads_text else "no"
        low, high = (f"{bound:g}" for bound in spec.bounds)
        listed.add_row(
            name, spec.id, better, f"{low} to {high} {spec.unit}", reads, f"{spec.encoder or 'no encoder'}; {spec.frames}; {spec.pooling}"
        )
    console().print(listed)
    return 0
