"""What the package brings along: in a wheel all of it must lie inside."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import vbbench
from vbbench.core import paths
from vbbench.core.digests import file_digest
from vbbench.core.paths import baselines_dir, cache_dir, data_root, prompts_dir, weights_path
from vbbench.core.weights_file import verified_digest
from vbbench.data.suite import is_waiting, read_header
from vbbench.data.suites import load_suite, resolve_suite, suite_names
from vbbench.errors import UsageError, WeightsError
from vbbench.models.registry import all_recipes, groups
from vbbench.runner.hashing import weights_digests

PACKAGE = Path(vbbench.__file__).parent


def test_data_lie_in_the_package_or_beside_it() -> None:
    assert data_root() in (PACKAGE / "_data", PACKAGE.parent)
    assert prompts_dir().parent == baselines_dir().parent == data_root()


def test_suites_are_there_and_whole() -> None:
    assert {"mini", "mini-full"} <= set(suite_names())
    for name in suite_names():
        header = read_header(resolve_suite(name))
        assert is_waiting(resolve_suite(name), header) or load_suite(name).items


def test_bundled_models_are_there() -> None:
    assert {"videobooth", "videobooth-coarse"} <= set(all_recipes())
    assert set(groups()["baselines"]) >= {"text-to-video", "textual-inversion"}
    assert set(groups()["references"]) >= {
        "real-video",
        "other-individual",
        "still-image",
        "shuffled-frames",
    }


@pytest.mark.parametrize(
    "name", ["videobooth", "videobooth-coarse", "text-to-video", "textual-inversion"]
)
def test_weights_of_models_are_there_and_as_their_cards_say(name: str) -> None:
    assert weights_digests(all_recipes()[name], "mini")


@pytest.mark.parametrize("name", ["clip", "dino", "segmenter"])
def test_weights_of_scoring_encoders_are_there_and_as_their_cards_say(name: str) -> None:
    assert len(verified_digest(weights_path(name))) == 64


def test_templates_are_there() -> None:
    assert list((PACKAGE / "report" / "templates").glob("*.jinja"))


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one chunk
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_user_without_a_home_folder_is_told_to_name_a_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VBBENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UsageError, match="set VBBENCH_CACHE"):
        cache_dir()


def test_missing_weights_of_another_training_are_made_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(paths.WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsError, match="`vbbench train elite --scale mini --seed 3` makes it"):
        paths.weights_path(paths.seeded_name("elite", 3))
