"""The gate in pytest: every row of a run held against recorded scores is a test.

``pytest --vbbench-gate runs/mine --vbbench-against scores.json`` adds the test
``vbbench-gate::my-method::clip-image`` and its like; the fixture `vbbench_gate` does the same from
inside of a test. pytest loads this file in every project where vbbench is installed: nothing heavy
is imported before it is asked for, and no assertion in it is rewritten (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vbbench.errors import IncompleteError, UsageError, VBBenchError

if TYPE_CHECKING:
    from vbbench.report.gate.rows import Row
    from vbbench.results.gate.compare import Outcome

NAMES = ("vbbench", __name__)
"""What pytest may know this plug-in by: its entry point, and its module where somebody asks for
that."""
_FOUND = pytest.StashKey["dict[str, list[Row] | IncompleteError]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("vbbench", "generated videos against recorded scores (vbbench)")
    group.addoption(
        "--vbbench-gate",
        action="append",
        default=[],
        metavar="RUN",
        help="hold this run folder against recorded scores, each model and metric a test of its own; may be given more than once",
    )
    group.addoption(
        "--vbbench-against",
        metavar="FILE",
        help="the recorded scores (default: vbbench's own of the run's suite)",
    )
    group.addoption(
        "--vbbench-models",
        metavar="LIST",
        help="names of models, with commas (default: all that were recorded)",
    )
    group.addoption(
        "--vbbench-tolerances", metavar="FILE", help="how much may change (default: vbbench's own)"
    )


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Under one name only: asked for by ``-p`` and found as an entry point, the second time would
    be an error."""
    if plugin is sys.modules[__name__]:
        for name in NAMES:
            if name != manager.get_name(plugin):
                manager.set_blocked(name)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compares before anything is collected: a wrong path ends pytest with one sentence, under
    pytest-xdist too.

    Raises:
        pytest.UsageError: a run, file or model that there is not.
    """
    config = session.config
    runs = list(dict.fromkeys(config.getoption("--vbbench-gate")))
    against, models, tolerances = (
        config.getoption(f"--vbbench-{name}") for name in ("against", "models", "tolerances")
    )
    try:
        if not runs and (against, models, tolerances) != (None, None, None):
            raise UsageError(
                "options of the gate are given, but no run: --vbbench-gate RUN names it."
            )
        folder = config.invocation_params.dir
        files = [folder / file if file else None for file in (against, tolerances)]
        config.stash[_FOUND] = {
            run: _rows(folder / run, files[0], models, files[1]) for run in runs
        }
    except VBBenchError as error:
        raise pytest.UsageError(f"vbbench: {error}") from None


def _rows(
    run: Path, against: Path | None, models: str | None, tolerances: Path | None
) -> list[Row] | IncompleteError:
    """What cannot be compared at all is a finding too: it becomes a test that fails."""
    try:
        return _hold(run, against, models, None, tolerances)[1]
    except IncompleteError as error:
        return error


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Adds the gate's tests after the project's own."""
    found = session.config.stash.get(_FOUND, {})
    if found:
        from vbbench.cli.pytest_items import Gate

        for run, rows in found.items():
            name = "vbbench-gate" if len(found) == 1 else f"vbbench-gate::{run}"
            items.extend(Gate.from_parent(session, name=name, nodeid=name, found=rows).tests())


@pytest.fixture(scope="session")
def vbbench_gate() -> Callable[..., Outcome]:
    """Holds a run against recorded scores: ``vbbench_gate("runs/mine", against="scores.json")``.

    Called with ``(run, against=None, models=None, items=None, tolerances=None, *, check=True)``,
    returns the `vbbench.results.gate.compare.Outcome`. Fails the test, naming the rows that are not
    as recorded; with ``check=False`` nothing fails, and what cannot be compared at all is raised
    (`vbbench.errors.VBBenchError`).
    """
    return _gate


def _gate(
    run: Path | str,
    against: Path | str | None = None,
    models: Collection[str] | str | None = None,
    items: Collection[str] | str | None = None,
    tolerances: Path | str | None = None,
    *,
    check: bool = True,
) -> Outcome:
    from vbbench.cli.pytest_items import describe_all

    outcome, report = None, ""
    try:
        outcome, rows = _hold(run, against, models, items, tolerances)
        report = describe_all(rows) if outcome.exit_code else ""
    except VBBenchError as error:
        if not check:
            raise
        report = str(error)
    # out of reach of the error, which pytest would print beside the sentence
    if outcome is None or (check and report):
        pytest.fail(f"vbbench gate: {report}", pytrace=False)
    return outcome


def _hold(
    run: Path | str,
    against: Path | str | None,
    models: Collection[str] | str | None,
    items: Collection[str] | str | None,
    tolerances: Path | str | None,
) -> tuple[Outcome, list[Row]]:
    """Imports what a project that gates nothing need not load."""
    from vbbench.report.gate.rows import rows_of
    from vbbench.results.gate.check import hold

    held = hold(run, against, models=models, items=items, tolerances=tolerances)
    return held.outcome, rows_of(held.outcome, held.recording)
