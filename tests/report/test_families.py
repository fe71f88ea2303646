"""Ranks, the table of differences and the page read one corrected family of comparisons."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.results.synthetic import MODELS, FakeRun, build, items, spec
from vbbench.report.leaderboard import write_report
from vbbench.results.aggregate import (
    PAIRED_COLUMNS,
    competitors_compared,
    leaderboard_table,
    load_run,
    paired_table,
)
from vbbench.results.analysis import analyse
from vbbench.results.comparisons import holm
from vbbench.results.formatting import MINUS, effect_size

STRENGTH = {
    "videobooth": 0.5,
    "text-to-video": 0.44,
    "textual-inversion": 0.36,
    "real-video": 0.9,
    "other-individual": 0.44,
}


def value(model: str, item: str, metric: str) -> float:
    rng = np.random.default_rng([sum(model.encode()), int(item[1:]), len(metric)])
    return float(rng.normal(STRENGTH[model], 0.06))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = FakeRun(
        items(9),
        value,
        models={name: MODELS[name] for name in STRENGTH},
        metrics=(spec("dino"), spec("clip-image")),
    )
    return build(tmp_path / "run", run, videos=False)


def test_differences_and_ranks_are_read_from_one_family(folder: Path) -> None:
    run = load_run(folder)
    family = competitors_compared(run, "dino")
    assert list(family) == [
        ("videobooth", "text-to-video"),
        ("videobooth", "textual-inversion"),
        ("text-to-video", "textual-inversion"),
    ]
    table = paired_table(run).set_index(["other", "metric"])
    for (focus, other), comparison in list(family.items())[:2]:
        row = table.loc[other, "dino"]
        assert (focus, row["corrected"], row["better"]) == (
            "videobooth",
            comparison.corrected,
            comparison.sign,
        )
        assert row["effect"] == comparison.effect
    ranks = leaderboard_table(run).set_index("model")["dino.rank"]
    worse = {
        model: sum(c.sign > 0 for (_, b), c in family.items() if b == model)
        for model in ("text-to-video", "textual-inversion")
    }
    assert {model: ranks[model] - 1 for model in worse} == worse
    assert worse["textual-inversion"] > 0


def test_reference_rows_are_a_family_of_their_own(folder: Path) -> None:
    table = paired_table(load_run(folder))
    rows = table[
        (table["metric"] == "dino") & table["other"].isin(["real-video", "other-individual"])
    ]
    assert list(rows["corrected"]) == pytest.approx(holm(list(rows["p"])))
    assert (rows["corrected"] > rows["p"]).any()


def test_an_interval_clear_of_zero_is_not_enough(tmp_path: Path) -> None:
    """One difference is clear alone, and as one of three is not: the others are nothing but
    noise."""
    steps = [-4, -3, -2, -1, 0, 1, 2, 3, 4]

    def near(model: str, item: str, _: str) -> float:
        number = int(item[1:])
        noise = {
            "text-to-video": steps[number] / 30 - 0.08,
            "textual-inversion": steps[number * 5 % 9],
        }
        return 0.5 + noise.get(model, 0.0) / 10

    models = {name: MODELS[name] for name in ("videobooth", "text-to-video", "textual-inversion")}
    run = load_run(
        build(
            tmp_path / "run",
            FakeRun(items(9), near, models=models, metrics=(spec("dino"),)),
            videos=False,
        )
    )
    row = paired_table(run).set_index("other").loc["text-to-video"]
    assert row["low"] > 0
    assert row["p"] <= 0.05 < row["corrected"]
    assert row["better"] == 0
    assert leaderboard_table(run)["dino.rank"].eq(1).all()


def test_without_a_competitor_the_table_is_empty(tmp_path: Path) -> None:
    run = FakeRun(items(6), lambda *_: 0.5, models={"real-video": MODELS["real-video"]})
    table = paired_table(load_run(build(tmp_path / "run", run, videos=False)))
    assert table.empty
    assert tuple(table.columns) == PAIRED_COLUMNS


def test_intervals_stay_within_what_a_metric_can_be(tmp_path: Path) -> None:
    run = FakeRun(
        items(6),
        lambda _, item, __: 1.0 - int(item[1:]) ** 2 / 40,
        models={"videobooth": MODELS["videobooth"]},
    )
    run = replace(run, metrics=(spec("dino"), spec("true-identity", bounds=(0.0, 2.0))))
    row = leaderboard_table(load_run(build(tmp_path / "run", run, videos=False))).iloc[0]
    assert row["dino.high"] == 1.0
    assert row["true-identity.high"] > 1.0
    assert row["dino.low"] == row["true-identity.low"]


def test_the_page_and_its_files_say_what_was_corrected(folder: Path, tmp_path: Path) -> None:
    out = write_report([folder], tmp_path / "out").parent
    page = " ".join((out / "index.html").read_text("utf-8").split())
    assert "correction for all pairs of competitors under the metric" in page
    assert "not widened for the number of comparisons" not in page
    found = paired_table(load_run(folder)).iloc[0]
    assert f'<small class="effect">{effect_size(found["effect"])}</small>' in page
    record = json.loads((out / "leaderboard.json").read_text("utf-8"))["differences"][0]
    assert record["effect"] == pytest.approx(found["effect"], abs=1e-6)
    assert record["corrected"] >= record["p"]


def test_the_matrix_holds_every_pair_both_ways_round(folder: Path) -> None:
    results = analyse(load_run(folder))
    column = results.columns[0]
    made = results.matrices[0]
    assert [title for _, title in made.models] == [
        "VideoBooth",
        "Text to video",
        "Textual Inversion",
    ]
    assert made.metric == column.title
    differences = results.differences
    for place, (name, _) in enumerate(made.models):
        assert made.rows[place][place] is None
        if place:
            assert made.rows[0][place] == differences[name][0]
    turned = {"better": "worse", "worse": "better", "same": "same"}
    for a, b in combinations(range(3), 2):
        one, other = made.rows[a][b], made.rows[b][a]
        assert turned[one.verdict] == other.verdict
        assert {one.text[0], other.text[0]} == {"+", MINUS}
        assert one.text[1:] == other.text[1:]
        ends = [
            interval.replace("+", "").replace(MINUS, "-").split(" to ")
            for interval in (one.interval, other.interval)
        ]
        assert [float(end) for end in ends[0]] == [-float(end) for end in reversed(ends[1])]
    assert {cell.verdict for row in made.rows for cell in row if cell} >= {"better", "worse"}


def test_the_family_is_worked_out_once(folder: Path) -> None:
    run = load_run(folder)
    assert competitors_compared(run, "dino") is competitors_compared(run, "dino")
    fewer = replace(run, models=run.models[:2])
    assert len(competitors_compared(fewer, "dino")) == 1
    run.values("videobooth", "dino").clear()  # a copy: nobody can change what the run knows
    assert len(run.values("videobooth", "dino")) == 9


def test_few_individuals_have_neither_effect_nor_p(tmp_path: Path) -> None:
    run = FakeRun(items(4), value, models={name: MODELS[name] for name in STRENGTH})
    table = paired_table(load_run(build(tmp_path / "run", run, videos=False)))
    assert table[["low", "high", "effect", "p", "corrected"]].isna().all(axis=None)
    assert set(table["better"]) == {0}
    assert not pd.isna(table["difference"]).any()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (-0.814, f"g {MINUS}0.81"),
        (0.0, "g +0.00"),
        (99.4, "g +99.40"),
        (1e9, "g > 100"),
        (-100.0, f"g < {MINUS}100"),
    ],
)
def test_effect_sizes_in_words(value: float | None, words: str) -> None:
    assert effect_size(value) == words
