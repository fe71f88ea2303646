"""Files of the hub, with a hub that is not there: what is asked, in which order, and what is said
when nobody answers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from vbbench.core.paths import OFFLINE_VARIABLES
from vbbench.errors import WeightsError
from vbbench.networks.weights.catalog import PUBLISHED
from vbbench.networks.weights.fetch import fetch_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODEC = next(each for each in PUBLISHED if each.kind == "codec")
TEXT = next(each for each in PUBLISHED if each.kind == "text-encoder")


class Hub:
    """A hub of files in a folder, which lie in its cache once they were downloaded."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.digest, self.error = root, [], None, None

    def path(self, repository: str, file: str) -> Path:
        return self.root / repository.replace("/", "--") / "snapshots" / COMMIT / file

    def try_to_load_from_cache(
        self, repository: str, file: str, revision: str | None = None
    ) -> str | None:
        path = self.path(repository, file)
        return str(path) if path.is_file() else None

    def get_hf_file_metadata(self, url: str, timeout: float) -> SimpleNamespace:
        self.asked.append(url)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(etag=self.digest)

    def hf_hub_download(self, repository: str, file: str, *, etag_timeout: float) -> str:
        path = self.path(repository, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
        return str(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    made = Hub(tmp_path / "hub")
    for name in ("try_to_load_from_cache", "get_hf_file_metadata", "hf_hub_download"):
        monkeypatch.setattr(huggingface_hub, name, getattr(made, name))
    return made


def test_a_file_is_fetched_with_its_commit_and_then_lies_in_the_cache(hub: Hub) -> None:
    hub.digest = hashlib.sha256(b"abc").hexdigest()
    fetched = fetch_files([CODEC, TEXT])
    assert [each.origin for each in fetched] == [
        f"{each.repository}@{COMMIT}" for each in (CODEC, TEXT)
    ]
    assert all(each.path.read_bytes() == b"abc" for each in fetched)
    assert hub.asked == [
        f"https://huggingface.co/{each.repository}/resolve/main/{each.file}"
        for each in (CODEC, TEXT)
    ]
    assert fetch_files([TEXT, CODEC]) == fetched[::-1]
    assert len(hub.asked) == 2


def test_what_came_damaged_is_told(hub: Hub) -> None:
    hub.digest = hashlib.sha256(b"abd").hexdigest()
    with pytest.raises(WeightsError, match="came damaged: its SHA-256 is not"):
        fetch_files([CODEC])


@pytest.mark.parametrize("digest", [None, "a1b2"])
def test_a_hub_that_states_no_sha256_is_believed(hub: Hub, digest: str | None) -> None:
    hub.digest = digest
    assert len(fetch_files([CODEC])) == 1


def test_nobody_who_answers_is_a_sentence_that_says_what_to_put_where(hub: Hub) -> None:
    hub.error = ConnectionError("no route to the hub\nat all")
    with pytest.raises(WeightsError) as caught:
        fetch_files([CODEC, TEXT])
    told = str(caught.value)
    for each in (CODEC, TEXT):
        assert f"{each.file} of https://huggingface.co/{each.repository}" in told
    assert "`vbbench weights convert FOLDER`" in told
    assert "downloading diffusion_pytorch_model.safetensors failed: no route to the hub." in told


def test_offline_nobody_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBBENCH_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match="nothing was downloaded, because VBBENCH_OFFLINE is set"
    ):
        fetch_files([CODEC])
    assert hub.asked == []
    hub.hf_hub_download(CODEC.repository, CODEC.file, etag_timeout=1)
    assert len(fetch_files([CODEC])) == 1
