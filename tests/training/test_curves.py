"""The loss curves of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from vbbench.training import curves

HISTORY = [
    {"step": 10, "seconds": 1.0, "lr": 0.1, "loss": 2.0, "stills": 1.0},
    {"step": 20, "seconds": 2.0, "lr": 0.1, "loss": 1.23456789, "clips": 3.0, "val/error": 0.5},
]


def test_table_has_a_column_for_every_figure(tmp_path: Path) -> None:
    curves.write_csv(tmp_path / "curves.csv", HISTORY)
    assert (tmp_path / "curves.csv").read_text().splitlines() == [
        "step,seconds,loss,lr,stills,clips,val/error",
        "10,1.0,2.0,0.1,1.0,,",
        "20,2.0,1.23457,0.1,,3.0,0.5",
    ]


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], []], ids=["two rows", "one row", "none"])
def test_picture_is_drawn_without_a_display(tmp_path: Path, history: list) -> None:
    curves.draw_png(tmp_path / "curves.png", history, "toy")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]  # nothing half-written
