"""``vbbench power``: numbers for what was asked, sentences for what cannot be answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.results.synthetic import MODELS, FakeRun, build, items
from vbbench import cli
from vbbench.results.power import individuals_needed, smallest_difference

THREE = {
    name: MODELS[name]
    for name in ("videobooth", "text-to-video", "textual-inversion", "real-video")
}


def value(model: str, item: str, metric: str) -> float:
    """Text to video varies most; of the metrics, dino does."""
    rng = np.random.default_rng([len(model), int(item[1:]), len(metric)])
    return float(
        rng.normal(
            0.5, (0.05 if model == "text-to-video" else 0.01) * (2 if metric == "dino" else 1)
        )
    )


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    def make(**changes: object) -> Path:
        return build(
            tmp_path / f"run{len(list(tmp_path.iterdir()))}",
            replace(FakeRun(items(9, 2), value, models=THREE), **changes),
            videos=False,
        )

    return make


def cells(out: str, start: str) -> list[str]:
    (line,) = (line for line in out.splitlines() if line.strip("│ ").startswith(start))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_numbers_of_a_pair(run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = run()
    words = [
        "power",
        str(path),
        "--metric",
        "dino",
        "--models",
        "videobooth,real-video",
        "--difference",
        "0.02",
    ]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    pairs = [
        value("videobooth", f"i{n}", "dino") - value("real-video", f"i{n}", "dino")
        for n in range(18)
    ]
    by_dog = np.mean([pairs[:9], pairs[9:]], axis=0)
    spread = np.std(by_dog, ddof=1)
    expected = [
        "9",
        "2",
        f"{by_dog.mean():+.4f}",
        f"{spread:.4f}",
        f"{smallest_difference(spread, 9):.4f}",
    ]
    assert cells(out, "DINO") == [
        "DINO",
        "videobooth - real-video",
        *expected,
        str(individuals_needed(0.02, spread)),
    ]
    assert "with a chance of 0.8 in a paired two-sided test at 5 %." in out
    assert "factor of 0.68 to 1.92" in out
    assert cli.main([*words, "--comparisons", "6", "--power", "0.9"]) == 0
    out = capsys.readouterr().out
    assert cells(out, "DINO")[-1] == str(individuals_needed(0.02, spread, power=0.9, comparisons=6))
    assert "with a chance of 0.9 in a paired two-sided test at 5 %, shared by 6 comparisons." in out


def test_without_names_it_is_every_metric_and_the_pair_that_varies_most(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["power", str(run())]) == 0
    out = capsys.readouterr().out
    for title in ("CLIP-Text", "DINO", "Temporal consistency"):
        assert "text-to-video" in cells(out, title)[1]
        assert "real-video" not in cells(out, title)[1]
    assert re.search(r"3 pairs of\s+competitors; --comparisons 3", out)
    assert "--difference D tells" in out


def test_metrics_that_few_individuals_have_are_told_of(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def holes(model: str, item: str, metric: str) -> float | None:
        return None if metric == "dino" and int(item[1:]) % 9 > 3 else value(model, item, metric)

    assert cli.main(["power", str(run(value=holes)), "--difference", "1e-9"]) == 0
    out = capsys.readouterr().out
    assert cells(out, "DINO")[2:] == ["4", "2", "-", "too few", "-", "-"]
    assert cells(out, "CLIP-Text")[-1] == "too many"
    assert "Too many: more than 10,000,000." in out


def test_equal_models_need_no_more_than_any(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(
            ["power", str(run(value=lambda *_: 0.5)), "--metric", "dino", "--difference", "0.1"]
        )
        == 0
    )
    assert (
        cells(capsys.readouterr().out, "DINO")[3:] == ["2", "+0.0000", "0.0000", "0.0000", "5"][-5:]
    )


@pytest.mark.parametrize(
    ("changes", "words", "code", "sentence"),
    [
        (
            {},
            ["--models", "videobooth,text-to-vidoe"],
            2,
            "the run has no model 'text-to-vidoe': did you mean 'text-to-video'?",
        ),
        (
            {},
            ["--models", "videobooth"],
            2,
            "--models takes two different models, A,B, not 'videobooth'.",
        ),
        (
            {},
            ["--models", "videobooth,videobooth"],
            2,
            "--models takes two different models, A,B, not 'videobooth,videobooth'.",
        ),
        ({}, ["--metric", "dinno"], 2, "the run has no metric 'dinno': did you mean 'dino'?"),
        ({}, ["--metric", ","], 2, "no metric was named."),
        ({"metrics": ()}, [], 2, "the run has no metrics."),
        ({}, ["--difference", "0"], 2, "--difference must be above 0, not 0."),
        ({}, ["--difference", "inf"], 2, "argument --difference: must be finite, not inf"),
        ({}, ["--power", "1"], 2, "--power must be at least 0.5 and below 1, not 1."),
        ({}, ["--comparisons", "0"], 2, "argument --comparisons: must be at least 1, not 0"),
        (
            {"models": {"videobooth": MODELS["videobooth"], "real-video": MODELS["real-video"]}},
            [],
            2,
            "a difference needs two models",
        ),
        (
            {"items": items(4, 3)},
            [],
            3,
            "too few individuals: the models share scores of 4, and with fewer than 5 nobody can say how much",
        ),
        ({"value": lambda *_: None}, [], 3, "the run has no scores."),
        (
            {"missing": frozenset((model, item.id) for model in THREE for item in items(9, 2))},
            [],
            3,
            "the run has no scores.",
        ),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(
    run: Callable[..., Path],
    changes: dict[str, object],
    words: list[str],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["power", str(run(**changes)), *words]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(f"vbbench: {sentence}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_folder_that_is_no_run_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["power", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
