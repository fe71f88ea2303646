"""What is printed."""

from __future__ import annotations

import pandas as pd
import pytest

from vbbench.cli.tables import duration, print_leaderboard


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (91, "2 min"), (3600, "60 min"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_leaderboard_shows_intervals_costs_and_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        {
            "model": "a",
            "title": "Model A",
            "reference": False,
            "items": 18,
            "sampled": 18,
            "dino": 0.5,
            "dino.low": 0.4,
            "dino.high": 0.62,
        },
        {
            "model": "b",
            "title": "Model B",
            "reference": False,
            "items": 18,
            "sampled": 0,
            "dino": None,
            "dino.low": None,
            "dino.high": None,
        },
        {
            "model": "r",
            "title": "Real video",
            "reference": True,
            "items": 18,
            "sampled": 17,
            "dino": 0.9,
            "dino.low": None,
            "dino.high": None,
        },
    ]
    board = pd.DataFrame(rows).astype(dict.fromkeys(("dino", "dino.low", "dino.high"), "Float64"))
    board["dino.spec"] = "0123456789ab"
    board["fit_seconds"], board["sample_seconds"] = (
        pd.array([8.04, None, None], "Float64"),
        pd.array([1.234, None, 0.0], "Float64"),
    )
    print_leaderboard(board)
    lines = capsys.readouterr().out.splitlines()
    (a,) = (line for line in lines if "Model A" in line)
    assert [cell.strip() for cell in a.strip("│").split("│")] == [
        "Model A",
        "0.500 ± 0.110",
        "8.0",
        "1.23",
        "",
        "18/18",
    ]
    (b,) = (line for line in lines if "Model B" in line)
    assert [cell.strip() for cell in b.strip("│").split("│")] == [
        "Model B",
        "-",
        "",
        "",
        "",
        "0/18",
    ]
    (r,) = (line for line in lines if "Real video" in line)
    assert "0.900" in r
    assert "±" not in r
    assert lines.index(r) == lines.index(b) + 2  # a rule stands between competitors and references


def test_a_mean_over_some_of_the_videos_says_over_how_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {
        "model": "a",
        "title": "Model A",
        "reference": False,
        "items": 10,
        "sampled": 10,
        "dino": 0.5,
        "dino.low": None,
        "dino.high": None,
    }
    print_leaderboard(pd.DataFrame([{**row, "dino.scored": 2, "dino.spec": "0123456789ab"}]))
    out = capsys.readouterr().out
    assert "0.500 (2/10)" in out
    assert "dino 0123456789ab" in out
