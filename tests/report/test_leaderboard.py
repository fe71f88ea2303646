"""What a report's folder holds, read as files."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.conftest import REASON, WEIRD, weird_run
from tests.results.synthetic import FRAMES, MODELS, SIZE, FakeRun, build, items, spec
from vbbench.errors import IncompleteError, RunFolderError
from vbbench.media.video import read_video
from vbbench.report import export, leaderboard, model_pages, place
from vbbench.report.leaderboard import write_report
from vbbench.report.media import lay_out, shrink
from vbbench.results.aggregate import load_run


class Page(HTMLParser):
    """Collects a page's visible text, scripts, and every address it names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.scripts, self.addresses, self.ids = "", 0, [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        self.ids += [value for name, value in attrs if name == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_is_whole_and_refers_to_nothing_outside(
    run_folder: Path, tmp_path: Path
) -> None:
    index = write_report([run_folder], tmp_path / "out")
    assert index == tmp_path / "out" / "index.html"
    pages = {path: Page(path) for path in index.parent.rglob("*.html")}
    assert len(pages) == 2 + 8 + len(MODELS)
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for address in page.addresses:
            if address.startswith("data:"):
                continue
            file, _, anchor = address.partition("#")
            there = (path.parent / file).resolve() if file else path
            assert there.is_file(), (path, address)
            assert ":" not in address
            if anchor:
                assert anchor in pages[there].ids, (path, address)


def test_text_from_elsewhere_stays_text(run_folder: Path, tmp_path: Path) -> None:
    index = write_report([run_folder], tmp_path / "out")
    page, items, item = (
        Page(index.parent / name) for name in ("index.html", "items.html", "items/1.html")
    )
    assert (page.scripts, items.scripts, item.scripts) == (4, 2, 1)  # of the table page one is data
    assert all(WEIRD in each.text for each in (page, items, item))
    assert REASON in page.text
    assert REASON in Page(index.with_name("models") / "text-to-video.html").text
    scores = (index.parent / "scores.js").read_text("utf-8")
    assert "<" not in scores
    assert scores.count("\n") == 1


def test_failures_are_shown_where_they_matter(run_folder: Path, tmp_path: Path) -> None:
    index = write_report([run_folder], tmp_path / "out")
    text = re.sub(r"\s+", " ", Page(index).text)
    assert "1 failed" in text
    assert "1 not run yet" in text
    assert "7 of 8 scored" in text
    assert (
        "Textual Inversion has no DINO: the embedding is zero"
        in Page(index.parent / "items" / "3.html").text
    )
    assert "Too few individuals for fine distinctions: with 8" in text


def test_a_report_is_rebuilt_byte_for_byte(run_folder: Path, tmp_path: Path) -> None:
    first = contents(write_report([run_folder], tmp_path / "a").parent)
    write_report([run_folder], tmp_path / "b")
    again = contents(write_report([run_folder], tmp_path / "b").parent)
    assert first == again
    assert any(name.endswith(".webp") for name in first)


def test_an_earlier_report_is_replaced_and_other_files_are_left(
    run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "media").mkdir(parents=True)
    for folder in ("items", "models"):
        (out / folder).mkdir()
    stale = [
        out / "media" / f"{'a' * 20}.webp",
        out / "items" / "99.html",
        out / "items-2.html",
        out / "models" / "gone.html",
    ]
    notes = [
        out / "media" / "notes.txt",
        out / "items" / "notes.html",
        out / "models" / "notes.html",
    ]
    for path in notes:
        path.write_text("mine")
    for path in stale:
        path.write_text(f"<title>Old {place.MARK}{model_pages.MARK}")
    write_report([run_folder], out)
    assert not any(path.exists() for path in stale)
    assert all(path.read_text() == "mine" for path in notes)


def test_csv_json_and_markdown_tell_the_same(run_folder: Path, tmp_path: Path) -> None:
    out = write_report([run_folder], tmp_path / "out").parent
    rows = list(csv.DictReader((out / "leaderboard.csv").read_text("utf-8").splitlines()))
    record = json.loads((out / "leaderboard.json").read_text("utf-8"))
    assert [row["model"] for row in rows] == [row["model"] for row in record["leaderboard"]]
    assert rows[0]["model"] == "videobooth"
    assert (
        float(rows[0]["dino"])
        == pytest.approx(record["leaderboard"][0]["dino"])
        == pytest.approx(0.6 + 25 / 700, abs=1e-6)
    )
    assert rows[0]["fit_seconds"] == ""
    assert record["leaderboard"][0]["fit_seconds"] is None
    assert {failure["reason"] for failure in record["failures"]} == {
        REASON,
        "not run yet",
        "the embedding is zero",
    }
    markdown = (out / "leaderboard.md").read_text("utf-8")
    assert "| 1 | VideoBooth | 7 of 8 | 0.636 [" in markdown
    assert "&lt;img" in markdown
    assert "<img" not in markdown


def test_index_stays_light(tmp_path: Path) -> None:
    models = {f"model-{number}": (f"Model {number}", ()) for number in range(6)}
    models |= {
        f"reference-{number}": (f"Reference {number}", ("references",)) for number in range(4)
    }
    names = ["clip-text", "clip-image", "dino", "temporal-consistency", "motion", "true-identity"]
    run = FakeRun(
        items(9, 9), lambda *_: 0.5, models=models, metrics=[spec(name) for name in names]
    )
    index = write_report([build(tmp_path / "run", run, videos=False)], tmp_path / "out")
    assert index.stat().st_size < 300_000
    assert len(list((index.parent / "items").iterdir())) == 81
    item = Page(index.parent / "items" / "80.html")
    assert {"79.html", "81.html"} < set(item.addresses)


def test_failures_link_to_the_page_of_their_item(run_folder: Path, tmp_path: Path) -> None:
    index = write_report([run_folder], tmp_path / "out")
    assert {"items/2.html", "models/text-to-video.html#failures"} < set(Page(index).addresses)
    assert "../items/2.html" in Page(index.parent / "models" / "text-to-video.html").addresses


def test_a_long_list_of_failures_is_told_on_the_pages_of_the_models(tmp_path: Path) -> None:
    lost = {("videobooth", f"i{number}"): f"reason {number}" for number in range(60)}
    index = write_report(
        [build(tmp_path / "run", FakeRun(items(60), lambda *_: 0.5, failed=lost), videos=False)],
        tmp_path / "out",
    )
    assert "reason 59" not in Page(index).text
    assert f"VideoBooth {60 - leaderboard.FAILURES}" in Page(index).text
    assert "reason 59" in Page(index.parent / "models" / "videobooth.html").text


def test_strips_hold_the_very_pixels(run_folder: Path, tmp_path: Path) -> None:
    out = write_report([run_folder], tmp_path / "out").parent
    frames = read_video(run_folder / "videos" / "videobooth" / "0.mkv").frames
    strips = [np.asarray(Image.open(path).convert("RGB")) for path in (out / "media").iterdir()]
    assert any(
        strip.shape == (SIZE, SIZE * FRAMES, 3)
        and (strip == np.concatenate(list(frames), axis=1)).all()
        for strip in strips
    )


def test_long_clips_are_laid_out_in_rows() -> None:
    frames = np.arange(70, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 300, 3), dtype=np.uint8
    )
    sheet, columns = lay_out(frames)
    assert columns == 54
    assert sheet.shape == (4, 54 * 300, 3)
    assert sheet[2, 0, 0] == pytest.approx(54)
    assert sheet[2, 16 * 300, 0] == pytest.approx(0)


def test_large_frames_are_shrunk_in_proportion() -> None:
    assert shrink(np.zeros((2, 512, 1024, 3), dtype=np.uint8)).shape == (2, 160, 320, 3)


def test_missing_and_damaged_videos_do_not_stop_a_report(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "videos" / "videobooth" / "0.mkv").write_bytes(b"no video")
    (run_folder / "videos" / "real-video" / "0.mkv").unlink()
    (run_folder / "suite" / "images" / "dog-1.png").write_bytes(b"no picture")
    index = write_report([run_folder], tmp_path / "out")
    assert Page(index.parent / "items" / "1.html").text.count("its video file cannot be read") == 2


def test_runs_of_two_suites_are_refused(run_folder: Path, tmp_path: Path) -> None:
    other = weird_run()
    other.suite = {"name": "other", "version": "1.0", "digest": "d9" * 32}
    with pytest.raises(IncompleteError, match="suite tiny"):
        write_report([run_folder, build(tmp_path / "other", other, videos=False)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        write_report([tmp_path], tmp_path / "out")


def test_reports_need_no_torch(subprocess_environment: dict[str, str]) -> None:
    code = "import sys, vbbench.report.leaderboard; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env=subprocess_environment, check=False, timeout=60
        ).returncode
        == 0
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"models": {"real-video": MODELS["real-video"]}},
        {"models": {"videobooth": MODELS["videobooth"]}},
        {"metrics": ()},
        {"items": items(1)},
        {"value": lambda *_: None},
        {"missing": frozenset((model, item.id) for model in MODELS for item in items(6))},
    ],
    ids=["references alone", "one model", "no metric", "one item", "no score", "nothing run"],
)
def test_runs_with_little_in_them_have_a_page_too(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    run = replace(FakeRun(items(6), lambda *_: 0.5), **changes)  # type: ignore[arg-type]
    index = write_report([build(tmp_path / "run", run, videos=False)], tmp_path / "out")
    assert "Leaderboard" in Page(index).text
    for path in index.parent.rglob("*.html"):
        text = Page(path).text.replace("None.", "")  # of a model without weights
        assert "nan" not in text.lower(), path
        assert "None" not in text, path


def test_a_report_may_show_the_videos_of_some_items_and_counts_all(
    run_folder: Path, tmp_path: Path
) -> None:
    whole, some = (
        write_report([run_folder], tmp_path / "whole"),
        write_report([run_folder], tmp_path / "some", 2),
    )
    shown = {path.name for path in (some.parent / "items").iterdir()}
    assert len(shown) == 2
    assert shown < {path.name for path in (whole.parent / "items").iterdir()}
    assert {f"items/{name}" for name in shown} == {
        each for each in Page(some.with_name("items.html")).addresses if "items/" in each
    }
    assert (
        "Its video is not in this report." in Page(some.parent / "models" / "videobooth.html").text
    )
    assert re.search(r"2 of the \d+ items", Page(some).text)
    assert (some.parent / "leaderboard.csv").read_bytes() == (
        whole.parent / "leaderboard.csv"
    ).read_bytes()
    assert len(list((some.parent / "media").iterdir())) < len(
        list((whole.parent / "media").iterdir())
    )


def test_every_pair_stands_in_comparisons_csv(run_folder: Path, tmp_path: Path) -> None:
    out = write_report([run_folder], tmp_path / "out").parent
    rows = list(csv.DictReader((out / "comparisons.csv").read_text("utf-8").splitlines()))
    run = load_run(run_folder)
    rivals = [model.name for model in run.models if not model.is_reference]
    assert len(rows) == len(run.metrics) * len(rivals) * (len(rivals) - 1) // 2
    row = next(
        row
        for row in rows
        if row["metric"] == "dino" and {row["model"], row["other"]} == set(rivals[:2])
    )
    ours, theirs = (run.values(row[name], "dino") for name in ("model", "other"))
    both = ours.keys() & theirs.keys()
    assert float(row["difference"]) == pytest.approx(
        sum(ours[item] - theirs[item] for item in both) / len(both), abs=1e-6
    )
    assert row["sign"] in ("-1", "0", "1")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("0.5 [0.4, 0.6]", "0.5 [0.4, 0.6]"),
        ("![x](https://evil.example/p.png)", r"\![x\](https://evil.example/p.png)"),
        ("[click](javascript:alert(1))", r"[click\](javascript:alert(1))"),
        ("a | b\r\n# not a heading", r"a \| b # not a heading"),
        ("`code` <b>", r"\`code\` &lt;b>"),
        ("[x][y] and [z]: away", r"[x\][y] and [z\]: away"),
    ],
)
def test_markdown_cells_break_nothing_and_load_nothing(text: str, cell: str) -> None:
    assert export.markdown_cell(text) == cell
