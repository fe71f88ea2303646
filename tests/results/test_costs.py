"""Costs against numbers worked out by hand; what is unknown is a dash, what there is none of says
so, and failed fits are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.results.synthetic import MODELS, FakeRun, build, items
from vbbench.report.leaderboard import write_report
from vbbench.results.aggregate import leaderboard_table, load_run, merge_runs
from vbbench.results.costs import NONE, cost_columns, cost_note, cost_rows
from vbbench.results.formatting import NOTHING
from vbbench.results.run_data import RunData
from vbbench.runner.store import RunStore
from vbbench.types import Adapter, Job, PromptSuite

FEW = {name: MODELS[name] for name in ("videobooth", "textual-inversion", "real-video")}
FITS = {"dog-0": (40, 1000), "dog-1": (60, 3000), "dog-2": (50, 2000)}


def folder_with_fits(
    tmp_path: Path, change: Callable[[dict], object] = dict, **models: dict
) -> Path:
    """Six items of three individuals; fits of 10, 11 and 12 seconds; clips of 0.5, 1.5 ...
    seconds."""
    folder = build(tmp_path / "run", FakeRun(items(3, 2), lambda *_: 0.5, models=FEW), videos=False)
    lines = []
    for line in (folder / "jobs.jsonl").read_text().splitlines():
        job = json.loads(line)
        if job["kind"] == "fit":
            steps, size = FITS[job["subject_id"]]
            job |= {"facts": {"steps": steps, "loss": 0.1}, "bytes": size}
            change(job)
        lines.append(json.dumps(job) + "\n")
    (folder / "jobs.jsonl").write_text("".join(lines))
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, facts in models.items():
        manifest["models"][name.replace("_", "-")] |= facts
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def cells(run: RunData, title: str) -> dict[str, tuple[str, str]]:
    """Column -> text and note of a competitor."""
    table = leaderboard_table(run)
    columns = cost_columns(table)
    (row,) = (row for row in cost_rows(table, columns) if row.title == title)
    return {
        column.name: (cell.text, cell.note) for column, cell in zip(columns, row.cells, strict=True)
    }


def test_costs_by_hand(tmp_path: Path) -> None:
    run = load_run(
        folder_with_fits(tmp_path, videobooth={"trained": {"steps": 6300, "parameters": 1_250_000}})
    )
    row = leaderboard_table(run).set_index("model").loc["textual-inversion"]
    assert (row["fits"], row["fitted"]) == (3, 3)
    assert (row["fit_steps"], row["fit_seconds"], row["stored_bytes"]) == (50, 11, 2000)
    assert row["sample_seconds"] == pytest.approx(3.0)  # 0.5 to 5.5
    assert row["first_clip_seconds"] == pytest.approx(14.0)
    assert (row["fit_memory_mb"], row["sample_memory_mb"], row["peak_memory_mb"]) == (900, 700, 900)
    assert cells(run, "Textual Inversion") == {
        "trained_steps": (NOTHING, ""),
        "trained_parameters": (NOTHING, ""),
        "fit_steps": ("50", ""),
        "fit_seconds": ("11", ""),
        "fit_memory_mb": ("900", ""),
        "stored_bytes": ("2.0 kB", ""),
        "sample_seconds": ("3.0", ""),
        "sample_memory_mb": ("700", ""),
        "first_clip_seconds": ("14", ""),
    }
    ready = cells(run, "VideoBooth")
    assert (ready["trained_steps"][0], ready["trained_parameters"][0]) == (
        "6\N{THIN SPACE}300",
        "1.25 million",
    )
    assert {
        ready[name][0] for name in ("fit_steps", "fit_seconds", "fit_memory_mb", "stored_bytes")
    } == {NONE}
    assert ready["first_clip_seconds"] == ("3.0", "")


def test_failed_fits_are_counted_and_not_averaged(tmp_path: Path) -> None:
    def fail(job: dict) -> None:
        if job["subject_id"] == "dog-1":
            job.update(status="failed", reason="not finite", seconds=500.0, bytes=None, facts={})

    run = load_run(folder_with_fits(tmp_path, fail))
    shown = cells(run, "Textual Inversion")
    assert shown["fit_seconds"] == ("11", "2 of 3 fitted")  # of 10 and 12
    assert shown["first_clip_seconds"] == ("14", "2 of 3 fitted")
    assert (shown["fit_steps"][0], shown["stored_bytes"][0]) == ("45", "1.5 kB")
    page = write_report([tmp_path / "run"], tmp_path / "report")
    assert page.read_text("utf-8").count("2 of 3 fitted") == 2
    assert "11 (2 of 3 fitted)" in (tmp_path / "report" / "leaderboard.md").read_text("utf-8")


def test_a_model_that_could_not_be_fitted_at_all_has_no_first_clip(tmp_path: Path) -> None:
    def fail(job: dict) -> None:
        job.update(status="failed", reason="no memory", bytes=None, facts={})

    run = load_run(folder_with_fits(tmp_path, fail))
    row = leaderboard_table(run).set_index("model").loc["textual-inversion"]
    assert (row["fits"], row["fitted"]) == (3, 0)
    assert row[["fit_seconds", "first_clip_seconds"]].isna().all()
    assert cells(run, "Textual Inversion")["first_clip_seconds"] == (NOTHING, "0 of 3 fitted")


def test_older_run_folders_show_nothing_where_nothing_was_recorded(tmp_path: Path) -> None:
    def older(job: dict) -> None:
        del job["facts"], job["bytes"]

    run = load_run(folder_with_fits(tmp_path, older))
    shown = cells(run, "Textual Inversion")
    assert {"fit_steps", "stored_bytes", "trained_steps"}.isdisjoint(shown)
    assert shown["first_clip_seconds"] == ("14", "")


@pytest.mark.parametrize("steps", ["many", None, True, [3]])
def test_steps_that_are_no_number_are_unknown(tmp_path: Path, steps: object) -> None:
    run = load_run(folder_with_fits(tmp_path, lambda job: job["facts"].update(steps=steps)))
    assert "fit_steps" not in cells(run, "Textual Inversion")


def test_a_fitted_model_of_which_no_fit_was_begun_is_not_free(tmp_path: Path) -> None:
    run = load_run(folder_with_fits(tmp_path, videobooth={"fitted": True}))
    assert cells(run, "VideoBooth")["fit_seconds"] == (NOTHING, "0 of 3 fitted")
    assert cells(run, "VideoBooth")["first_clip_seconds"][0] == NOTHING


def test_merged_runs_keep_what_fits_left_behind(tmp_path: Path) -> None:
    first = load_run(
        build(
            tmp_path / "other",
            FakeRun(items(3, 2), lambda *_: 0.5, models={"still-image": MODELS["still-image"]}),
        )
    )
    merged = merge_runs([first, load_run(folder_with_fits(tmp_path))])
    assert cells(merged, "Textual Inversion")["fit_steps"] == ("50", "")


def test_the_note_names_the_machines(tmp_path: Path) -> None:
    run = load_run(folder_with_fits(tmp_path))
    assert cost_note(run.manifests).endswith("steps and bytes anywhere.")
    here = {"environment": {"cpu": "Xeon", "threads": 1, "device": "cpu", "slowness": 1.324}}
    there = {"environment": {"gpu": "H100", "cpu": "Xeon", "device": "cuda", "slowness": 0.02}}
    assert "measured on Xeon (1 thread, 1.3 times as slow as the reference machine)." in cost_note(
        [here, here]
    )
    assert "H100 (0.02 times as slow as the reference machine)" in cost_note([here, there])
    assert "compare costs within one run alone" in cost_note([here, there])
    assert "within one run alone" not in cost_note([here])


def test_the_size_of_an_adapter_is_recorded(tiny_suite: PromptSuite, tmp_path: Path) -> None:
    job = Job("fit", "mine", "cat-0", None, "ab" * 32)
    with RunStore(tmp_path / "run", tiny_suite, "mini") as store:
        store.keep_adapter(
            job,
            Adapter("cat-0", {"token": torch.zeros(5, 7)}, {"steps": 3}),
            seconds=1.0,
            memory_mb=2.0,
        )
        size = store.adapter_path(job).stat().st_size
        failed = replace(job, subject_id="dog-0")
        store.keep_failure(failed, "no", seconds=1.0, memory_mb=None)
    records = [
        json.loads(line) for line in (tmp_path / "run" / "jobs.jsonl").read_text().splitlines()
    ]
    assert [record["bytes"] for record in records] == [size, None]
    assert size > 5 * 7 * 4
