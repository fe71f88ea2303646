"""The script of scores: what it holds, that it stays small, and that no text in it can end it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.results.synthetic import MODELS, FakeRun, Item, build, items
from vbbench.report.leaderboard import SCORE_DECIMALS, script_json, write_scores_js
from vbbench.results.aggregate import load_run

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 \u2029 & \" ' \\ ]]> 🐕 مرحبا"


def read(path: Path) -> dict[str, object]:
    text = path.read_text("utf-8")
    assert text.startswith("window.vbbenchScores = {")
    assert text.endswith("};\n")
    return json.loads(text.removeprefix("window.vbbenchScores = ").removesuffix(";\n"))  # type: ignore[no-any-return]


def value(model: str, item: str, metric: str) -> float | str:
    if (model, item) == ("videobooth", "i1"):
        return "the frames are black"
    return list(MODELS).index(model) + int(item[1:]) / 7 if metric == "dino" else -0.5


def test_it_holds_every_score(tmp_path: Path) -> None:
    run = FakeRun(items(3, 2), value, failed={("text-to-video", "i3"): "out of memory"})
    run.items[2].class_name = "cat"
    loaded = load_run(build(tmp_path / "run", run, videos=False))
    write_scores_js(loaded, tmp_path)
    found = read(tmp_path / "scores.js")
    assert found["models"] == list(MODELS)
    assert found["metrics"] == ["clip-text", "dino", "temporal-consistency"]
    assert found["ids"] == [f"i{number}" for number in range(6)]
    assert (found["classes"], found["classOf"]) == (["dog", "cat"], [0, 0, 1, 0, 0, 0])
    assert (found["subjects"], found["subjectOf"]) == (
        ["dog-0", "dog-1", "dog-2"],
        [0, 1, 2, 0, 1, 2],
    )
    assert found["texts"] == ["a dog runs on the beach"] * 6
    values = found["values"]
    assert values[0][1][:3] == [0, None, round(2 / 7 * 10**SCORE_DECIMALS)]  # type: ignore[index]
    assert values[1][1][3] is None  # type: ignore[index]
    assert set(values[3][0]) == {round(-0.5 * 10**SCORE_DECIMALS)}  # type: ignore[index]


def test_no_text_ends_the_script(tmp_path: Path) -> None:
    hostile = [
        Item(HOSTILE + str(number), f"dog-{number}", text=HOSTILE * 40, class_name=HOSTILE)
        for number in range(3)
    ]
    run = load_run(build(tmp_path / "run", FakeRun(hostile, lambda *_: 0.5), videos=False))
    run = replace(run, items=tuple(replace(item, subject_id=HOSTILE) for item in run.items))
    write_scores_js(run, tmp_path)
    text = (tmp_path / "scores.js").read_text("utf-8")
    assert not set(text) & set("<>&\u2028\u2029")
    assert text.count("\n") == 1
    found = read(tmp_path / "scores.js")
    assert (found["texts"][0], found["subjects"], found["classes"]) == (
        HOSTILE * 40,
        [HOSTILE],
        [HOSTILE],
    )  # type: ignore[index]


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json({"a": float("nan")})


def test_it_is_small_and_the_same_again(tmp_path: Path) -> None:
    run = load_run(
        build(
            tmp_path / "run",
            FakeRun(items(50, 4), lambda model, item, _: len(model) / 7 + int(item[1:]) / 300),
            videos=False,
        )
    )
    written = []
    for _ in range(2):
        write_scores_js(run, tmp_path)
        written.append((tmp_path / "scores.js").read_bytes())
    assert written[0] == written[1]
    scores = len(run.items) * len(run.models) * len(run.metrics)
    assert len(written[0]) < 8 * scores + 50 * len(run.items)
