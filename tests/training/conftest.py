"""Tiny data and tiny weights that the objectives of models learn from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.tiny import weights_root
from vbbench.cli.log_lines import spoken
from vbbench.data.world import pictures as data_module
from vbbench.data.world import rendering
from vbbench.data.world.pictures import Counts, TrainingData, Variant

__all__ = ["data", "weights_root"]


@pytest.fixture(autouse=True)
def _spoken() -> Iterator[None]:
    """What trainings tell is printed, as the command does."""
    with spoken():
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingData]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            data_module.VARIANTS,
            "tiny-models",
            Variant(Counts(4, 2, 1, 2), Counts(2, 1, 1, 1), seed=5),
        )
        folder, _ = rendering.prepare(tmp_path_factory.mktemp("data"), "tiny-models", processes=1)
        yield TrainingData(folder, "tiny-models")
