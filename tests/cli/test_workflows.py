"""Ready workflows: understood by YAML, and every command in them by the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # comes with timm, transformers and huggingface_hub

from vbbench.cli import COMMANDS, make_parser
from vbbench.cli.workflows import workflow, workflow_names
from vbbench.errors import UsageError

SERVICES = ("github", "gitlab")


def parsed(name: str) -> dict[Any, Any]:
    return yaml.safe_load(workflow(name))


def scripts(name: str) -> dict[str, str]:
    """Job or step -> its shell script."""
    if name == "github":
        jobs = parsed(name)["jobs"].items()
        return {
            f"{job} {step['name']}": step["run"]
            for job, record in jobs
            for step in record["steps"]
            if "run" in step
        }
    jobs = {
        job: [*record.get("before_script", ()), *record.get("script", ())]
        for job, record in parsed(name).items()
        if isinstance(record, dict)
    }
    return {job: "\n".join(flat(lines)) for job, lines in jobs.items() if lines}


def flat(lines: list[Any]) -> Iterator[str]:
    for line in lines:
        yield from flat(line) if isinstance(line, list) else [line]


def settings(name: str) -> dict[str, str]:
    given = parsed(name)["env" if name == "github" else "variables"]
    return {
        key: value["value"] if isinstance(value, dict) else value for key, value in given.items()
    } | {"WHO": "me", "WHY": "a reason"}


def commands(name: str) -> list[list[str]]:
    """Words of each vbbench command, with the workflow's own settings filled in."""
    lines = [line.strip() for script in scripts(name).values() for line in script.splitlines()]
    found = [re.split(r"\|\||&&|;", line)[0] for line in lines if line.startswith("vbbench ")]
    filled = [
        re.sub(r"\$\{?(\w+)(:-\$\w+\})?", lambda match: settings(name)[match[1]], line)
        for line in found
    ]
    return [shlex.split(line)[1:] for line in filled]


def test_services_are_those_with_a_file() -> None:
    assert workflow_names() == list(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_the_command_line_understands_every_command(name: str) -> None:
    found = commands(name)
    for words in found:
        assert words[0] in COMMANDS
        options, unknown = make_parser().parse_known_args(words)
        assert not unknown, words
        assert callable(options.command)
    text = [" ".join(words) for words in found]
    assert "run --models ./my_method --suite mini --out runs/model" in text
    assert "gate runs/model --against scores.json --out runs/model/gate" in text
    assert any(line.startswith("gate --quick") for line in text)
    assert any(
        line.startswith("gate record") and "--who me --why a reason" in line for line in text
    )


@pytest.mark.parametrize("name", SERVICES)
def test_no_command_is_hidden_from_the_test_above(name: str) -> None:
    lines = [
        line
        for script in scripts(name).values()
        for line in script.splitlines()
        if re.search(r"\bvbbench (?!\\)", line)
    ]
    assert len(lines) == len(commands(name))


@pytest.mark.parametrize("name", SERVICES)
def test_scripts_are_shell(name: str) -> None:
    for job, script in scripts(name).items():
        done = subprocess.run(
            ["bash", "-n"], input=script, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, (job, done.stderr)


@pytest.mark.parametrize("name", SERVICES)
def test_names_no_host_but_the_services_own(name: str) -> None:
    assert not re.findall(r"https?://|index-url|[\w-]+\.(?:io|com|org|net)\b", workflow(name))


def test_github_may_only_read() -> None:
    record = parsed("github")
    assert record["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in record["jobs"].values())


def test_github_actions_are_pinned_by_major_version_and_its_own() -> None:
    used = [
        step["uses"]
        for job in parsed("github")["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)


def test_github_pastes_no_input_into_a_script() -> None:
    assert not [script for script in scripts("github").values() if "${{" in script]


def test_github_uploads_and_tells_also_when_the_gate_fails() -> None:
    steps = {step.get("name"): step for step in parsed("github")["jobs"]["gate"]["steps"]}
    assert (
        steps["Summary"]["if"] == steps["Page, JUnit report and videos"]["if"] == "${{ always() }}"
    )
    assert not any(step.get("continue-on-error") for step in steps.values())


def test_github_records_by_hand_only_and_then_does_not_gate() -> None:
    record = parsed("github")
    assert set(record[True]["workflow_dispatch"]["inputs"]) == {
        "who",
        "why",
    }  # YAML 1.1 reads `on` as true
    assert (record["jobs"]["gate"]["if"], record["jobs"]["record"]["if"]) == (
        "${{ !inputs.why }}",
        "${{ inputs.why }}",
    )


def test_gitlab_shows_the_rows_and_keeps_the_page_also_when_the_gate_fails() -> None:
    artifacts = parsed("gitlab")[".gate"]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["reports"]["junit"] == "runs/*/gate/gate.xml"
    assert "allow_failure" not in workflow("gitlab")


def test_gitlab_records_by_hand_only_and_then_does_not_gate() -> None:
    record = parsed("gitlab")
    assert record["vbbench-record"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "web" && $WHY'}]
    for job in (".gate", "vbbench-model"):
        assert {"if": "$WHY", "when": "never"} in record[job]["rules"][:-1]


@pytest.mark.parametrize("code", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "job",
    ["github gate Quick gate", "github gate Gate", "gitlab vbbench-quick", "gitlab vbbench-model"],
)
def test_the_gates_exit_code_is_the_jobs(job: str, code: int, tmp_path: Path) -> None:
    name, script = job.split(" ", 1)
    done = run_script(scripts(name)[script], tmp_path, gate=code)
    assert done.returncode == code, done.stderr
    if name == "github":
        assert (tmp_path / "output").read_text() == f"code={code}\n"
    else:
        assert ("Worse than recorded" in done.stdout, "Not shown" in done.stdout) == (
            code == 1,
            code == 3,
        )


def test_a_run_that_failed_fails_gitlabs_job_although_the_gate_is_open(tmp_path: Path) -> None:
    assert run_script(scripts("gitlab")["vbbench-model"], tmp_path, gate=0, run=3).returncode == 3


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("0", None),
        ("", None),
        ("1", "worse than recorded"),
        ("3", "not shown"),
        ("2", "could not be held"),
    ],
)
def test_githubs_summary_tells_drift_from_what_is_missing(
    code: str, told: str | None, tmp_path: Path
) -> None:
    page = tmp_path / "runs" / "model" / "gate" / "gate.md"
    page.parent.mkdir(parents=True)
    page.write_text("## Gate\n")
    done = run_script(scripts("github")["gate Summary"], tmp_path, QUICK="0", MODEL=code)
    assert done.returncode == 0
    assert (tmp_path / "summary").read_text() == "## Gate\n"
    assert f"::error title=gate::{told}" in done.stdout if told else not done.stdout


def run_script(
    script: str, folder: Path, *, gate: int = 0, run: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a job's script as the services do, with commands that only end as they are told."""
    fakes = f"vbbench() {{ if [ $1 = gate ]; then return {gate}; else return {run}; fi; }}\npython() {{ :; }}\n"
    outputs = {
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "PATH": "/usr/bin:/bin",
    }
    command = ["bash", "-eo", "pipefail", "-c", fakes + script]
    return subprocess.run(
        command, env=outputs | environment, cwd=folder, text=True, capture_output=True, check=False
    )


def test_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no workflow for 'githup': did you mean 'github'"):
        workflow("githup")
    with pytest.raises(UsageError, match="known are github, gitlab"):
        workflow("../../pyproject")
