"""The hub's door, with nobody behind it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from vbbench.core import hub
from vbbench.core.digests import sha256_of
from vbbench.core.paths import OFFLINE_VARIABLES
from vbbench.errors import WeightsError, reason_of


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", OFFLINE_VARIABLES)
@pytest.mark.parametrize(("value", "refused"), [("1", True), (" Off ", False), ("", False)])
def test_downloads_are_refused_with_the_variables_name(
    name: str, value: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.refusal() is None
    monkeypatch.setenv(name, value)
    said = f"nothing was downloaded, because {name} is set"
    assert hub.refusal() == (said if refused else None)


@pytest.mark.parametrize("digest", [sha256_of("abc"), "a1b2", None])
def test_a_file_is_held_against_the_digest_that_the_hub_states(
    tmp_path: Path, digest: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    monkeypatch.setattr(
        huggingface_hub,
        "get_hf_file_metadata",
        lambda address, timeout: SimpleNamespace(etag=digest),
    )
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(path))
    path.write_text("abc")
    assert hub.download_file("owner/name", "file") == path
    path.write_text("abd")
    if digest == sha256_of("abc"):
        with pytest.raises(WeightsError, match="came damaged"):
            hub.download_file("owner/name", "file")


def test_the_first_question_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(address: str, timeout: float) -> None:
        assert address.endswith("owner/name/resolve/0123/file")
        assert timeout <= 10
        raise TimeoutError

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", silent)
    with pytest.raises(TimeoutError):
        hub.published_digest("owner/name", "file", "0123")


def test_the_cache_is_looked_into_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert hub.cached_file("owner/name", "file") is None


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no route.\nat all"), "no route"), (TimeoutError(), "TimeoutError")],
)
def test_errors_of_others_are_half_a_sentence(error: Exception, said: str) -> None:
    assert reason_of(error) == said
