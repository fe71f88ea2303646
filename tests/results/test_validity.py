"""Correlations, verdicts and files, from scores whose answer is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from tests.results.synthetic import spec
from vbbench.errors import UsageError
from vbbench.metrics.validation.damage import DAMAGES
from vbbench.metrics.validation.validity import Scored, Validation
from vbbench.report.validity.files import prepare_folder, write_validation
from vbbench.report.validity.words import few_eyes, out_of_bounds, page, plain_sentence
from vbbench.results.validity import Findings, analyse, rank_correlation

CASES = [f"dog-{number:04d}" for number in range(10)]
START = {case: 0.7 + 0.01 * number for number, case in enumerate(CASES)}  # sd 0.030
Formula = Callable[[float, int], float]  # (level / largest level, clip) -> change of score


def validation(
    formulas: Mapping[tuple[str, str], Formula],
    *,
    higher_is_better: bool = True,
    identity: Formula | None = None,
) -> Validation:
    """Metrics and damages of the formulas; where there is none, nothing changes."""
    damages = tuple(DAMAGES[name] for name in dict.fromkeys(damage for _, damage in formulas))
    names = list(dict.fromkeys(metric for metric, _ in formulas))
    sign = 1 if higher_is_better else -1

    def scored(damage: str, level: float, share: float, number: int, case: str) -> Scored:
        values = {
            name: sign
            * (START[case] + formulas.get((name, damage), lambda x, n: 0.0)(share, number))
            for name in names
        }
        return Scored(
            damage, level, case, 1 + (identity or (lambda x, n: -x))(share, number), values
        )

    return Validation(
        specs=tuple(spec(name, higher_is_better=higher_is_better) for name in names),
        absent={},
        damages=damages,
        classes=("dog",),
        per_class=len(CASES),
        seed=0,
        real=tuple(scored("", 0.0, 0.0, number, case) for number, case in enumerate(CASES)),
        damaged=tuple(
            scored(damage.name, level, level / damage.levels[-1], number, case)
            for damage in damages
            for level in damage.levels[1:]
            for number, case in enumerate(CASES)
        ),
        failures=(),
        examples={
            damage.name: np.broadcast_to(
                np.arange(8, dtype=np.uint8)[:, None, None, None] * 30,
                (len(damage.levels), 8, 64, 64, 3),
            )
            for damage in damages
        },
        libraries={"torch": "0"},
    )


def found(metric: str, damage: str, formula: Formula, **known: object) -> Findings:
    return analyse(validation({(metric, damage): formula}, **known))


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 4, 12), rng.integers(0, 4, 12)  # many ties
        assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation([0, 1, 2], [5, 5, 5]) == 0
    assert (
        rank_correlation([0, 1, 2], [0.5, 0.500001, 0.500002]) == 0
    )  # what batches move is no order


def falls(x: float, number: int) -> float:
    return -0.2 * x


def rises(x: float, number: int) -> float:
    return 0.2 * x


def nothing(x: float, number: int) -> float:
    return 0.0


def either(x: float, number: int) -> float:
    return 0.2 * x * (-1) ** number


def slightly(x: float, number: int) -> float:
    return -0.003 * x


@pytest.mark.parametrize(
    ("metric", "damage", "formula", "verdict"),
    [
        ("dino", "attributes", falls, "sees"),
        ("dino", "attributes", nothing, "blind"),
        ("dino", "attributes", either, "blind"),
        ("dino", "attributes", slightly, "blind"),
        ("dino", "attributes", rises, "fooled"),
        ("dino", "scene", nothing, "stays"),
        ("dino", "scene", slightly, "stays"),
        ("dino", "scene", falls, "moves"),
        ("dino", "copied", rises, "fooled"),
        ("dino", "blur", falls, "falls"),
        ("dino", "blur", nothing, "flat"),
        ("dino", "blur", rises, "rises"),
    ],
)
@pytest.mark.parametrize("higher_is_better", [True, False])
def test_verdicts(
    metric: str, damage: str, formula: Formula, verdict: str, higher_is_better: bool
) -> None:
    cell = found(metric, damage, formula, higher_is_better=higher_is_better).cells[metric, damage]
    assert cell.verdict == verdict


def test_numbers_of_a_cell() -> None:
    cell = found("dino", "attributes", falls).cells["dino", "attributes"]
    assert (cell.correlation.mean, cell.correlation.low, cell.correlation.high) == (-1, -1, -1)
    spread = np.std(list(START.values()), ddof=1)
    assert cell.effect == pytest.approx(-0.2 / spread)
    assert [at.level for at in cell.levels] == list(DAMAGES["attributes"].levels)
    assert [at.mean for at in cell.levels] == pytest.approx(
        [np.mean(list(START.values())) - 0.2 * x for x in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    )
    assert [at.change.mean for at in cell.levels] == pytest.approx(
        [0, -0.04, -0.08, -0.12, -0.16, -0.2]
    )


def test_threshold_is_the_level_from_which_on_all_is_clear() -> None:
    late = found(
        "dino", "attributes", lambda x, n: either(x, n) / 10 - (0.2 if x > 0.5 else 0.0)
    ).cells["dino", "attributes"]
    assert late.threshold == 3
    back = found("dino", "attributes", lambda x, n: 0.0 if x == 0.6 else -0.2 * x).cells[
        "dino", "attributes"
    ]
    assert back.threshold == 4  # at 3 it was blind again
    assert found("dino", "attributes", nothing).cells["dino", "attributes"].threshold is None


def test_a_correlation_is_taken_within_each_clip() -> None:
    """Over all clips together the differences between clips would hide the small ones within."""
    cell = found("dino", "attributes", lambda x, n: -0.01 * x).cells["dino", "attributes"]
    assert cell.correlation.mean == -1


def test_correlation_with_the_truth() -> None:
    formulas = {
        ("dino", "attributes"): falls,
        ("dino", "colours"): rises,
        ("dino", "scene"): falls,
        ("clip-text", "attributes"): falls,
    }
    (row,) = analyse(validation(formulas)).truths  # CLIP-Text is not read as telling identity
    assert row.metric == "dino"
    assert {name: estimate.mean for name, estimate in row.by_damage.items()} == {
        "attributes": 1,
        "colours": -1,
    }
    assert -0.5 < row.within.mean < 0.5
    same = analyse(validation({("dino", "attributes"): falls})).truths[0]
    assert same.within.mean == 1
    assert 0.8 < same.across < 1  # clips start from different heights


def test_a_clip_without_a_score_is_left_out_and_told() -> None:
    whole = validation({("dino", "attributes"): falls})
    lost = whole.damaged[3]
    rows = tuple(
        replace(row, values={"dino": None}) if row is lost else row for row in whole.damaged
    )
    findings = analyse(replace(whole, damaged=rows, failures=("dino: the embedding is zero",)))
    assert findings.cells["dino", "attributes"].correlation.items == len(CASES) - 1
    assert "Without a value: dino: the embedding is zero" in page(findings)


def test_too_few_individuals_show_nothing() -> None:
    whole = validation({("dino", "attributes"): falls})
    keep = CASES[:4]
    few = replace(
        whole,
        real=tuple(r for r in whole.real if r.case in keep),
        damaged=tuple(r for r in whole.damaged if r.case in keep),
        per_class=4,
    )
    assert analyse(few).cells["dino", "attributes"].verdict == "blind"


def test_sentences() -> None:
    findings = analyse(
        validation(
            {
                ("dino", "attributes"): falls,
                ("dino", "class"): nothing,
                ("dino", "scene"): falls,
                ("dino", "copied"): rises,
            }
        )
    )
    assert plain_sentence(findings, "dino") == (
        "DINO, read as telling identity and class, cannot see another class (0.00); is fooled by image prompt pasted in (+1.00); falls, "
        "though it ought not to, with another scene (\N{MINUS SIGN}1.00)."
    )
    assert few_eyes(findings) == (
        "Seen by no metric that is read as telling what it harms: Another class, Another scene and Image prompt pasted in. "
        "Seen by one alone: Attributes changed (DINO)."
    )


def test_scores_outside_of_their_bounds_are_told() -> None:
    whole = validation({("dino", "attributes"): falls})
    assert out_of_bounds(analyse(whole)) == "No score lies outside of its metric's bounds."
    burst = replace(whole.damaged[-1], values={"dino": 40.8})
    assert out_of_bounds(analyse(replace(whole, damaged=(*whole.damaged[:-1], burst)))) == (
        "Outside of its own bounds: DINO, 1 of 60 scores, the farthest 40.8 at Attributes changed 5, dog-0009."
    )


def test_files(tmp_path: Path) -> None:
    formulas = {
        ("dino", "attributes"): falls,
        ("clip-text", "scene"): falls,
        ("motion", "frozen"): falls,
        ("dino", "blur"): rises,
    }
    for folder in ("one", "two"):
        write_validation(analyse(validation(formulas)), tmp_path / folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    with (tmp_path / "one" / "validity.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["metric"], row["damage"]) == ("dino", "attributes")
        ]
    assert [(row["level"], float(row["change"])) for row in rows] == [
        ("0", 0),
        ("1", -0.04),
        ("2", -0.08),
        ("3", -0.12),
        ("4", -0.16),
        ("5", -0.2),
    ]
    record = json.loads((tmp_path / "one" / "validity.json").read_text("utf-8"))
    assert {(row["metric"], row["damage"]): row["verdict"] for row in record["found"]}[
        "clip-text", "scene"
    ] == "sees"
    text = (tmp_path / "one" / "README.md").read_text("utf-8")
    tables = [line.count("|") for line in text.splitlines() if line.startswith("|---")]
    assert len(tables) == 5
    for name in ("validity.png", "curves.png", "examples.png"):
        with Image.open(tmp_path / "one" / name) as picture:
            assert min(picture.size) > 200
    assert (tmp_path / "one" / "validity.svg").read_text("utf-8").count("<svg") == 1


def test_a_folder_is_made_and_one_of_somebody_elses_refused(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "new" / "folder")
    (tmp_path / "README.md").write_text("# Something else\n")
    with pytest.raises(UsageError, match="is not a validation's"):
        prepare_folder(tmp_path)
