"""A dataset that is built once for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.videos.clips import write_clips
from vbbench.cli import main

COUNT = 12


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with videos/ and captions.csv."""
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, COUNT)
    return folder


@pytest.fixture(scope="session")
def built(clips: Path) -> Path:
    """The dataset that one worker makes of them, never interrupted."""
    out = clips / "built"
    assert (
        main(
            [
                "data",
                "build",
                "--videos",
                str(clips / "videos"),
                "--captions",
                str(clips / "captions.csv"),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    return out
