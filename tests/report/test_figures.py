"""Figures: which there are, that equal runs give equal bytes in any process, and that no text of a
run breaks into them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.report.conftest import WEIRD, weird_run
from tests.results.synthetic import MODELS, FakeRun, build, items, spec
from vbbench.report.board_page import make_board
from vbbench.report.figures.figures import DrawnFigure, write_figures
from vbbench.results.aggregate import load_run

SVG = "{http://www.w3.org/2000/svg}"
STRENGTH = {
    "videobooth": 0.6,
    "text-to-video": 0.3,
    "textual-inversion": 0.45,
    "real-video": 0.9,
    "other-individual": 0.25,
}
NAMES = ("true-identity", "dino", "clip-text")


def fake(count: int = 8) -> FakeRun:
    def value(model: str, item: str, metric: str) -> float:
        return STRENGTH.get(model, 0.4) / (1 + NAMES.index(metric)) + (int(item[1:]) * 7 % 5) / 100

    return FakeRun(items(count), value, metrics=tuple(spec(name) for name in NAMES))


def drawn(root: Path, run: FakeRun, name: str = "figures") -> list[DrawnFigure]:
    loaded = load_run(build(root / f"run-{name}", run, videos=False))
    return write_figures(loaded, make_board(loaded), root / name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DrawnFigure]]:
    root = tmp_path_factory.mktemp("drawn")
    return root / "figures", drawn(root, fake())


def test_what_is_drawn(made: tuple[Path, list[DrawnFigure]]) -> None:
    folder, figures = made
    stems = [
        "true-identity-against-clip-text",
        "dino-against-clip-text",
        "true-identity-against-cost",
        "scaled",
    ]
    stems += [f"comparisons-{name}" for name in NAMES]
    assert [figure.svg for figure in figures] == [f"{stem}.svg" for stem in stems]
    assert {path.name for path in folder.iterdir()} == {
        f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf")
    }
    assert figures[0].title == "True identity against CLIP-Text"
    assert "VideoBooth: True identity 0.6" in figures[0].alt
    assert [bool(figure.inline) for figure in figures] == [
        True,
        True,
        False,
        True,
        False,
        False,
        False,
    ]
    for path in folder.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag == f"{SVG}svg"
        assert path.stat().st_size < 150_000
    assert all(path.read_bytes().startswith(b"%PDF-") for path in folder.glob("*.pdf"))


def test_equal_runs_give_equal_bytes_in_any_process(
    made: tuple[Path, list[DrawnFigure]], tmp_path: Path
) -> None:
    folder, _ = made
    code = "import sys; from pathlib import Path; from tests.report import test_figures as t; t.drawn(Path(sys.argv[1]), t.fake())"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SOURCE_DATE_EPOCH": "99",
    }
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, check=True, timeout=200
    )
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes(), path.name
        assert not re.search(rb"CreationDate|ModDate|<dc:date>", path.read_bytes())


def test_the_page_gets_text_and_its_own_colours(made: tuple[Path, list[DrawnFigure]]) -> None:
    shown = [figure.inline for figure in made[1] if figure.inline]
    ids = [name for svg in shown for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in shown:
        root = ElementTree.fromstring(svg)
        assert root.attrib["role"] == "img"
        assert set(root.attrib["aria-labelledby"].split()) <= set(ids)
        assert {
            name
            for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
            for name in pair
            if name
        } <= set(ids)
        assert "VideoBooth" in [element.text for element in root.iter(f"{SVG}text")]
        assert "var(--fig-ink, currentColor)" in svg
        assert not re.search(r"#1b1d1f|#ffffff|<style|<metadata|xlink|<script", svg)
        assert len(svg) < 40_000


def hostile() -> FakeRun:
    run = weird_run()
    titles = {
        "videobooth": '</text></svg><script>alert(1)</script> id="x" #1b1d1f',
        "text-to-video": r"$\frac{1}{0}$ & $$ \unknown{",
        "textual-inversion": "🐕 مرحبا",
        "long": WEIRD * 20,
        "real-video": "Real <b>video</b>",
        "other-individual": "Other",
    }
    return replace(
        run,
        models={
            name: (title, MODELS[name][1] if name in MODELS else ())
            for name, title in titles.items()
        },
    )


def test_no_text_breaks_into_a_figure(tmp_path: Path) -> None:
    figures = drawn(tmp_path, hostile())
    assert len(figures) == 6  # one identity metric, cost, scale, three matrices
    texts = [
        element.text or ""
        for element in ElementTree.fromstring(figures[0].inline).iter(f"{SVG}text")
    ]
    assert any(text.startswith("</text></svg><script>") and len(text) <= 30 for text in texts)
    assert r"$\frac{1}{0}$ & $$ \unknown{" in texts
    assert "textual-inversion" in texts  # the font has no dog
    for path in (tmp_path / "figures").glob("*.svg"):
        assert not [
            element for element in ElementTree.parse(path).iter() if element.tag.endswith("script")
        ]


def test_names_of_metrics_are_no_paths(tmp_path: Path) -> None:
    run = replace(
        fake(6),
        metrics=(spec("../../outside"), spec("A/b")),
        value=lambda model, item, _: STRENGTH.get(model, 0.4),
    )
    drawn(tmp_path / "deep" / "er", run)
    assert not list(tmp_path.glob("*.svg"))
    assert (
        len(list((tmp_path / "deep" / "er" / "figures").iterdir())) == 2 * 4
    )  # cost, scale, two matrices


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"models": {"real-video": MODELS["real-video"]}}, 0),
        ({"models": {"videobooth": MODELS["videobooth"]}}, 3),
        ({"metrics": ()}, 0),
        ({"items": items(1)}, 7),
        ({"value": lambda *_: None}, 0),
        ({"value": lambda *_: 0.5}, 6),
    ],
    ids=["references alone", "one model", "no metric", "one item", "no score", "all alike"],
)
def test_runs_with_little_in_them(tmp_path: Path, changes: dict[str, object], count: int) -> None:
    assert len(drawn(tmp_path, replace(fake(), **changes))) == count  # type: ignore[arg-type]


def test_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in (
        "comparisons-old.svg",
        "dino-against-old.pdf",
        "scaled.svg",
        "teaser.pdf",
        "notes.txt",
    ):
        (folder / name).write_text("old")
    drawn(tmp_path, replace(fake(), metrics=()))
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "teaser.pdf"]


def test_many_models_and_lower_is_better(tmp_path: Path) -> None:
    models = {f"model-{number}": (f"Model {number}", ()) for number in range(14)} | {
        "real-video": MODELS["real-video"]
    }

    def value(model: str, item: str, metric: str) -> float:
        return (int(model[6:]) if model[0] == "m" else 0) / 20 + int(item[1:]) * len(model) % 3 / 50

    run = FakeRun(
        items(7),
        value,
        models=models,
        metrics=(spec("dino", higher_is_better=False), spec("clip-text")),
    )
    figures = drawn(tmp_path, run)
    assert "DINO ↓" in figures[0].inline
    assert "91 pairs" in figures[-1].alt
