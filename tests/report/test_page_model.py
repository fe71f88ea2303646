"""Pages of models: which items stand for one, what its file is called, and what the table page
leaves to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.results.synthetic import MODELS, FakeRun, Item, build, items, spec
from vbbench.report.leaderboard import example_numbers
from vbbench.report.media import MediaFolder
from vbbench.report.model_pages import Extremes, extremes_shown
from vbbench.results import formatting
from vbbench.results.aggregate import load_run
from vbbench.results.analysis import Results, analyse
from vbbench.results.statistics import student_quantiles

VALUES = [0.5, 0.9, None, 0.1, 0.7, 0.9]


def picked(results: Results, folder: Path, shown: frozenset[int]) -> list[Extremes]:
    model = next(model for model in results.run.models if model.name == "videobooth")
    return [
        extremes_shown(results, model, column, shown, MediaFolder(folder))
        for column in results.columns
    ]


def results_of(tmp_path: Path, values: list[float | None]) -> Results:
    fake = FakeRun(
        items(len(values)),
        lambda model, item, _: values[int(item[1:])],
        models={"videobooth": MODELS["videobooth"]},
        metrics=(spec("dino"), spec("distance", higher_is_better=False)),
    )
    return analyse(load_run(build(tmp_path / "run", fake)))


def test_best_median_and_worst_follow_the_direction_of_the_metric(tmp_path: Path) -> None:
    dino, distance = picked(results_of(tmp_path, VALUES), tmp_path, frozenset(range(1, 7)))
    assert [(pick.what, pick.number, pick.text) for pick in dino.picks] == [
        ("best", 2, "0.900"),
        ("median", 5, "0.700"),
        ("worst", 4, "0.100"),
    ]
    assert [(pick.what, pick.number) for pick in distance.picks] == [
        ("best", 4),
        ("median", 5),
        ("worst", 6),
    ]
    assert all(pick.clip and pick.clip.strip and pick.prompt for pick in dino.picks)


@pytest.mark.parametrize(
    ("values", "what"),
    [([0.5, 0.4], ["best", "worst"]), ([0.5, None], ["only"]), ([None, None], [])],
)
def test_few_scores_have_few_picks(
    tmp_path: Path, values: list[float | None], what: list[str]
) -> None:
    dino, _ = picked(results_of(tmp_path, values), tmp_path, frozenset({1, 2}))
    assert [pick.what for pick in dino.picks] == what


def test_items_that_are_not_shown_bring_no_pictures(tmp_path: Path) -> None:
    dino, _ = picked(results_of(tmp_path, VALUES), tmp_path / "out", frozenset({2}))
    assert [(pick.page, pick.clip is not None) for pick in dino.picks] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    assert len(list((tmp_path / "out" / "media").iterdir())) == 2


def test_picks_may_have_pictures_though_their_items_have_no_page(tmp_path: Path) -> None:
    results = results_of(tmp_path, VALUES)
    dino = extremes_shown(
        results,
        results.run.models[0],
        results.columns[0],
        frozenset({2}),
        MediaFolder(tmp_path / "out"),
        always=True,
    )
    assert [
        (pick.page, pick.clip is not None and pick.clip.strip is not None) for pick in dino.picks
    ] == [
        (True, True),
        (False, True),
        (False, True),
    ]


@pytest.mark.parametrize("name", ["videobooth", "videobooth-fine_2", "7"])
def test_plain_names_are_names_of_files(name: str) -> None:
    assert formatting.file_name(name) == name


def test_other_names_get_a_digest_and_never_share_a_file() -> None:
    names = [
        "A",
        "a",
        "a.",
        "a/b",
        "a b",
        "../a",
        "con",
        "",
        "x" * 300,
        "مرحبا",
        "🐕",
        "<img>",
        "a\x00",
        "-a",
        "\ud800",
    ]
    files = [formatting.file_name(name).lower() for name in names]
    assert len(set(files)) == len(names)
    assert all(
        set(file) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") and len(file) <= 80
        for file in files
    )
    assert not any(
        file.startswith((".", "-")) or (file.split(".")[0] in ("con", "nul") and "." not in file)
        for file in files
    )


def test_a_long_text_is_cut_in_one_line() -> None:
    assert formatting.clipped("a\n  b", 9) == "a b"
    assert formatting.clipped("abcdef", 4) == "abc…"


def test_examples_are_of_every_class_first_then_from_all_over(tmp_path: Path) -> None:
    def facts(classes: str) -> tuple:
        folder = tmp_path / classes
        every = [Item(f"i{n}", f"s-{n}", class_name=name) for n, name in enumerate(classes)]
        return load_run(
            build(
                folder,
                FakeRun(every, lambda *_: 0.5, models={"videobooth": MODELS["videobooth"]}),
                videos=False,
            )
        ).items

    assert example_numbers(facts("aaabbbccc"), 3) == [1, 4, 7]
    assert example_numbers(facts("aaaaaaaaa"), 3) == [1, 4, 7]
    assert example_numbers(facts("ab"), 3) == [1, 2]
    assert example_numbers((), 3) == []


def test_quantiles_are_students() -> None:
    assert student_quantiles(4) == [12.7062, 4.3027, 3.1824, 2.7764]
    assert student_quantiles(0) == []
