"""The gate in somebody else's pytest: each test here runs pytest in a folder of its own, in a
process of its own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.results.synthetic import METRICS, FakeRun, build, items, spec
from vbbench.cli.pytest_items import NOTHING_COUNTS, describe, describe_all
from vbbench.errors import InputError
from vbbench.report.gate.rows import rows_of
from vbbench.results.gate.check import hold
from vbbench.results.gate.compare import Kind, Moved, Outcome, Verdict
from vbbench.results.gate.scores import recording_of, write_recording
from vbbench.results.run_folder import load_run
from vbbench.results.statistics import Estimate

MODELS = {"videobooth": ("VideoBooth", ()), "text-to-video": ("Text to video", ())}
PLUGIN = "vbbench.cli.pytest_plugin"
PASSED, FAILED, USAGE = 0, 1, 4
CONFIGURATION = "[pytest]\naddopts = --strict-markers --strict-config -ra\nfilterwarnings = error\n"
Pytest = Callable[..., subprocess.CompletedProcess[str]]


def value(model: str, item: str, metric: str) -> float:
    return 0.5 + 0.001 * int(item[1:])


def worse(model: str, item: str, metric: str) -> float:
    """VideoBooth's DINO falls by a tenth, on the third item by two tenths."""
    damage = 0.1 + 0.1 * (item == "i2") if (model, metric) == ("videobooth", "dino") else 0.0
    return value(model, item, metric) - damage


def without_a_number(model: str, item: str, metric: str) -> float | None:
    return None if (metric, item) == ("dino", "i2") else value(model, item, metric)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs and recorded scores."""
    root = tmp_path_factory.mktemp("project")
    others = (spec("clip-text"), spec("dino", version="2"), spec("temporal-consistency"))
    runs = {
        "same": {"value": value},
        "worse": {"value": worse},
        "missing": {"value": without_a_number},
        "spec": {"value": value, "metrics": others},
        "suite": {"value": value, "suite": {"name": "tiny", "version": "2.0", "digest": "d2" * 32}},
    }
    for name, known in runs.items():
        build(
            root / "runs" / name,
            FakeRun(items(12), **{"models": MODELS, "metrics": METRICS, **known}),
            videos=False,
        )
    write_recording(
        root / "scores.json",
        recording_of(load_run(root / "runs" / "same"), {"who": "a test", "why": "to compare with"}),
    )
    (root / "pytest.ini").write_text(CONFIGURATION)
    return root


@pytest.fixture
def run_pytest(project: Path, tmp_path: Path, subprocess_environment: dict[str, str]) -> Pytest:
    """Runs pytest over a test file's text, or over none."""

    def run(
        *arguments: str,
        code: str = "",
        conftest: str = "",
        plugin: bool = True,
        extra_path: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        tests = tmp_path / "tests"
        tests.mkdir(exist_ok=True)
        (tests / "test_own.py").write_text(code or "def test_own():\n    pass\n")
        (tests / "conftest.py").write_text(conftest)
        environment = {
            key: text
            for key, text in subprocess_environment.items()
            if not key.startswith(("PYTEST_", "COV_"))
        }
        environment["COLUMNS"] = "300"
        if extra_path:
            environment["PYTHONPATH"] = f"{extra_path}:{environment['PYTHONPATH']}"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            "pytest.ini",
            "--rootdir=.",
            "-p",
            "no:cacheprovider",
        ]
        command += [*(["-p", PLUGIN] if plugin else []), str(tests), *arguments]
        return subprocess.run(
            command,
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def gate(run: str) -> tuple[str, ...]:
    return ("--vbbench-gate", f"runs/{run}", "--vbbench-against", "scores.json")


def test_same_run_passes_each_row_by_its_name_and_skips_what_does_not_count(
    run_pytest: Pytest, tmp_path: Path
) -> None:
    done = run_pytest(*gate("same"), "-v", f"--junitxml={tmp_path / 'report.xml'}")
    assert done.returncode == PASSED, done.stdout + done.stderr
    for model in MODELS:
        for metric in METRICS:
            assert f"vbbench-gate::{model}::{metric.name} PASSED" in done.stdout
    assert "test_own.py::test_own PASSED" in done.stdout
    assert "4 skipped" in done.stdout
    assert "videobooth, seconds: not comparable: recorded on" in done.stdout
    cases = {
        (case.get("classname"), case.get("name"))
        for case in ET.parse(tmp_path / "report.xml").iter("testcase")
    }
    assert ("vbbench-gate.videobooth", "dino") in cases


def test_drift_fails_with_what_moved_and_nothing_of_the_plug_in(run_pytest: Pytest) -> None:
    done = run_pytest(*gate("worse"))
    assert done.returncode == FAILED
    assert (
        "FAILED vbbench-gate::videobooth::dino - Failed: videobooth, dino: drifted: 12 of 12 items moved"
        in done.stdout
    )
    assert "_ row vbbench-gate::videobooth::dino _" in done.stdout
    assert "then 0.5055, now 0.3972, change" in done.stdout
    moved = done.stdout[done.stdout.index("moved most:") :].splitlines()
    assert moved[1].split() == ["i2", "0.5020", "\N{RIGHTWARDS ARROW}", "0.3020"]
    assert "1 failed, 6 passed" in done.stdout
    assert "pytest_items.py" not in done.stdout.split("short test summary")[0]


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("missing", "videobooth, dino: not measured: 1 of 12 items have no number now; i2"),
        ("spec", "videobooth, dino: not comparable: recorded by spec"),
    ],
)
def test_what_is_not_measured_or_not_comparable_fails(
    run_pytest: Pytest, run: str, told: str
) -> None:
    done = run_pytest(*gate(run))
    assert done.returncode == FAILED
    assert told in done.stdout
    assert "2 failed, 5 passed" in done.stdout


def test_another_suite_is_a_test_that_fails_beside_the_projects_own(run_pytest: Pytest) -> None:
    done = run_pytest(*gate("suite"))
    assert done.returncode == FAILED
    assert (
        "FAILED vbbench-gate::comparison - Failed: the run cannot be compared: it is of suite tiny 2.0"
        in done.stdout
    )
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--vbbench-gate", "runs/none"), "none is not a run folder: it has no manifest.json."),
        (
            (*gate("same"), "--vbbench-models", "videoboth"),
            "has no scores of the model 'videoboth': did you mean 'videobooth'?",
        ),
        (("--vbbench-against", "scores.json"), "--vbbench-gate RUN names it"),
    ],
)
def test_wrong_usage_is_one_sentence(
    run_pytest: Pytest, arguments: tuple[str, ...], told: str
) -> None:
    done = run_pytest(*arguments)
    assert done.returncode == USAGE
    assert [
        line.startswith("ERROR: vbbench: ") and told in line
        for line in done.stderr.splitlines()
        if line
    ] == [True]
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ((None, None), "tiny.json: `vbbench gate record RUN` makes them."),
        (("none.json", None), "there are no recorded scores"),
        (("scores.json", "none.toml"), "there is no file of tolerances"),
    ],
)
def test_files_that_are_not_there_are_named(
    project: Path, files: tuple[str | None, str | None], told: str
) -> None:
    against, tolerances = (project / name if name else None for name in files)
    with pytest.raises(InputError, match=re.escape(told)):
        hold(project / "runs" / "same", against, tolerances=tolerances)


def test_rows_are_chosen_by_option_and_by_keyword(run_pytest: Pytest) -> None:
    chosen = run_pytest(
        *gate("worse"), "--vbbench-models", "text-to-video", "--collect-only", "-q"
    ).stdout
    assert "vbbench-gate::text-to-video::dino" in chosen
    assert "videobooth::" not in chosen
    assert (
        "1 failed"
        in run_pytest(*gate("worse"), "-k", "vbbench-gate and dino and not text-to-video").stdout
    )


def test_several_runs_keep_apart(run_pytest: Pytest) -> None:
    done = run_pytest(*gate("same"), "--vbbench-gate", "runs/worse", "-v")
    assert "vbbench-gate::runs/same::videobooth::dino PASSED" in done.stdout
    assert "vbbench-gate::runs/worse::videobooth::dino FAILED" in done.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed"
)
def test_rows_are_shared_out_by_xdist(run_pytest: Pytest) -> None:
    done = run_pytest(*gate("worse"), "-n", "2", code=FIXTURE_TESTS)
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "3 failed, 8 passed, 4 skipped" in done.stdout
    wrong = run_pytest("--vbbench-gate", "runs/none", "-n", "2")
    assert wrong.returncode == USAGE
    assert "Traceback" not in wrong.stdout + wrong.stderr


FIXTURE_TESTS = """
import pytest
from vbbench.errors import IncompleteError, UsageError

def test_same(vbbench_gate):
    outcome = vbbench_gate("runs/same", "scores.json")
    assert (outcome.exit_code, len(outcome.verdicts)) == (0, 10)

def test_worse(vbbench_gate):
    vbbench_gate("runs/worse", against="scores.json")

def test_suite(vbbench_gate):
    vbbench_gate("runs/suite", "scores.json")

def test_unchecked(vbbench_gate):
    assert vbbench_gate("runs/worse", "scores.json", check=False).exit_code == 1
    assert vbbench_gate("runs/spec", "scores.json", check=False).exit_code == 3
    with pytest.raises(IncompleteError):
        vbbench_gate("runs/suite", "scores.json", check=False)

def test_chosen(vbbench_gate):
    vbbench_gate("runs/worse", "scores.json", models="text-to-video")
    vbbench_gate("runs/missing", "scores.json", items=["i0", "i1", "i3", "i4"])
    with pytest.raises(UsageError, match="no scores of the item 'i99'"):
        vbbench_gate("runs/same", "scores.json", items=["i99"], check=False)
    with pytest.raises(pytest.fail.Exception, match="no scores of the model 'nobody'"):
        vbbench_gate("runs/same", "scores.json", models=["videobooth", "nobody"])
"""


def test_fixture_fails_its_test_in_words_unless_told_not_to(run_pytest: Pytest) -> None:
    done = run_pytest(code=FIXTURE_TESTS)
    assert done.returncode == FAILED, done.stdout
    assert "2 failed, 3 passed" in done.stdout
    told, summary = done.stdout.split("short test summary")
    assert [
        line.split()[1].split("::")[1] for line in summary.splitlines() if line.startswith("FAILED")
    ] == ["test_worse", "test_suite"]
    assert "\nvbbench gate: 1 of 6 rows are not as recorded\nvideobooth, dino: drifted:" in told
    assert "\n    i2 0.5020" in told
    assert "\nvbbench gate: the run cannot be compared: it is of suite tiny 2.0" in told
    assert not any(word in told for word in ("Traceback", "During handling", "pytest_plugin.py"))


@pytest.fixture
def entry_point(tmp_path: Path) -> Path:
    """A folder that says, as an installed vbbench does, that the plug-in is one."""
    folder = tmp_path / "installed" / "vbbench_entry-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: vbbench-entry\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(f"[pytest11]\nvbbench = {PLUGIN}\n")
    return folder.parent


@pytest.mark.parametrize("named", [(), ("-p", PLUGIN), ("-p", "vbbench")])
def test_found_as_entry_point_and_named_is_one_plug_in(
    run_pytest: Pytest, entry_point: Path, named: tuple[str, ...]
) -> None:
    conftest = "" if named else f"pytest_plugins = [{PLUGIN!r}]"
    done = run_pytest(
        *named, *gate("worse"), conftest=conftest, plugin=False, extra_path=entry_point
    )
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "1 failed, 6 passed, 4 skipped" in done.stdout


COSTS_NOTHING = """
import sys

def test_modules():
    assert {"vbbench.cli.pytest_plugin"} <= set(sys.modules)
    heavy = {"torch", "numpy", "pandas", "scipy", "jinja2", "vbbench.results.gate.compare", "vbbench.cli.pytest_items"}
    assert not heavy & set(sys.modules)
"""


def test_unused_plug_in_loads_nothing_heavy(run_pytest: Pytest) -> None:
    done = run_pytest(code=COSTS_NOTHING)
    assert done.returncode == PASSED, done.stdout


def test_help_names_the_options_even_where_the_run_is_not_there(run_pytest: Pytest) -> None:
    done = run_pytest("--help", "--vbbench-gate", "runs/none")
    assert done.returncode == PASSED
    assert all(
        f"--vbbench-{name}" in done.stdout for name in ("gate", "against", "models", "tolerances")
    )


def test_a_row_is_told_with_its_numbers(project: Path) -> None:
    recording = recording_of(load_run(project / "runs" / "same"), {})
    change = Estimate(-0.1, -0.12, -0.08, 12, 12)
    told = {
        "old": 0.5,
        "new": 0.4,
        "change": change,
        "tolerance": 0.005,
        "noise": 1e-6,
        "moved": (Moved("i2", 0.5, 0.3),),
    }
    drifted = Verdict("videobooth", "dino", Kind.DRIFTED, "1 of 12 items moved", **told)
    elsewhere = Verdict(
        "videobooth", "seconds", Kind.NOT_COMPARABLE, "another machine", counts=False
    )
    row, _ = rows_of(Outcome((drifted, elsewhere)), recording)
    lines = describe(row).splitlines()
    assert lines[0] == "videobooth, dino: drifted: 1 of 12 items moved"
    for number in ("0.5000", "0.4000", "0.1000", "0.1200", "0.0800", "0.005", "0.000001"):
        assert number in lines[1]
    assert lines[2:] == ["  moved most:", "    i2 0.5000 \N{RIGHTWARDS ARROW} 0.3000"]
    assert describe_all(rows_of(Outcome((drifted, elsewhere)), recording)).startswith(
        "1 of 1 rows are not as recorded\nvideobooth, dino"
    )
    assert describe_all(rows_of(Outcome((elsewhere,)), recording)) == NOTHING_COUNTS
