"""The scale of the reference rows: by hand, in either direction, in every file, and a sentence
where there is none."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.results.synthetic import MODELS, FakeRun, build, items, spec
from vbbench.report import export
from vbbench.results.aggregate import leaderboard_table, load_run
from vbbench.results.analysis import analyse
from vbbench.results.normalised import Scale, scales_of
from vbbench.results.run_data import RunData

NAMES = ("dino", "clip-text", "temporal-consistency", "motion")
MEANS = {  # model -> its value under each of NAMES
    "videobooth": (0.6, 0.5, 0.95, 0.3),
    "text-to-video": (0.1, 0.7, 0.9, 0.1),
    "real-video": (1.0, 0.6, 0.98, 0.2),
    "other-individual": (0.2, 0.65, 0.97, 0.2),
    "still-image": (1.1, 0.1, 1.0, 0.0),
    "shuffled-frames": (1.0, 0.6, 0.78, 0.5),
    "flicker": (0.9, 0.55, 0.88, 0.9),
}
TITLES = {**MODELS, "flicker": ("Flicker", ("references",))}


def of(
    tmp_path: Path, models: tuple[str, ...] = tuple(MEANS), *, higher_is_better: bool = True
) -> RunData:
    metrics = tuple(spec(name, higher_is_better=higher_is_better) for name in NAMES)
    run = FakeRun(
        items(6),
        lambda model, item, metric: (
            MEANS[model][NAMES.index(metric)] + (int(item[1:]) - 2.5) / 1000
        ),
        metrics=metrics,
    )
    return load_run(
        build(
            tmp_path / "run",
            replace(run, models={name: TITLES[name] for name in models}),
            videos=False,
        )
    )


def test_values_by_hand(tmp_path: Path) -> None:
    run = of(tmp_path)
    table = leaderboard_table(run).set_index("model")
    row = table.loc["videobooth"]
    assert row["dino.scaled"] == pytest.approx((0.6 - 0.2) / (1.0 - 0.2))
    assert row["clip-text.scaled"] == pytest.approx((0.5 - 0.1) / (0.6 - 0.1))
    assert row["temporal-consistency.scaled"] == pytest.approx((0.95 - 0.78) / (0.98 - 0.78))
    assert row["motion.scaled"] == pytest.approx(0.3 / 0.2)
    assert list(table.loc["real-video", [f"{name}.scaled" for name in NAMES]]) == pytest.approx(
        [1, 1, 1, 1]
    )
    assert table.loc["other-individual", "dino.scaled"] == 0
    assert table.loc["text-to-video", "dino.scaled"] < 0  # nothing is cut off
    assert table.loc["still-image", "dino.scaled"] > 1
    assert row["dino.scaled_low"] < row["dino.scaled"] < row["dino.scaled_high"]
    assert row["dino.scaled_low"] == pytest.approx((row["dino.low"] - 0.2) / 0.8)


def test_which_row_is_the_floor(tmp_path: Path) -> None:
    run = of(tmp_path)
    scales = scales_of(run, leaderboard_table(run))
    floors = {
        "dino": "other-individual",
        "clip-text": "still-image",
        "temporal-consistency": "shuffled-frames",
        "motion": "still-image",
    }
    assert {name: scale.floor for name, scale in scales.items()} == floors
    assert {scale.ceiling for scale in scales.values()} == {"real-video"}
    assert (
        scales["dino"].says({"real-video": "Real video"})
        == "0 is other-individual, 1 is Real video."
    )


def test_lower_is_better(tmp_path: Path) -> None:
    """The worst is then the highest, and the ends of intervals change places."""
    values = {"real-video": 0.1, "other-individual": 0.5, "still-image": 0.9, "videobooth": 0.3}
    metrics = (spec("distance", higher_is_better=False), spec("dino", higher_is_better=False))
    models = {name: TITLES[name] for name in values}
    fake = FakeRun(
        items(6),
        lambda model, item, _: values[model] + int(item[1:]) / 1000,
        models=models,
        metrics=metrics,
    )
    row = (
        leaderboard_table(load_run(build(tmp_path / "run", fake, videos=False)))
        .set_index("model")
        .loc["videobooth"]
    )
    assert row["distance.scaled"] == pytest.approx(0.6 / 0.8)
    assert row["dino.scaled"] == pytest.approx(0.2 / 0.4)
    assert row["dino.scaled_low"] < row["dino.scaled"] < row["dino.scaled_high"]


@pytest.mark.parametrize(
    ("models", "metric", "words"),
    [
        (("videobooth", "other-individual"), "dino", "no score of a row with the role ceiling"),
        (
            ("videobooth", "real-video", "still-image"),
            "dino",
            "no score of a row with the role floor",
        ),
        (
            ("videobooth", "real-video"),
            "clip-text",
            "no score of any of a row with the role floor, a row with the role copy",
        ),
    ],
)
def test_no_rows_no_scale(tmp_path: Path, models: tuple[str, ...], metric: str, words: str) -> None:
    run = of(tmp_path, models)
    table = leaderboard_table(run)
    assert words in scales_of(run, table)[metric].why
    assert table[f"{metric}.scaled"].isna().all()
    column = next(column for column in analyse(run).columns if column.name == metric)
    assert words in column.scale_says
    assert analyse(run).rows[0].cells[0].scaled_text


def test_a_ceiling_that_is_no_better_than_its_floor_is_no_scale(tmp_path: Path) -> None:
    run = of(tmp_path, higher_is_better=False)
    scale = scales_of(run, leaderboard_table(run))["dino"]
    assert scale.why == "There is no scale: real-video is no better than other-individual."
    assert scale.place(0.5) is None


def test_references_without_scores_are_no_scale(tmp_path: Path) -> None:
    fake = FakeRun(items(6), lambda model, *_: None if model == "real-video" else 0.5)
    run = load_run(build(tmp_path / "run", fake, videos=False))
    assert "no score of real-video" in scales_of(run, leaderboard_table(run))["dino"].why


def test_identity_metrics_are_known_by_kind() -> None:
    names = ("dino", "clip-image", "true-identity", "clip-image-masked", "dino-masked")
    assert all(spec(name).kind == "subject" for name in names)
    others = ("clip-text", "dino-consistency", "temporal-consistency", "motion", "dinosaur")
    assert not any(spec(name).kind == "subject" for name in others)


def test_a_scale_without_a_value() -> None:
    assert Scale("dino", "a", "b", 0.0, 1.0).place(None) is None
    assert Scale("dino", "a", "b", 0.0, 1.0).ends(None, None) == (None, None)


def test_every_file_has_it(tmp_path: Path) -> None:
    run = of(tmp_path)
    results = analyse(run)
    export.write_csv(results, tmp_path)
    export.write_json(results, tmp_path)
    export.write_markdown(results, tmp_path)
    row = next(csv.DictReader((tmp_path / "leaderboard.csv").read_text().splitlines()))
    record = json.loads((tmp_path / "leaderboard.json").read_text())
    assert (row["model"], float(row["dino.scaled"])) == ("videobooth", pytest.approx(0.5))
    assert record["leaderboard"][0]["dino.scaled"] == pytest.approx(0.5)
    assert record["scales"]["dino"] == {
        "metric": "dino", "floor": "other-individual", "ceiling": "real-video", "low": pytest.approx(0.2), "high": pytest.approx(1),
        "why": "",
    }  # fmt: skip
    markdown = (tmp_path / "leaderboard.md").read_text()
    assert "| Model | DINO | CLIP-Text | Temporal consistency | Motion |" in markdown
    assert "| VideoBooth | 0.50 [0.50, 0.50] |" in markdown
    assert "CLIP-Text: 0 is Still image, 1 is Real video." in markdown
