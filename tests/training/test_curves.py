"""What a person sees while training, and afterwards."""

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


def test_plain_line_says_how_far_how_fast_and_how_long(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(curves.time, "monotonic", lambda: clock[0])
    progress = curves.Progress("base", steps=8000, done=100)
    assert not progress.due()
    clock[0] = 150.0
    assert progress.due()
    progress.validation = {"error": 0.25}
    progress.update(200, 1.5)
    assert capsys.readouterr().out == "base  200/8000  2.00 steps/s  1:05:00 left  loss 1.5000  error 0.25\n"
    assert not progress.due()


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves.sys.stderr, "isatty", lambda: True, raising=False)
    progress = curves.Progress("base", steps=10, done=2)
    progress.update(5, 1.0)
    task = progress.bar.tasks[0]
    progress.close()
    assert (task.completed, task.total) == (5, 10)
    assert "loss 1.0000" in task.fields["words"]
