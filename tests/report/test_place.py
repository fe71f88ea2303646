"""A report replaces and removes its own files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.results.synthetic import FakeRun, build, items
from vbbench.errors import UsageError
from vbbench.report.leaderboard import write_report
from vbbench.report.site.site import write_site


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return build(tmp_path / "run", FakeRun(items(3), lambda *_: 0.5), videos=False)


def test_files_of_others_stay(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    foreign = [
        out / name
        for name in (
            "figures/teaser.pdf",
            "items/2024.html",
            "items-7.html",
            "models/note.html",
            "media/photo.webp",
            "a.txt",
        )
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for _ in range(2):
        write_report([run_folder], out)
    assert all(path.read_text() == "mine" for path in foreign)


def test_pages_and_figures_of_an_earlier_report_go(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report([build(tmp_path / "larger", FakeRun(items(6), lambda *_: 0.5), videos=False)], out)
    assert (out / "items" / "6.html").is_file()
    write_report([run_folder], out)
    assert sorted(path.name for path in (out / "items").iterdir()) == ["1.html", "2.html", "3.html"]


def test_another_page_is_not_replaced(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    out.mkdir()
    (out / "index.html").write_text("<title>My paper</title>")
    with pytest.raises(UsageError, match=r"index\.html is another page and would be lost"):
        write_report([run_folder], out)
    assert [path.name for path in out.iterdir()] == ["index.html"]


def test_a_site_and_a_run_are_no_places_for_a_report(run_folder: Path, tmp_path: Path) -> None:
    write_report([run_folder], tmp_path / "site" / "mini")
    before = write_site(tmp_path / "site").read_bytes()
    with pytest.raises(UsageError, match="another page"):
        write_report([run_folder], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_bytes() == before
    with pytest.raises(UsageError, match="is a run folder"):
        write_report([run_folder], run_folder)


@pytest.mark.parametrize("name", ["items", "media", "figures", "leaderboard.csv", "items/1.html"])
def test_links_are_not_followed(name: str, run_folder: Path, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    (victim / "1.html").write_text("mine · vbbench</title>")
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).symlink_to(victim / "1.html" if "." in name else victim)
    with pytest.raises(UsageError, match="is a link"):
        write_report([run_folder], out)
    assert (victim / "1.html").read_text() == "mine · vbbench</title>"
