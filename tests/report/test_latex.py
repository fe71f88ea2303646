"""The table for papers: its structure, what stands in bold, and that no text of a run is a command
in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.conftest import weird_run
from tests.results.synthetic import MODELS, FakeRun, build, items, spec
from vbbench.report.export import latex_text, write_latex
from vbbench.results.aggregate import load_run
from vbbench.results.analysis import analyse

ESCAPES = {
    "a_b & 100 % of $5 #1": r"a\_b \& 100 \% of \$5 \#1",
    r"\input{/etc/passwd}": r"\textbackslash{}input\{/etc/passwd\}",
    "x^2 ~ <b> |c|": r"x\textasciicircum{}2 \textasciitilde{} \textless{}b\textgreater{} \textbar{}c\textbar{}",
    '[1em] "q" `': "{[}1em{]} ''q'' \\textasciigrave{}",
    "two\nlines\r\n%": r"two lines \%",
    "\N{MINUS SIGN}0.1 — 1\N{THIN SPACE}000 ↑": r"$-$0.1 -- 1 000 $\uparrow$",
    "Zoë Łukasz": "Zoë Łukasz",
    "🐕 مرحبا \u202eevil\u0007": "? ????? evil",
}


@pytest.mark.parametrize(("text", "safe"), ESCAPES.items(), ids=range(len(ESCAPES)))
def test_text_stays_text(text: str, safe: str) -> None:
    assert latex_text(text) == safe


def latex(tmp_path: Path, run: FakeRun) -> str:
    loaded = load_run(build(tmp_path / "run", run, videos=False))
    write_latex(analyse(loaded), tmp_path)
    return (tmp_path / "leaderboard.tex").read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    return [
        re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        for line in body.splitlines()
        if line.endswith(r" \\")
    ]


def test_structure(tmp_path: Path) -> None:
    run = replace(weird_run(), models={**MODELS, "mine_2": (r"Mine & \evil {", ())})
    text = latex(tmp_path, run)
    assert [
        text.count(rule)
        for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{table*}")
    ] == [1, 2, 1, 1, 1]
    columns = re.search(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}", text)[1]
    assert columns == "rlcccrr"
    assert {len(cells) for cells in rows(text)} == {len(columns)}
    assert len(rows(text)) == 1 + len(run.models)
    balanced = re.sub(r"\\[{}\\]", "", text)
    assert balanced.count("{") == balanced.count("}")
    assert r"Mine \& \textbackslash{}evil \{" in text
    assert r"DINO $\uparrow$" in text
    assert r"\shortstack{Temporal\\consistency $\uparrow$}" in text


def test_intervals_ranks_and_bold(tmp_path: Path) -> None:
    strength = {
        "videobooth": 0.9,
        "text-to-video": 0.3,
        "textual-inversion": 0.3,
        "real-video": 1.0,
        "other-individual": 0.0,
    }

    def value(model: str, item: str, metric: str) -> float:
        return strength[model] * (1 if metric == "dino" else -1) + int(item[1:]) % 3 / 100

    metrics = (spec("dino"), spec("distance", higher_is_better=False))
    text = latex(
        tmp_path,
        FakeRun(items(9), value, models={name: MODELS[name] for name in strength}, metrics=metrics),
    )
    by_title = {cells[1]: cells for cells in rows(text)[1:]}
    assert [by_title[name][0] for name in ("VideoBooth", "Text to video", "Textual Inversion")] == [
        "1",
        "2",
        "2",
    ]
    assert by_title["VideoBooth"][2].startswith(r"\shortstack{\textbf{0.910}\\{\tiny {[}0.9")
    assert [
        r"\textbf" in by_title[name][2] for name in ("Text to video", r"\emph{Real video}")
    ] == [False, False]
    assert text.count(r"\addlinespace") == 1  # between the first and the two that share a rank
    assert "Distance $\\downarrow$" in text
    assert by_title["Textual Inversion"][-2] == "14"


def test_what_has_no_number_has_a_dash(tmp_path: Path) -> None:
    text = latex(
        tmp_path, FakeRun(items(6), lambda model, *_: None if model == "videobooth" else 0.5)
    )
    cells = next(cells for cells in rows(text) if cells[1] == "VideoBooth")
    assert cells[0] == cells[2] == "--"
    assert "nan" not in text.lower()
    assert "None" not in text


def test_a_run_without_metrics_is_a_table_too(tmp_path: Path) -> None:
    assert len(rows(latex(tmp_path, FakeRun(items(2), lambda *_: 0.5, metrics=())))) == 8
