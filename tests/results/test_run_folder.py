"""What a manifest's record says of a model, and which files a run folder may name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.results.synthetic import FakeRun, build, items
from vbbench.errors import RunFolderError
from vbbench.results.run_folder import Inside, load_run, read_model

RECORD = {"groups": ["ablations"], "digest": "c", "weights": {}, "settings": {}}


def test_a_models_recipe_and_training() -> None:
    model = read_model(
        "videobooth-joint@2", RECORD | {"recipe": "videobooth-joint", "training_seed": 2}
    )
    assert (model.name, model.recipe, model.training_seed) == (
        "videobooth-joint@2",
        "videobooth-joint",
        2,
    )


@pytest.mark.parametrize(
    ("name", "recipe"), [("videobooth-joint@2", "videobooth-joint"), ("elite", "elite")]
)
def test_a_record_without_them(name: str, recipe: str) -> None:
    model = read_model(name, RECORD)
    assert (model.recipe, model.training_seed) == (recipe, None)
    assert model == read_model(name, RECORD | {"recipe": recipe, "training_seed": 0})


@pytest.mark.parametrize("seed", ["1", 1.5, True, [1]])
def test_a_seed_that_is_no_number_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="is no training seed"):
        read_model("elite", RECORD | {"training_seed": seed})


def test_paths_lie_inside_of_the_folder_links_followed(tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "run-other"
    for made in (folder / "videos", other):
        made.mkdir(parents=True)
    (other / "secret.mkv").write_bytes(b"")
    (folder / "linked.mkv").symlink_to(other / "secret.mkv")
    (folder / "linked").symlink_to(other)
    (folder / "near.mkv").symlink_to("videos/a.mkv")
    (tmp_path / "door").symlink_to(folder)
    for root in (folder, tmp_path / "door"):
        inside = Inside(root)
        for name in (
            "videos/a.mkv",
            "videos/b.mkv",
            "missing/c.mkv",
            "near.mkv",
            "videos/../d.mkv",
            ".",
        ):
            assert inside.path(name) == root / name
        for name in (
            "../run-other/secret.mkv",
            "linked.mkv",
            "linked/secret.mkv",
            str(other / "secret.mkv"),
            "..",
            "videos/../../x",
            "/",
        ):
            with pytest.raises(RunFolderError, match="outside itself"):
                inside.path(name)


def _change(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the first record of a file of JSON or JSON lines."""
    first, *others = (
        path.read_text("utf-8").split("\n")
        if path.suffix == ".jsonl"
        else [path.read_text("utf-8")]
    )
    record = json.loads(first)
    change(record)
    path.write_text("\n".join([json.dumps(record), *others]), "utf-8")


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("manifest.json", lambda record: record.update(models={}), "it names no model"),
        ("suite/items.jsonl", lambda record: record.update(text=5), "text of an item is 5"),
        (
            "suite/items.jsonl",
            lambda record: record.update({"class": None}),
            "class of an item is None",
        ),
        (
            "suite/items.jsonl",
            lambda record: record.update(id="i1"),
            "two of its items have one id",
        ),
        ("jobs.jsonl", lambda record: record.update(seconds=float("inf")), "Infinity is no number"),
        ("suite/suite.toml", None, "no frame, no pixel"),
    ],
)
def test_records_that_mean_nothing_are_a_sentence(
    tmp_path: Path, file: str, change: Callable[[dict[str, Any]], object] | None, sentence: str
) -> None:
    folder = build(tmp_path / "run", FakeRun(items(3), lambda *_: 0.5), videos=False)
    if change is None:
        text = (folder / file).read_text("utf-8")
        (folder / file).write_text(re.sub(r"(?m)^size = .*$", "size = -1", text), "utf-8")
    else:
        _change(folder / file, change)
    with pytest.raises(RunFolderError, match=sentence):
        load_run(folder)


def test_score_that_no_sum_of_squares_can_hold_is_none(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", FakeRun(items(3), lambda *_: 0.5), videos=False)
    _change(folder / "scores.jsonl", lambda record: record.update(value=1e308))
    run = load_run(folder)
    assert [result.reason for result in run.results.values() if result.value is None] == [
        "the value is not a finite number, or none that means something"
    ]
