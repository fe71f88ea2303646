"""What a run tells while it works."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from vbbench.runner.progress import Lines, Terminal, make_progress


def test_lines_tell_each_stage_once_with_its_failures(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as progress:
        progress.stage("noise", 3)
        progress.advance()
        progress.advance(failed=True)
        progress.stage("scoring", 1)
        progress.say("a [word] in brackets")
        progress.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("noise: 2/3 in ")
    assert lines[0].endswith("s, 1 failed")
    assert lines[1] == "a [word] in brackets"
    assert lines[2].startswith("scoring: 1/1 in ")
    assert len(lines) == 3


def test_bars_leave_the_screen_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as progress:
        progress.stage("noise", 2)
        progress.advance()
        progress.advance(failed=True)
    assert "2/2" in capsys.readouterr().err


class ZMQInteractiveShell:
    """What a notebook's kernel calls its shell."""


@pytest.mark.parametrize(("with_widgets", "kind"), [(True, Terminal), (False, Lines)])
def test_a_notebook_has_bars_where_it_can_draw_them(
    with_widgets: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, widgets = ModuleType("IPython"), ModuleType("ipywidgets")
    shell.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    widgets.__spec__ = ModuleSpec("ipywidgets", None)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets if with_widgets else None)
    assert isinstance(make_progress(), kind)
