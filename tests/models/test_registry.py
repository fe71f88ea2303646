"""Names and recipes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Package
from vbbench.core.digests import folder_digest
from vbbench.core.names import nearest
from vbbench.data import suites
from vbbench.errors import RecipeError, UsageError
from vbbench.models import registry
from vbbench.models.recipes import build_model, load_recipe
from vbbench.runner.plan import sampling_params
from vbbench.types import PromptSuite

Folder = Callable[[str], Path]


@pytest.fixture
def bundled(recipe_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tests' recipes in the place of the bundled ones."""
    folder = recipe_folder("noise").parent
    recipe_folder("tinted")
    monkeypatch.setattr(registry, "baselines_dir", lambda: folder)
    return folder


def change(folder: Path, old: str, new: str) -> Path:
    path = folder / "recipe.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_recipe_is_read(recipe_folder: Folder) -> None:
    recipe = load_recipe(recipe_folder("tinted"))
    assert (recipe.name, recipe.fitted, recipe.groups, recipe.entry) == (
        "tinted",
        True,
        ("toys",),
        "method.py:Tinted",
    )
    assert recipe.scales["mini"]["cost"]["fit_seconds"] == 0.02


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('entry = "method.py:Noise"', "", "lacks entry"),
        ("groups =", "grups =", "unknown key 'grups': did you mean 'groups'"),
        ('groups = ["toys"]', 'groups = "toys"', "groups in .* must be a list"),
        (
            'groups = ["toys"]',
            'needs = ["a_video"]',
            "needs in .* must list what items of a suite may lack, reference_video and other_video",
        ),
        ("method.py:Noise", "method.py", "must be 'file.py:Class' or 'module:Class'"),
        ("method.py:Noise", "other.py:Noise", r"names other\.py, which does not lie beside it"),
        ('name = "noise"', 'name = "My Noise"', "must be of a-z"),
        ('name = "noise"', "name = ", "cannot be read"),
    ],
)
def test_wrong_recipes_are_told(recipe_folder: Folder, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(change(recipe_folder("noise"), old, new))


def test_folder_without_a_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is not a model: it has no recipe\.toml"):
        registry.resolve_models(f"{tmp_path}/")


def test_names_groups_and_folders_are_resolved_once_each_in_order(bundled: Path) -> None:
    assert registry.model_names() == ["noise", "tinted"]
    assert registry.groups() == {"toys": ["noise", "tinted"]}
    assert [recipe.name for recipe in registry.resolve_models("tinted, toys")] == [
        "tinted",
        "noise",
    ]
    assert [recipe.name for recipe in registry.resolve_models(f"{bundled / 'noise'},noise")] == [
        "noise"
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nois", "did you mean 'noise'"),
        ("toy", "did you mean 'toys'"),
        ("xyz", "known are noise, tinted, toys"),
    ],
)
def test_wrong_model_name_gets_a_hint(bundled: Path, name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no model or group '{name}': {hint}"):
        registry.resolve_models(name)


def test_no_name_at_all(bundled: Path) -> None:
    with pytest.raises(UsageError, match="no model was named"):
        registry.resolve_models(" , ")


def test_two_models_of_one_name_are_refused(bundled: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    (bundled / "noise").rename(twin)
    (bundled / "noise").mkdir()
    for path in twin.iterdir():
        (bundled / "noise" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RecipeError, match="two models are called 'noise'"):
        registry.resolve_models(f"noise,{twin}")


def test_packages_add_models_by_entry_points(
    bundled: Path, package: Package, tmp_path: Path
) -> None:
    theirs = Path(shutil.copytree(bundled / "noise", tmp_path / "theirs"))
    change(theirs, 'name = "noise"', 'name = "theirs"')
    package(registry.ENTRY_POINT_GROUP, theirs)
    assert registry.model_names() == ["noise", "theirs", "tinted"]


def test_a_broken_package_is_one_warning(
    bundled: Path, package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    package(registry.ENTRY_POINT_GROUP, code="raise RuntimeError('out of order')")
    for _ in range(2):
        assert registry.model_names() == ["noise", "tinted"]
    assert len(caplog.messages) == 1
    assert "of vbbench.models is left out, for it fails: out of order" in caplog.text


def test_a_packages_model_takes_no_bundled_name(
    bundled: Path, package: Package, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    twin = Path(shutil.copytree(bundled / "noise", tmp_path / "twin"))
    package(registry.ENTRY_POINT_GROUP, twin)
    assert registry.all_recipes()["noise"].folder == bundled / "noise"
    assert "two models are called 'noise'" in caplog.text


def test_wrong_suite_name_gets_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini" / "suite.toml").touch()
    monkeypatch.setattr(suites, "prompts_dir", lambda: tmp_path)
    assert suites.resolve_suite("mini") == tmp_path / "mini"
    with pytest.raises(UsageError, match="no suite 'minni': did you mean 'mini'"):
        suites.resolve_suite("minni")
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "README.md").touch()
    with pytest.raises(
        UsageError, match=r"'photographs' is not bundled: .*README\.md says what it needs"
    ):
        suites.resolve_suite("photographs")


def test_nearest_tells_when_there_is_nothing() -> None:
    assert nearest("x", []) == "none is known."


def test_digest_ignores_caches_and_hidden_files(recipe_folder: Folder) -> None:
    folder = recipe_folder("noise")
    before = folder_digest(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "method.cpython-311.pyc").write_bytes(b"x")
    (folder / ".DS_Store").touch()
    assert folder_digest(folder) == before
    (folder / "notes.txt").touch()
    assert folder_digest(folder) != before


def test_model_is_built_and_draws_from_the_item(
    recipe_folder: Folder, tiny_suite: PromptSuite
) -> None:
    recipe = load_recipe(recipe_folder("noise"))
    model = build_model(recipe, "mini", "cpu")
    params = sampling_params(recipe, "mini", num_frames=3, size=16, fps=4)
    first, second = model.generate(tiny_suite.items[:2], params)
    np.testing.assert_array_equal(
        model.generate(tiny_suite.items[1:2], params)[0].frames, second.frames
    )
    assert first.frames.shape == (3, 16, 16, 3)
    assert not list(recipe.folder.rglob("__pycache__"))


def test_settings_carry_the_scale(recipe_folder: Folder) -> None:
    folder = recipe_folder("noise")
    (folder / "method.py").write_text(
        "class Noise:\n    def __init__(self, settings, *, device, folder):\n        self.seen = (settings, device, folder)\n"
    )
    settings, device, seen_folder = build_model(load_recipe(folder), "mini", "cpu").seen
    assert (settings["scale"], settings["strength"], device, seen_folder) == (
        "mini",
        20,
        "cpu",
        folder.resolve(),
    )


def test_missing_class_scale_and_module_are_told(recipe_folder: Folder) -> None:
    folder = recipe_folder("noise")
    with pytest.raises(UsageError, match="has no scale 'sd14'"):
        build_model(load_recipe(folder), "sd14", "cpu")
    with pytest.raises(RecipeError, match="names a class that is not there"):
        build_model(load_recipe(change(folder, ":Noise", ":Niose")), "mini", "cpu")
    with pytest.raises(
        RecipeError, match="needs the module 'no_such_package', which is not installed"
    ):
        build_model(
            load_recipe(change(folder, "method.py:Niose", "no_such_package.sub:Model")),
            "mini",
            "cpu",
        )
    assert "no_such_package" not in sys.modules


RECIPE = """
name = "trained"
title = "Trained"
entry = "vbbench.models.text_to_video:TextToVideo"

[card]
sees = "The text."

[scales.mini]
own = ["mapper"]

[scales.mini.weights]
base = "base"
mapper = "mine"
"""


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A method with weights of its own, called by name."""
    folder = tmp_path / "models" / "trained"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    monkeypatch.setattr(registry, "baselines_dir", lambda: folder.parent)
    return folder


def test_another_training_has_its_own_weights_and_shares_the_others(trained: Path) -> None:
    first, zeroth, second = (
        registry.resolve_models("trained,trained@0,trained@2")[0],
        *registry.resolve_models("trained@0,trained@2"),
    )
    assert first == zeroth
    assert (first.name, first.training_seed, first.scales["mini"]["weights"]["mapper"]) == (
        "trained",
        0,
        "mine",
    )
    assert (second.name, second.training_seed) == ("trained@2", 2)
    assert second.scales["mini"]["weights"] == {"base": "base", "mapper": "mine-seed2"}
    assert second.card == {"sees": "The text."}


def test_what_has_no_training_of_its_own_has_no_other(bundled: Path, trained: Path) -> None:
    (trained / "recipe.toml").write_text(RECIPE.replace('own = ["mapper"]', ""))
    assert load_recipe(trained).training_seed is None
    with pytest.raises(UsageError, match="no weights of its own training"):
        registry.resolve_models("trained@1")
    with pytest.raises(UsageError, match="no model or group 'trained@one'"):
        registry.resolve_models("trained@one")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('sees = "The text."', "sees = 3", "sentences called sees, tunes, stores, costs"),
        ('sees = "The text."', 'hears = "Nothing."', "not hears"),
        ('own = ["mapper"]', 'own = ["maper"]', "own in .* must list parts"),
        ('own = ["mapper"]', 'own = "mapper"', "own in .* must list parts"),
        ('own = ["mapper"]', 'own = [["mapper"]]', "own in .* must list parts"),
        ('own = ["mapper"]', "sampling = 3", "sampling in .* must be a table"),
        ('own = ["mapper"]', "cost = 3", "cost in .* must be a table"),
        ("[card]", 'groups = [1, ["a"]]\n[card]', "groups in .* must be a list of names"),
        (
            "vbbench.models.text_to_video:TextToVideo",
            "../other/method.py:M",
            "lies outside of its folder",
        ),
    ],
)
def test_wrong_cards_and_own_weights_are_told(
    trained: Path, old: str, new: str, message: str
) -> None:
    (trained / "recipe.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_recipe(trained)


def test_the_role_of_a_reference_row_is_part_of_no_digest(recipe_folder: Folder) -> None:
    folder = recipe_folder("noise")
    before = load_recipe(folder)
    change(folder, 'groups = ["toys"]\n', 'groups = ["toys"]\nrole = "floor"\n')
    after = load_recipe(folder)
    assert (before.role, after.role) == ("", "floor")
    assert before.digest == after.digest == folder_digest_without_role(folder)
    with pytest.raises(RecipeError, match=r"role in .* must be one of ceiling, floor.*'floor'\?"):
        load_recipe(change(folder, 'role = "floor"', 'role = "flor"'))


def folder_digest_without_role(folder: Path) -> str:
    change(folder, 'role = "floor"\n', "")
    digest = folder_digest(folder)
    change(folder, 'groups = ["toys"]\n', 'groups = ["toys"]\nrole = "floor"\n')
    return digest


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("real-video", "ceiling"),
        ("other-individual", "floor"),
        ("still-image", "copy"),
        ("shuffled-frames", "shuffled"),
        ("flicker", "flicker"),
        ("videobooth", ""),
        ("nobody", ""),
        ("../noise", ""),
    ],
)
def test_bundled_reference_rows_have_their_roles(name: str, role: str) -> None:
    assert registry.bundled_role(name) == role
