"""``vbbench weights``: what is printed, and which exit code it ends with."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.models import published
from tests.models.tiny import weights_root
from tests.networks.test_fetch import COMMIT, Hub, hub
from vbbench import cli
from vbbench.core.paths import WEIGHTS_VARIABLE
from vbbench.core.weights_file import read_card
from vbbench.models.registry import all_recipes
from vbbench.networks import sd14
from vbbench.networks.weights.catalog import PUBLISHED

__all__ = ["hub", "weights_root"]
FILES = ("base", "codec", "image-encoder", "videobooth")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published files at tiny size."""
    return published.write(tmp_path_factory.mktemp("published"), published.tiny_states())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights, at a scale sd14 that is tiny."""
    network, encoder = published.TINY.network.as_dict(), published.TINY.image_encoder.as_dict()
    configurations = {
        "base": network,
        "image-encoder": encoder,
        "codec": {"vae": published.TINY.vae},
    }
    monkeypatch.setattr(sd14, "configurations", lambda: configurations)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "weights"))
    return tmp_path / "weights" / "sd14"


@pytest.mark.parametrize("scale", ["mini", "sd14"])
def test_everything_that_recipes_need_is_listed(
    capsys: pytest.CaptureFixture[str], scale: str
) -> None:
    assert cli.main(["weights", "list", "--scale", scale]) == 0
    told = capsys.readouterr().out
    for recipe in all_recipes().values():
        for name in recipe.scales.get(scale, {}).get("weights", {}).values():
            assert f" {name} " in told
    assert ("not released on its own" in told) == (scale == "sd14")


def test_one_model_is_listed_with_its_sources(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["weights", "list", "--models", "text-to-video"]) == 0
    told = capsys.readouterr().out
    assert "diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-ema (MIT)" in told
    assert "image-encoder" not in told
    assert str(folder) in told


def test_files_are_converted_verified_and_converted_back(
    source: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["weights", "convert", str(source)]) == 0
    assert [path.stem for path in sorted(folder.glob("*.safetensors"))] == sorted(FILES)
    assert cli.main(["weights", "verify"]) == 0
    told = capsys.readouterr().out
    assert len(re.findall(r"^sound ", told, re.M)) == 4
    assert "missing elite" in told
    back = tmp_path / "back"
    assert cli.main(["weights", "convert", "--to", "released", "--out", str(back)]) == 0
    assert sorted(path.name for path in back.iterdir()) == [
        "mapper.pt",
        "watermark_remove_module.pt",
    ]
    again = tmp_path / "again"
    assert (
        cli.main(
            ["weights", "convert", str(back), str(source / "text_encoder"), "--out", str(again)]
        )
        == 3
    )
    for name in ("base", "videobooth"):
        assert (again / f"{name}.safetensors").read_bytes() == (
            folder / f"{name}.safetensors"
        ).read_bytes()
    assert (
        "codec was not written: the autoencoder is not among the files" in capsys.readouterr().err
    )


def test_what_is_wrong_ends_with_1_and_what_is_missing_with_3(
    source: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["weights", "verify"]) == 3
    assert (
        "not here: codec, base, image-encoder, videobooth; `vbbench weights fetch` gets"
        in capsys.readouterr().err
    )
    assert cli.main(["weights", "convert", str(source / "mapper.pt")]) == 3
    assert cli.main(["weights", "verify", "--models", "videobooth"]) == 3
    path = folder / "videobooth.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    assert cli.main(["weights", "verify", "--models", "videobooth"]) == 1
    told = capsys.readouterr()
    assert "wrong   videobooth.safetensors: " in told.out
    assert "videobooth.safetensors is not sound" in told.err


def test_the_miniature_is_verified_with_its_scoring_encoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vbbench.core.paths import weights_dir

    shipped, mini = weights_dir(), tmp_path / "mini"
    mini.mkdir()
    for name in ("dino", "clip", "codec"):
        for suffix in (".json", ".safetensors"):
            shutil.copy(shipped / f"{name}{suffix}", mini)
    shutil.copy(mini / "dino.safetensors", mini / "clip.safetensors")
    (mini / "clip.json").write_text(
        (mini / "clip.json")
        .read_text()
        .replace(_digest(shipped / "clip"), _digest(shipped / "dino"))
    )
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    assert cli.main(["weights", "verify", "--scale", "mini"]) == 1
    told = capsys.readouterr().out
    assert re.search(r"wrong +clip\.safetensors: .*missing", told)
    assert re.search(r"sound +dino\.safetensors", told)


def _digest(path: Path) -> str:
    return read_card(path.with_suffix(".safetensors"))["sha256"]


def test_files_are_fetched_and_converted_once(
    hub: Hub,
    source: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import huggingface_hub

    places = {each.file: published.PLACES[each.kind] for each in PUBLISHED}

    def download(repository: str, file: str, *, etag_timeout: float) -> str:
        path = hub.path(repository, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / places[file], path)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert cli.main(["weights", "fetch"]) == 0
    assert (
        read_card(folder / "videobooth.safetensors")["sources"]["mapper"]["from"]
        == f"yumingj/VideoBooth_models@{COMMIT}"
    )
    assert len(hub.asked) == 5
    assert cli.main(["weights", "fetch"]) == 0
    assert "Nothing to fetch" in capsys.readouterr().out
    assert cli.main(["weights", "fetch", "--models", "videobooth,videobooth-fine"]) == 3
    assert "videobooth-fine is not published" in capsys.readouterr().err
    (folder / "codec.safetensors").unlink()
    assert cli.main(["weights", "fetch"]) == 0
    assert len(hub.asked) == 5


def test_offline_it_is_said_what_to_put_where(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VBBENCH_OFFLINE", "1")
    assert cli.main(["weights", "fetch"]) == 2
    told = capsys.readouterr().err
    assert "mapper.pt of https://huggingface.co/yumingj/VideoBooth_models" in told
    assert str(folder) in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["convert"], "name the files to convert"),
        (["convert", "."], "no published file of scale sd14 in ."),
        (["convert", "nowhere.pt"], "there is no file or folder nowhere.pt"),
        (["convert", "--to", "released"], "needs --out"),
        (["convert", "a", "b", "--to", "released", "--out", "c"], "takes one folder"),
        (
            ["convert", "nowhere", "--to", "released", "--out", "c"],
            "there are no weights nowhere/base.safetensors",
        ),
        (["list", "--models", "videoboot"], "did you mean 'videobooth'"),
        (["verify", "--scale", "sd15"], "invalid choice"),
        (["fetch", "--models", "no-such"], "no model or group"),
        ([], "ACTION"),
    ],
)
def test_bad_usage_is_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["weights", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
