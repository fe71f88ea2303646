"""The picture of identity against cost: every competitor in its place, no name on another, the same
bytes for the same run."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.results.synthetic import FakeRun, build, items
from vbbench.report.figures.identity_cost import (
    GLYPH,
    LEFT,
    LINE,
    Axes,
    Plot,
    Point,
    drawing,
    labels_of,
    plot_of,
)
from vbbench.report.leaderboard import NARROW, WIDE, write_report

SVG = "{http://www.w3.org/2000/svg}"
CROWD = {
    **{
        f"model-{number}": (f"Model number {number}, coarse only", ("ablations",))
        for number in range(12)
    },
    "textual-inversion": ("Textual Inversion <b>", ("baselines",)),
    "real-video": ("Real video", ("references",)),
    "other-individual": ("Other individual", ("references",)),
    "still-image": ("Still image", ("references",)),
}


def crowd(tmp_path: Path) -> Path:
    """Twelve models of nearly one cost and nearly one score, and one that is fitted."""

    def value(model: str, item: str, metric: str) -> float:
        near = {"real-video": 0.9, "other-individual": 0.3, "textual-inversion": 0.55}
        return (
            near.get(
                model, 0.5 + (len(model) + int(model[-1:] if model[-1:].isdigit() else 0)) / 500
            )
            + int(item[1:]) / 300
        )

    return build(tmp_path / "run", FakeRun(items(8), value, models=CROWD), videos=False)


BOUNDS = ("real-video", "other-individual")


def table(**columns: list[Any]) -> pd.DataFrame:
    rows = {
        "model": ["a", "b", "c", "real-video", "still-image"],
        "reference": [False, False, False, True, True],
    }
    rows |= {
        "title": ["A", "B", "C", "Real video", "Still image"],
        "fits": [None, 3, None, None, None],
    }
    rows |= {
        "dino": [0.6, 0.7, None, 0.9, 1.0],
        "dino.low": [0.5, 0.6, None, 0.8, 1.0],
        "dino.high": [0.7, 0.8, None, 1.0, 1.0],
    }
    return pd.DataFrame({**rows, "first_clip_seconds": [1.0, 100.0, 2.0, 0.1, 0.1], **columns})


def test_what_is_drawn_and_what_is_left_out() -> None:
    plot = plot_of(table(), "dino", "DINO", BOUNDS)
    assert plot is not None
    assert plot.points == (
        Point("A", False, 1.0, 0.6, 0.5, 0.7),
        Point("B", True, 100.0, 0.7, 0.6, 0.8),
    )
    assert plot.lines == (("Real video", 0.9),)
    assert plot.left_out == ("C",)
    no_costs = table(first_clip_seconds=[None, 0.0, 1.0, 1.0, 1.0])
    assert plot_of(no_costs, "dino", "DINO", BOUNDS) is None


def test_places_follow_the_axes() -> None:
    plot = plot_of(
        table(first_clip_seconds=[1.0, 100.0, 10.0, 0.1, 0.1], dino=[0.6, 0.7, 0.65, 0.9, 1.0]),
        "dino",
        "DINO",
        BOUNDS,
    )
    assert plot is not None
    a, b, c = (point for point in drawing(plot, WIDE)["points"])  # type: ignore[attr-defined]
    assert c["x"] == pytest.approx(
        (a["x"] + b["x"]) / 2, abs=0.11
    )  # ten is midway from one to a hundred
    assert c["y"] == pytest.approx((a["y"] + b["y"]) / 2, abs=0.11)
    assert b["y"] < a["y"]
    assert a["high"] < a["y"] < a["low"]
    axes = Axes(plot, WIDE)
    for tick in axes.seconds_ticks():
        assert math.log10(tick) == pytest.approx(
            round(math.log10(tick))
        )  # more than two decades: powers of ten alone
    steps = {
        round(second - first, 9)
        for first, second in zip(axes.value_ticks(), axes.value_ticks()[1:], strict=False)
    }
    assert len(steps) == 1


@pytest.mark.parametrize("seconds", [[3.0], [3.0, 3.0, 3.0], [1e-4, 1e4], [0.9, 1.1]])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.3])
def test_any_costs_and_scores_can_be_drawn(seconds: list[float], spread: float) -> None:
    points = tuple(
        Point(f"Model {n}", n % 2 == 0, s, 0.5 + n * spread, None, None)
        for n, s in enumerate(seconds)
    )
    plot = Plot("DINO", points, (("Real video", 0.5),), ())
    for width in (WIDE, NARROW):
        drawn = drawing(plot, width)
        assert drawn["x_ticks"]
        assert drawn["y_ticks"]
        assert all(
            LEFT <= p["x"] <= width and 0 <= p["y"] <= drawn["height"] for p in drawn["points"]
        )  # type: ignore[attr-defined, operator]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_name_lies_on_another(tmp_path: Path, width: int) -> None:
    points = tuple(
        Point(f"Model number {n}", False, 2 + n / 100, 0.5 + n / 400, 0.4, 0.6) for n in range(14)
    )
    plot = Plot("DINO", points, (("Real video", 0.58), ("Other individual", 0.42)), ())
    axes = Axes(plot, width)
    labels, bounds = labels_of(plot, axes)
    assert sorted(label.text for label in labels) == sorted(point.title for point in points)
    boxes = []
    for label in (*labels, *bounds):
        left = label.x - GLYPH * len(label.text) if label.anchor == "end" else label.x
        boxes.append((left, label.y - LINE / 2, left + GLYPH * len(label.text), label.y + LINE / 2))
        assert 0 <= left <= boxes[-1][2] <= width
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in combinations(boxes, 2):
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1


def test_the_file_is_sound_tells_all_and_is_the_same_again(tmp_path: Path) -> None:
    run = crowd(tmp_path)
    first, second = (
        write_report([run], tmp_path / name).with_name("identity-cost.svg").read_bytes()
        for name in "ab"
    )
    assert first == second
    root = ET.fromstring(first)
    assert (
        len(root.findall(f"{SVG}g[@class='point fitted']")) == 2
    )  # one stands for all in the legend
    assert len(root.findall(f"{SVG}g[@class='point ready']")) == 13
    said = root.find(f"{SVG}desc").text  # type: ignore[union-attr]
    assert all(title in said for title, _ in CROWD.values() if title != "Still image")  # type: ignore[operator]
    names = [text.text for text in root.findall(f"{SVG}g[@class='labels']/{SVG}text")]
    assert sorted(filter(None, names)) == sorted(
        title for title, groups in CROWD.values() if "references" not in groups
    )
    assert not re.search(rb"<script|url\(|href|\d{4}-\d\d-\d\d", first)


def test_a_report_without_scores_has_no_picture_and_drops_an_earlier_one(tmp_path: Path) -> None:
    run = build(tmp_path / "run", FakeRun(items(3), lambda *_: 0.5, metrics=()), videos=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "identity-cost.svg").write_text("old")
    page = write_report([run], tmp_path / "out").read_text("utf-8")
    assert not (tmp_path / "out" / "identity-cost.svg").exists()
    assert "cost-figure" not in page
    assert 'id="costs"' in page


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crowd")
    return write_report([crowd(folder)], folder / "report")


OVERLAPS = """
const drawn = [...document.querySelectorAll('.cost-figure svg')].filter(svg => svg.getBoundingClientRect().width > 0);
const names = [...drawn[0].querySelectorAll('.labels text, .bounds text')].map(text => text.getBoundingClientRect());
const meets = (a, b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom - 2 && b.top + 2 < a.bottom - 2;
let found = 0;
names.forEach((a, i) => names.slice(i + 1).forEach(b => { found += meets(a, b); }));
const frame = drawn[0].getBoundingClientRect();
const outside = names.filter(name => name.left < frame.left || name.right > frame.right + 1).length;
return [drawn.length, names.length, found, outside, document.documentElement.scrollWidth - innerWidth];
"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_names_are_apart_in_a_browser_too(page: Any, width: int) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        drawn, names, overlaps, outside, too_wide = page.execute_script(OVERLAPS)
        assert (drawn, names) == (1, 15)
        assert (overlaps, outside) == (0, 0)
        assert too_wide <= 0
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
