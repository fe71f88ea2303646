"""The command that holds all metrics against known damage, over a small world and the shipped
encoders."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vbbench import cli
from vbbench.core import paths
from vbbench.data import world
from vbbench.errors import WeightsError
from vbbench.metrics import METRICS
from vbbench.metrics.encoders import encoders
from vbbench.metrics.encoders.setting import Setting
from vbbench.metrics.validation import validity
from vbbench.metrics.validation.damage import DAMAGES

CLASSES = world.CLASSES[:6]
FILES = {
    "README.md",
    "validity.csv",
    "validity.json",
    "validity.png",
    "validity.svg",
    "curves.png",
    "curves.svg",
    "examples.png",
}


@dataclass(frozen=True)
class Done:
    folder: Path
    record: dict
    verdicts: dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """`vbbench metrics --validate` over one individual of six classes, at none, some and most of
    every damage."""
    try:
        for name in ("clip", "dino", "segmenter"):
            paths.weights_path(name)
    except WeightsError as error:
        pytest.skip(str(error))
    encoders.forget_encoders()
    folder = tmp_path_factory.mktemp("out") / "validity"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            validity, "validate", partial(validity.validate, classes=CLASSES, per_class=1, levels=3)
        )
        assert cli.main(["metrics", "--validate", "--out", str(folder)]) == 0
    record = json.loads((folder / "validity.json").read_text("utf-8"))
    return Done(
        folder, record, {(row["metric"], row["damage"]): row["verdict"] for row in record["found"]}
    )


def test_every_metric_meets_every_damage(done: Done) -> None:
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert set(done.verdicts) == {(metric, damage) for metric in METRICS for damage in DAMAGES}
    assert done.record["failures"] == []
    for name, known in done.record["metrics"].items():
        assert known["spec"]["num_frames"] == 8, (
            name
        )  # the same spec, and id, as in runs of the suite mini


def test_the_table_holds_every_level(done: Done) -> None:
    with (done.folder / "validity.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(METRICS) * len(DAMAGES) * 3
    assert all(row["clips"] == "6" for row in rows)
    assert {float(row["change"]) for row in rows if row["level"] == "0"} == {0.0}
    assert {row["spec"] for row in rows} == {
        known["spec"]["id"] for known in done.record["metrics"].values()
    }


@pytest.mark.parametrize(
    ("metric", "damage", "verdict"),
    [
        ("dino", "swapped", "sees"),
        ("clip-image", "swapped", "sees"),
        ("true-identity", "colours", "sees"),
        ("clip-text", "scene", "sees"),
        ("clip-text", "class", "sees"),
        ("clip-text", "shuffled", "blind"),
        ("dino", "shuffled", "stays"),
        ("clip-image", "copied", "fooled"),
        ("temporal-consistency", "flicker", "sees"),
        ("temporal-consistency-all", "shuffled", "blind"),
        ("temporal-consistency", "frozen", "fooled"),
        ("motion", "frozen", "sees"),
    ],
)
def test_what_is_plain_is_found(done: Done, metric: str, damage: str, verdict: str) -> None:
    assert done.verdicts[metric, damage] == verdict


def test_identity_metrics_follow_the_truth(done: Done) -> None:
    found = {row["metric"]: row["within"]["mean"] for row in done.record["true_identity"]}
    assert set(found) == {"clip-image", "clip-image-masked", "dino", "dino-masked", "true-identity"}
    assert min(found.values()) > 0.7
    assert found["true-identity"] > 0.9


def test_the_page_says_what_each_metric_cannot_see(done: Done) -> None:
    page = (done.folder / "README.md").read_text("utf-8")
    assert page.startswith("# What the metrics see")
    for sentence in done.record["sentences"].values():
        assert sentence in page.replace("**", "")
    assert f"weights {done.record['metrics']['dino']['spec']['encoder_digest'][:12]}" in page
    for name in FILES - {"README.md"}:
        assert f"({name})" in page


def test_a_folder_with_another_readme_is_refused_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")
    monkeypatch.setattr(validity, "validate", lambda *_, **__: pytest.fail("scored"))
    assert cli.main(["metrics", "--validate", "--out", str(tmp_path)]) == 2
    assert "is not a validation's" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_rows_examples_and_progress(untrained: Path) -> None:
    told: list[object] = []
    found = validity.validate(
        Setting(),
        classes=("cat", "car"),
        per_class=2,
        damages=("swapped", "noise"),
        levels=2,
        seed=1,
        start=told.append,
        advance=lambda: told.append("one"),
    )
    assert told == [12, *["one"] * 12]
    assert [row.case for row in found.real] == ["cat-0000", "cat-0001", "car-0000", "car-0001"]
    assert {(row.damage, row.level, row.case) for row in found.damaged} == {
        (damage, level, row.case)
        for damage, level in (("swapped", 8), ("noise", 64))
        for row in found.real
    }
    assert {spec.name for spec in found.specs} == set(METRICS)
    assert all(
        set(row.values) == set(METRICS) and None not in row.values.values()
        for row in (*found.real, *found.damaged)
    )
    assert found.examples["noise"].shape == (2, 8, 64, 64, 3)


def test_exact_identity_is_read_from_the_drawing() -> None:
    person = world.individual("test", "dog", 0)
    own = world.batch_of([person] * 2)
    assert validity.exact_identity(own, person) == pytest.approx(1)
    other_kind = world.IndividualBatch(
        own.class_index, own.colours, (own.marking + np.arange(2)) % 5, own.shape
    )
    assert validity.exact_identity(other_kind, person) == pytest.approx(
        0.9
    )  # one frame of two lacks the kind, which weighs 0.2
    black = world.IndividualBatch(
        own.class_index, np.zeros_like(own.colours), own.marking, own.shape
    )
    assert 0.2 < validity.exact_identity(black, person) < 0.5


def test_a_scale_without_a_metric_says_so() -> None:
    metrics, absent = validity._metrics(Setting("sd14", weights="random"))
    assert "true-identity" in absent
    assert {metric.spec.name for metric in metrics} | set(absent) == set(METRICS)
