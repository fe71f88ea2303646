"""What recipes need: each thing once, its numbers those of the classes, and whether it is here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from vbbench.core import paths
from vbbench.models.recipes import load_recipe
from vbbench.models.registry import all_recipes, resolve_models
from vbbench.networks.elite import LOCAL, EliteNetwork
from vbbench.networks.image_encoder import ImageEncoder
from vbbench.networks.network import TextToVideoNetwork
from vbbench.networks.weights import catalog, released
from vbbench.networks.weights.catalog import Need, needs
from vbbench.types import Recipe

ALL = list(all_recipes().values())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights."""
    monkeypatch.setenv(paths.WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights" / "sd14"


def by_name(found: list[Need]) -> dict[str, Need]:
    assert len({need.name for need in found}) == len(found)
    return {need.name: need for need in found}


def test_stated_numbers_are_those_of_the_classes() -> None:
    sizes = released.real_sizes()

    def count(*kinds: str) -> int:
        return sum(
            tensor.numel()
            for kind in kinds
            for tensor in released.released_table(sizes, kind).values()
        )

    assert {name: count(*kinds) for name, kinds in catalog.MADE_OF.items()} == catalog.PARAMETERS
    stages = {stage: released.trained_table(sizes, stage) for stage in ("coarse", "fine")}
    counted = {
        stage: sum(tensor.numel() for tensor in table.values()) for stage, table in stages.items()
    }
    assert {**counted, "fine-only": counted["fine"] - counted["coarse"]} == catalog.STAGE_PARAMETERS
    with torch.device("meta"):
        elite = EliteNetwork(
            TextToVideoNetwork(sizes.network), ImageEncoder(sizes.image_encoder), LOCAL
        )
    assert sum(parameter.numel() for _, parameter in elite.shipped()) == catalog.ELITE_PARAMETERS


def test_kinds_that_are_published_are_those_that_can_be_converted() -> None:
    assert (
        {each.kind for each in catalog.PUBLISHED}
        == set(released.KINDS)
        == {kind for made in catalog.MADE_OF.values() for kind in made}
    )


def test_everything_that_recipes_name_is_listed_once(folder: Path) -> None:
    found = by_name(needs(ALL, "sd14"))
    named = {
        name for recipe in ALL for name in recipe.scales.get("sd14", {}).get("weights", {}).values()
    }
    assert set(found) == named | {"retrieve/clips.csv"}
    assert not any(need.here for need in found.values())
    assert found["base"].size == 4 * 1_165_271_044
    assert [each.file for each in found["base"].published] == [
        "watermark_remove_module.pt",
        "text_encoder/model.safetensors",
    ]
    assert found["codec"].licence == "MIT"
    assert found["videobooth-coarse"].parameters == 48_074_240
    assert found["videobooth-fine"].published == ()
    assert set(found["videobooth-joint"].models) == {
        "videobooth-joint",
        "videobooth-joint-coarse-path",
    }
    assert found["videobooth"].path == folder / "videobooth.safetensors"


def test_the_miniature_is_all_here() -> None:
    found = needs(ALL, "mini")
    assert all(need.here and need.sha256 and need.parameters and need.size for need in found)
    base = by_name(found)["base"]
    assert base.sha256 == json.loads((paths.weights_dir() / "base.json").read_text())["sha256"]
    assert base.licence == "vbbench's own"


def test_damaged_files_are_listed_all_the_same(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "videobooth.safetensors").write_bytes(b"\xff" * 9)
    (folder / "codec.safetensors").write_bytes(b"")
    (folder / "codec.json").write_text("[")
    found = by_name(needs(resolve_models("videobooth"), "sd14"))
    assert found["videobooth"].here
    assert found["videobooth"].size == 9
    assert found["videobooth"].sha256 is None
    assert found["codec"].sha256 is None


def test_what_a_users_recipe_names_of_the_hub_is_listed(folder: Path, tmp_path: Path) -> None:
    recipe = _users_recipe(tmp_path)
    found = by_name(needs([recipe], "sd14"))
    assert set(found) == {"owner/model@0123456789ab", "mine"}
    assert found["mine"].here
    assert not found["owner/model@0123456789ab"].here
    shutil.rmtree(recipe.folder / "mine")
    assert not by_name(needs([recipe], "sd14"))["mine"].here
    assert needs([recipe], "mini") == []


def _users_recipe(tmp_path: Path) -> Recipe:
    folder = tmp_path / "method"
    (folder / "mine").mkdir(parents=True)
    (folder / "recipe.toml").write_text(
        'name = "method"\ntitle = "M"\nentry = "vbbench.models.pipeline:DiffusersPipeline"\n[scales.sd14.pretrained.pipeline]\n'
        f'repository = "owner/model"\nrevision = "{"0123456789ab" + "0" * 28}"\n[scales.sd14.pretrained.vae]\nfolder = "mine"\n'
    )
    return load_recipe(folder)
