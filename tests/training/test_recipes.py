"""From a recipe's name to a weights file with its card."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch

from tests.training.toy import Toy
from vbbench.core import paths
from vbbench.core.weights_file import load_weights
from vbbench.data.world import pictures as data
from vbbench.data.world import rendering
from vbbench.data.world.pictures import Counts, Variant
from vbbench.errors import UsageError, WeightsError
from vbbench.training import recipes


class ToyRecipe(Toy):
    def __init__(self, rendered: data.TrainingData, *, seed: int, device: str) -> None:
        super().__init__()
        self.seed, self.rendered = seed, rendered


class Mean:
    name = "mean"

    def __init__(self, rendered: data.TrainingData, *, seed: int, device: str) -> None:
        self.rendered = rendered

    def solve(self) -> dict[str, float]:
        self.mean = torch.tensor(self.rendered.train.stills.frames.mean())
        return {"mean": float(self.mean)}

    def export(self, module: None) -> tuple[dict, dict]:
        return {"mean": self.mean}, {"of": "stills"}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recipes, one of which needs the other; returns the folder of weights."""
    module = types.ModuleType("vbbench.training.objectives.toys")
    module.ToyRecipe, module.Mean = ToyRecipe, Mean
    monkeypatch.setitem(sys.modules, module.__name__, module)
    table = {
        "mean": recipes.TrainingRecipe("toys:Mean", "tiny", (), 90),
        "toy": recipes.TrainingRecipe("toys:ToyRecipe", "tiny", ("mean",), 91),
    }
    monkeypatch.setattr(recipes, "RECIPES", table)
    monkeypatch.setitem(
        data.VARIANTS, "tiny", Variant(Counts(1, 1, 1, 1), Counts(1, 1, 1, 1), seed=5)
    )
    original = rendering.prepare
    monkeypatch.setattr(
        rendering, "prepare", lambda work, variant: original(work, variant, processes=1)
    )
    monkeypatch.setenv(paths.WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights" / "mini"


def test_all_makes_every_weights_file_in_order(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes.train("all", work=tmp_path / "work")
    mean, mean_card = load_weights(toys / "mean.safetensors")
    tensors, card = load_weights(toys / "toy.safetensors")
    assert mean_card["validation"] == {"mean": pytest.approx(float(mean["mean"]), rel=1e-3)}
    assert {"0.weight", "4.bias"} <= tensors.keys()
    assert (card["recipe"], card["scale"], card["seed"], card["steps"]) == ("toy", "mini", 0, 20)
    assert card["made_from"]["mean"] == mean_card["sha256"]
    assert card["made_from"].keys() == {"mean", "data"}
    assert card["config"] == {"width": 16}
    assert card["settings"]["lr"] == Toy.settings.lr
    assert card["validation"].keys() == {"error"}
    assert {
        "device",
        "seconds",
        "loss",
        "torch",
        "vbbench",
        "commit",
        "world",
        "workers",
        "earlier",
        "sha256",
    } <= card.keys()
    assert "toy.safetensors  error" in capsys.readouterr().out


def test_all_into_another_folder_finds_what_it_needs_there(toys: Path, tmp_path: Path) -> None:
    recipes.train("all", work=tmp_path / "work", out=tmp_path / "other" / "mini", steps=3)
    assert load_weights(tmp_path / "other" / "mini" / "toy.safetensors")[1]["steps"] == 3
    assert not toys.exists()
    assert paths.weights_dir() == toys  # as before
    with pytest.raises(UsageError, match="name of the scale"):
        recipes.train("all", work=tmp_path / "work", out=tmp_path / "elsewhere")


def test_seed_reaches_the_objective_and_keeps_its_own_folder(toys: Path, tmp_path: Path) -> None:
    recipes.train("mean", work=tmp_path)
    for seed in (0, 7):
        recipes.train("toy", work=tmp_path, seed=seed, steps=2)
    assert {path.name for path in (tmp_path / "mini").iterdir()} == {"toy", "toy-seed7"}
    folder, _ = rendering.prepare(tmp_path / "data", "tiny")
    assert (
        recipes.build_objective("toy", folder, 7, "cpu").seed
        != recipes.build_objective("toy", folder, 0, "cpu").seed
    )


def test_missing_weights_are_named_before_anything_is_rendered(toys: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="'mean'"):
        recipes.train("toy", work=tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "toi"}, "did you mean 'toy'"),
        ({"name": "toy", "scale": "sd14"}, "only the scale mini"),
        ({"name": "toy", "workers": 0}, "at least one worker"),
        ({"name": "mean", "device": "cuda"}, "no CUDA device"),
        ({"name": "mean", "device": "tpu"}, "cpu and cuda"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    toys: Path, tmp_path: Path, options: dict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=words):
        recipes.train(**options, work=tmp_path)


def test_recipes_stand_in_the_order_of_their_needs() -> None:
    done: set[str] = set()
    for name, recipe in recipes.RECIPES.items():
        assert set(recipe.needs) <= done, name
        assert recipe.data in data.VARIANTS
        assert recipe.after is None or recipe.after in done, name
        done.add(name)
    offsets = {name: recipe.seed_offset for name, recipe in recipes.RECIPES.items()}
    stages = {
        offsets.pop(name)
        for name in ("videobooth-short-coarse", "videobooth-short", "videobooth-clean-prompt")
    }
    assert stages == {
        offsets["videobooth-coarse"],
        offsets["videobooth"],
    }  # the same stages, of another length
    assert len(set(offsets.values())) == len(offsets)


def test_another_seed_has_another_name_and_goes_on_from_its_own_earlier_stage(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    class Later(ToyRecipe):
        def __init__(
            self, rendered: data.TrainingData, *, seed: int, device: str, start_from: str
        ) -> None:
            super().__init__(rendered, seed=seed, device=device)
            begun.append(start_from)

    sys.modules["vbbench.training.objectives.toys"].Later = Later
    monkeypatch.setitem(
        recipes.RECIPES,
        "later",
        recipes.TrainingRecipe("toys:Later", "tiny", ("mean",), 92, after="toy"),
    )
    for name, seed in (("mean", 0), ("toy", 3), ("later", 3)):
        recipes.train(name, seed=seed, work=tmp_path / "work")
    assert {path.stem for path in toys.glob("*.safetensors")} == {
        "mean",
        "toy-seed3",
        "later-seed3",
    }
    assert set(begun) == {"toy-seed3"}
    card = load_weights(toys / "later-seed3.safetensors")[1]
    assert set(card["made_from"]) == {"mean", "toy-seed3", "data"}
    with pytest.raises(UsageError, match="all is trained with seed 0"):
        recipes.train("all", seed=1, work=tmp_path / "work")


def test_scoring_encoders_and_models_learn_from_different_data() -> None:
    by_data = {name: recipe.data for name, recipe in recipes.RECIPES.items()}
    assert {by_data[name] for name in ("clip", "dino", "segmenter")} == {"scoring"}
    assert {
        by_data[name] for name in ("base", "image-encoder", "videobooth-coarse", "videobooth")
    } == {"models"}
