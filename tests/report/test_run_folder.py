"""What a manifest's record says of a model, and which files a run folder may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vbbench.errors import RunFolderError
from vbbench.report.inside import Inside
from vbbench.report.run_folder import read_model

RECORD = {"groups": ["ablations"], "digest": "c", "weights": {}, "settings": {}}


def test_a_models_recipe_and_training() -> None:
    model = read_model("videobooth-joint@2", RECORD | {"recipe": "videobooth-joint", "training_seed": 2})
    assert (model.name, model.recipe, model.training_seed) == ("videobooth-joint@2", "videobooth-joint", 2)


@pytest.mark.parametrize(("name", "recipe"), [("videobooth-joint@2", "videobooth-joint"), ("elite", "elite")])
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
        for name in ("videos/a.mkv", "videos/b.mkv", "missing/c.mkv", "near.mkv", "videos/../d.mkv", "."):
            assert inside.path(name) == root / name
        for name in ("../run-other/secret.mkv", "linked.mkv", "linked/secret.mkv", str(other / "secret.mkv"), "..", "videos/../../x", "/"):
            with pytest.raises(RunFolderError, match="outside itself"):
                inside.path(name)
