"""Tiny networks of scale sd14, their weights in a folder of the test's own, and a small dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.models.tiny_sd14 import sd14_weights_root
from tests.training.real.dataset import write

__all__ = ["sd14_weights_root"]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data/ and videos/: six clips to train on, two that are held out."""
    return write(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def weights(sd14_weights_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What VBBENCH_WEIGHTS names: a copy, which a test may write to."""
    root = tmp_path / "weights"
    shutil.copytree(sd14_weights_root, root)
    monkeypatch.setenv("VBBENCH_WEIGHTS", str(root))
    return root
