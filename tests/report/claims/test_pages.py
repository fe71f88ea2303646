"""The pages hold every claim, and nothing of a name or reason can break them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.results.claims.synthetic import make_run, names_of, strengths
from vbbench.report.claims.pages import lines_of, write_claims
from vbbench.results.claims.analysis import analyse_claims
from vbbench.results.claims.evaluate import evaluate
from vbbench.results.claims.paper_claims import CLAIMS

HOSTILE = '<img src=x onerror=alert(1)> | `x` {{ 7 * 7 }} </script>\n"'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models = names_of()
    del models["elite"]
    models[f"videobooth-fine@{HOSTILE}"] = ("videobooth-fine", 7)
    manifest = {
        "vbbench": HOSTILE,
        "commit": HOSTILE,
        "created": HOSTILE,
        "environment": {"cpu": HOSTILE},
    }
    base = strengths()
    run = make_run(base, models, failed={("videobooth", "i3"): HOSTILE}, manifests=(manifest, {}))
    write_claims(analyse_claims(run), tmp_path / "new" / "claims")
    return tmp_path / "new" / "claims"


def test_the_page_is_whole_and_escapes_everything(folder: Path) -> None:
    html = (folder / "claims.html").read_text("utf-8")
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert "img" not in tags.seen
    assert {claim.name for claim in CLAIMS} <= set(tags.ids)
    assert len(tags.ids) == len(set(tags.ids))
    assert "49" not in html.split("Run:")[1]
    assert "&lt;img src=x" in html
    assert "{{ 7 * 7 }}" in html
    for name in ("report.css", "report.js", "claims.json", "claims.md"):
        assert f'"{name}"' in html
        assert (folder / name).is_file()
    assert "<code>vbbench run --suite tiny --models elite --out runs/more</code>" in html


def test_the_markdown_has_a_row_for_each_metric_and_no_markup_of_others(folder: Path) -> None:
    text = (folder / "claims.md").read_text("utf-8")
    assert "<img" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
    assert sum("not measured" in line for line in rows) == 4
    assert "| coarse-to-fine-over-fine<br>Table 2 | DINO |" in text


def test_the_record_has_all_numbers(folder: Path) -> None:
    record = json.loads((folder / "claims.json").read_text("utf-8"))
    assert [claim["name"] for claim in record["claims"]] == [claim.name for claim in CLAIMS]
    by_name = {claim["name"]: claim for claim in record["claims"]}
    share = by_name["joint-leaves-coarse-untaught"]
    assert (share["floor"], share["kind"], share["verdict"], share["established"]) == (
        "text-to-video",
        "share",
        "reproduced",
        True,
    )
    first = share["findings"][0]
    assert (first["null"], first["claimed"], first["training_seeds"], first["individuals"]) == (
        0.5,
        "below",
        [0, 1, 2],
        12,
    )
    assert first["low"] < first["estimate"] < first["high"] < 0.5
    assert 0 <= first["p"] <= first["corrected"] <= 1
    kept = by_name["videobooth-over-dreambooth"]["findings"][0]
    assert kept["without_value"] == {"videobooth": 1}
    assert kept["items"] == 23
    lacking = by_name["videobooth-over-elite"]
    assert (
        lacking["verdict"],
        lacking["findings"][0]["estimate"],
        lacking["findings"][0]["p"],
    ) == ("not measured", None, None)
    assert record["models"]["videobooth-fine@1"]["training_seed"] == 1
    assert "Fellow" not in record["statistics"]["rule"]
    assert any("1 item" in text for text in record["lost"])


def test_the_same_scores_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    run = make_run(strengths())
    for name in ("a", "b"):
        write_claims(analyse_claims(run), tmp_path / name)
    for name in ("claims.html", "claims.md", "claims.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_places_on_the_axis() -> None:
    (result,) = (
        each for each in evaluate(make_run(strengths())) if each.claim.name == "text-alignment-kept"
    )
    (line,) = lines_of(result, {"clip-text": 0.02})
    estimate = result.findings[0].estimate
    assert line.line == 25.0  # the margin of -0.01 on an axis from -0.02 to 0.02
    assert line.middle == round(50 + 2500 * estimate.mean, 1)
    assert line.low < line.middle < line.high
    (bare,) = lines_of(result)
    assert (bare.low, bare.middle, bare.high, bare.line) == (None, None, None, None)


def test_few_individuals_have_a_mean_and_no_interval(tmp_path: Path) -> None:
    run = make_run(strengths(), individuals=3)
    html = write_claims(analyse_claims(run), tmp_path).read_text("utf-8")
    assert "too few individuals" in html
    record = json.loads((tmp_path / "claims.json").read_text("utf-8"))
    assert record["claims"][0]["findings"][0]["low"] is None
    assert record["claims"][0]["findings"][0]["estimate"] is not None
