"""A run in a process of its own, to be killed: python driver.py SUITE OUT RECIPE..."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from stubs import MeanScorer

from vbbench.cli.run import execute_plan
from vbbench.data.suites import load_suite
from vbbench.models.recipes import load_recipe
from vbbench.runner.plan import RunConfig, build
from vbbench.runner.store import RunStore


def main(suite_folder: str, out: str, *recipes: str) -> int:
    suite = load_suite(Path(suite_folder))
    plan = build(RunConfig(tuple(map(load_recipe, recipes)), "mini"), suite)
    with RunStore(Path(out), suite, "mini") as store:
        summary = execute_plan(plan, store, MeanScorer(), device="cpu", threads=1)
    return 130 if summary is None else 0 if summary.complete else 3


if __name__ == "__main__":
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell ignores it for what it starts in the background
    sys.exit(main(*sys.argv[1:]))
