"""``vbbench models``: lists, and method cards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vbbench import cli
from vbbench.models.recipes import CARD_KEYS
from vbbench.models.registry import all_recipes, groups, resolve_models

METHODS = sorted(
    {
        recipe.name
        for group in ("baselines", "ablations", "videobooth-family")
        for recipe in resolve_models(group)
    }
)


def test_every_model_and_group_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    told = capsys.readouterr().out
    for name in (*all_recipes(), *groups()):
        assert name[:12] in told


def test_cards_tell_what_a_method_sees_tunes_stores_and_costs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["models", "videobooth,elite"]) == 0
    told = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    for recipe in resolve_models("videobooth,elite"):
        for sentence in recipe.card.values():
            assert sentence in told
        assert recipe.entry in told


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_whole_card(name: str) -> None:
    card = all_recipes()[name].card
    assert tuple(card) == CARD_KEYS
    assert all(sentence.endswith(".") for sentence in card.values())


def test_markup_in_a_card_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "m.py").write_text("class M: ...\n")
    (folder / "recipe.toml").write_text(
        'name = "odd"\ntitle = "[red]x[/red]"\nentry = "m.py:M"\n[card]\nsees = "[/] [bold]all[/bold]."\n[scales.mini]\n'
    )
    assert cli.main(["models", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "[red]x[/red]" in told
    assert "[/] [bold]all[/bold]." in told


def test_a_wrong_name_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "elitte"]) == 2
    assert "did you mean 'elite'" in capsys.readouterr().err
