"""What a person sees while something long is done."""

from __future__ import annotations

import pytest

from vbbench.core import progress


def test_plain_line_says_how_far_how_fast_and_how_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = progress.Progress("base", steps=8000, done=100)
    assert not shown.due()
    clock[0] = 150.0
    assert shown.due()
    shown.validation = {"error": 0.25}
    shown.update(200, 1.5)
    assert (
        capsys.readouterr().out
        == "base  200/8000  2.00 steps/s  1:05:00 left  loss 1.5000  error 0.25\n"
    )
    assert not shown.due()


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    shown = progress.Progress("base", steps=10, done=2)
    shown.update(5, 1.0)
    task = shown.bar.tasks[0]
    shown.close()
    assert (task.completed, task.total) == (5, 10)
    assert "loss 1.0000" in task.fields["words"]
