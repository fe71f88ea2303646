"""The page over everything that a folder publishes."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import vbbench
from tests.report.conftest import weird_run
from tests.results.synthetic import build
from vbbench import cli
from vbbench.errors import RunFolderError, UsageError
from vbbench.report import export
from vbbench.report.site.entries import Figure
from vbbench.report.site.site import MARK, sections_of, site_html, write_site
from vbbench.results.aggregate import load_run
from vbbench.results.analysis import analyse

PUBLISHED = Path(vbbench.__file__).parents[1] / "reports"
RECORDED = PUBLISHED.parent / "baselines" / "scores"
HOSTILE = '</style><script>document.title = "broken in"</script> "quoted" & \'single\' 🐕 مرحبا {{ 7 * 7 }}'

checkout = pytest.mark.skipif(
    not (PUBLISHED / "profile").is_dir(), reason="published results are in a checkout only"
)


class Page(HTMLParser):
    """A page's visible text, its tags, addresses and ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self.addresses, self.ids = "", [], [], []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value
            for name, value in attrs
            if name in ("src", "href") and value and not value.startswith("data:")
        ]
        self.ids += [value for name, value in attrs if name == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def claim(says: str, verdict: str) -> dict[str, Any]:
    finding = {"metric": "dino", "training_seeds": [0]}
    return {
        "name": "c",
        "says": says,
        "source": "Table 1",
        "verdict": verdict,
        "established": False,
        "findings": [finding],
    }


def write_claims(folder: Path, *claims: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "suite": {"name": "tiny", "version": "1"},
        "claims": claims,
        "runs": [{"created": "2026-01-02T03:04:05", "commit": "abc"}],
    }
    (folder / "claims.json").write_text(json.dumps(record), "utf-8")
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A leaderboard, claims, and notes without numbers, in folders with difficult names."""
    root = tmp_path / "results"
    run = load_run(build(tmp_path / "run", weird_run(), videos=False))
    board = root / 'a "b" #1 100% & é'
    board.mkdir(parents=True)
    export.write_json(analyse(run), board)
    (board / "index.html").write_text("the report", "utf-8")
    write_claims(root / "claims", claim(HOSTILE, "reproduced"), claim("B beats A", "undecided"))
    (root / "field <notes>").mkdir()
    (root / "field <notes>" / "README.md").write_text(
        f"# Seen [here](x)\n\n![p](p.png)\n\n**What** we `saw` {HOSTILE}.\n\nMore.\n", "utf-8"
    )
    return root


def test_every_result_is_shown_with_its_figures_and_links(results: Path) -> None:
    index = write_site(results)
    page = Page(index.read_text("utf-8"))
    assert "1 of 2 reproduced" in page.text
    assert "8 individuals" in page.text
    assert "VideoBooth leads in DINO" in page.text
    assert "What we saw" in page.text
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert (
            (address[1:] in page.ids)
            if address.startswith("#")
            else (results / unquote(address)).is_file()
        ), address


def test_figures_follow_the_files(results: Path) -> None:
    before = site_html(results)
    write_claims(results / "claims", claim("A beats B", "not reproduced"))
    after = Page(site_html(results)).text
    assert "1 of 1 not reproduced" in after
    assert "1 of 2" in Page(before).text
    assert "1 of 2" not in after


def test_a_section_sums_up_what_is_of_one_kind(results: Path) -> None:
    write_claims(
        results / "claims" / "more",
        claim("C beats A", "reproduced"),
        claim("D beats A", "reproduced"),
    )
    claims = next(section for section in sections_of(results) if section.id == "claims")
    assert claims.figure == Figure("3 of 4", "reproduced")
    assert [entry.figures[0].number for entry in claims.entries] == ["1 of 2", "2 of 2"]


def test_the_same_results_give_the_same_bytes_wherever_they_are(
    results: Path, tmp_path: Path
) -> None:
    first = write_site(results).read_bytes()
    assert write_site(results).read_bytes() == first
    elsewhere = Path(shutil.copytree(results, tmp_path / "elsewhere" / "results"))
    assert write_site(elsewhere).read_bytes() == first
    assert str(tmp_path) not in first.decode()


def test_texts_from_elsewhere_stay_texts(results: Path) -> None:
    page = Page(site_html(results))
    assert "script" not in page.tags
    assert page.tags.count("style") == 1
    assert HOSTILE in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_somebody_elses_page_is_not_replaced(results: Path) -> None:
    (results / "index.html").write_text("<!doctype html>mine", "utf-8")
    with pytest.raises(UsageError, match="another page"):
        write_site(results)
    assert (results / "index.html").read_text("utf-8").endswith("mine")


def test_nothing_to_show_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to show"):
        write_site(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        write_site(tmp_path / "none")
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    "name", ["leaderboard.json", "claims.json", "validity.json", "gate.json", "profile.json"]
)
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"suite": 3, "runs": 1, "claims": [{}]}'])
def test_damaged_results_are_told_by_name(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / name).write_text(text, "utf-8")
    with pytest.raises(RunFolderError, match=re.escape(name)):
        write_site(tmp_path)


@checkout
def test_the_published_page_is_of_the_published_results() -> None:
    """After new results: ``vbbench report --site reports``."""
    assert (PUBLISHED / "index.html").read_text("utf-8") == site_html(
        PUBLISHED, sorted(RECORDED.glob("*.json"))
    )


@checkout
def test_published_kinds_are_all_there_and_all_links_lead_somewhere() -> None:
    page = Page(site_html(PUBLISHED, sorted(RECORDED.glob("*.json"))))
    assert {"leaderboards", "claims", "validity", "gate", "profiles"} <= set(page.ids)
    for address in page.addresses:
        assert (
            (address[1:] in page.ids)
            if address.startswith("#")
            else (PUBLISHED / unquote(address)).is_file()
        ), address


def test_the_command_writes_it_and_refuses_what_does_not_belong(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--site", str(results)]) == 0
    assert "index.html" in capsys.readouterr().out
    assert MARK in (results / "index.html").read_text("utf-8")
    assert cli.main(["report", "run", "--site", str(results)]) == 2
    assert cli.main(["report", "--site", str(results), "--items", "3"]) == 2
    assert cli.main(["report"]) == 2
    assert "RUN" in capsys.readouterr().err
