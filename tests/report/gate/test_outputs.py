"""The gate's files, read back."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.test_leaderboard import Page, contents
from tests.results.gate.conftest import HOSTILE, Case, many, out
from vbbench.report.gate import page as moved
from vbbench.report.gate.page import axes_of
from vbbench.report.gate.rows import exact, fine, headline, rows_of, signed
from vbbench.results.gate.compare import Kind, Outcome, Verdict
from vbbench.results.run_data import Clip
from vbbench.results.statistics import Estimate


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return out(tmp_path_factory.mktemp("outputs") / "gate", case).parent


def number_of(case: Case, *kinds: Kind, counts: bool = True) -> int:
    return sum(
        verdict.kind in kinds and verdict.counts == counts for verdict in case.outcome.verdicts
    )


def test_the_case_has_every_kind(case: Case) -> None:
    assert {verdict.kind for verdict in case.outcome.verdicts} == set(Kind)
    assert case.outcome.exit_code == 1
    assert headline(case.outcome) == "drifted and slower"


def test_the_same_inputs_give_the_same_bytes_and_other_files_stay(
    case: Case, folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    out(again, many(case, 3))
    (again / "notes.txt").write_text("mine")
    (again / "media" / "mine.webp").write_text("mine")
    assert out(again, case) == again / "index.html"
    found = contents(again)
    assert found.pop("notes.txt") == found.pop("media/mine.webp") == b"mine"
    assert found == contents(folder)


def test_json_holds_everything(case: Case, folder: Path) -> None:
    record = json.loads((folder / "gate.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert (record["verdict"], record["exit_code"]) == ("drifted and slower", 1)
    assert record["recorded"]["why"] == HOSTILE
    assert record["runs"][0]["commit"] == "0123abc"
    assert (
        record["specs"]["dino"]["then"]
        == record["specs"]["dino"]["now"]
        == case.recording.metrics["dino"].id
    )
    assert record["noise"]["metrics"]["dino"]["largest"] == pytest.approx(1e-5)
    assert all(tolerance["reason"] for tolerance in record["tolerances"]["metrics"].values())
    assert (
        sum(record["counts"].values()) + record["not_counting"]
        == len(record["verdicts"])
        == len(case.outcome.verdicts)
    )
    row = next(
        row for row in record["verdicts"] if (row["model"], row["metric"]) == ("videobooth", "dino")
    )
    verdict = next(
        v for v in case.outcome.verdicts if (v.model, v.metric) == ("videobooth", "dino")
    )
    assert row["kind"] == "drifted"
    assert row["change"]["mean"] == verdict.change.mean
    assert [one["item"] for one in row["moved"]] == ["i11", "i10", "i9", "i8", "i7"]


def test_json_has_no_numbers_that_json_has_not(case: Case, tmp_path: Path) -> None:
    facts = {"who": "half a letter \ud800", "environment": {"slowness": float("nan")}}
    out(tmp_path, replace(case, recording=replace(case.recording, facts=facts)))
    record = json.loads((tmp_path / "gate.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert record["recorded"]["environment"] == {"slowness": None}


def test_junit_says_what_failed(case: Case, folder: Path) -> None:
    root = ET.parse(folder / "gate.xml").getroot()
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == list(case.recording.models)
    counted = {
        tag: len(list(root.iter(tag))) for tag in ("testcase", "failure", "error", "skipped")
    }
    assert counted == {
        "testcase": len(case.outcome.verdicts),
        "failure": number_of(case, Kind.DRIFTED, Kind.SLOWER),
        "error": number_of(case, Kind.NOT_MEASURED, Kind.NOT_COMPARABLE),
        "skipped": sum(not verdict.counts for verdict in case.outcome.verdicts),
    }
    assert min(counted.values()) > 0
    for attribute, tag in (
        ("tests", "testcase"),
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        assert (
            int(root.get(attribute))
            == sum(int(suite.get(attribute)) for suite in suites)
            == counted[tag]
        )
    failure = root.find("testsuite[@name='videobooth']/testcase[@name='dino']/failure")
    assert failure.get("message").startswith("VideoBooth, DINO: drifted: 12 of 12 items moved")
    assert failure.get("type") == "drifted"
    assert "tolerance ± 0.005" in failure.text
    assert "i11 0.5100 → 0.4490" in failure.text


def test_junit_keeps_hostile_texts_as_texts(folder: Path) -> None:
    root = ET.parse(folder / "gate.xml").getroot()
    message = root.find("testsuite[@name='real-video']/testcase[@name='dino']/error").get("message")
    assert HOSTILE in message
    assert "\N{REPLACEMENT CHARACTER}[31m" in message


def test_markdown_is_a_summary_that_breaks_out_of_nothing(case: Case, folder: Path) -> None:
    text = (folder / "gate.md").read_text("utf-8")
    lines = text.split("\n")
    assert lines[0] == "## Gate: drifted and slower"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(case.outcome.verdicts)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {8}
    assert re.search(
        r"- \*\*VideoBooth, DINO\*\*, drifted: 12 of 12 items moved.*i11 0\.5100 → 0\.4490", text
    )
    assert sum(line.startswith("#") for line in lines) == 3
    assert "<" not in text
    assert not re.search(r"(?<!\\)!?\[[^\]]*\]\(|https?://|@\w|\u202e|\x1b", text)


def test_markdown_stays_short(case: Case, tmp_path: Path) -> None:
    out(tmp_path, many(case, 500))
    lines = (tmp_path / "gate.md").read_text("utf-8").split("\n")
    assert len(lines) <= 200
    assert max(map(len, lines)) < 2000
    assert "420 more rows: see gate.json." in lines


def test_the_page_is_whole_and_refers_to_nothing_outside(folder: Path) -> None:
    page = Page(folder / "index.html")
    assert page.scripts == 1
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in page.ids, address
        elif not address.startswith("data:"):
            assert (folder / address).is_file(), address
    assert HOSTILE.split("\u202e")[0] in page.text
    shown = {path.relative_to(folder).as_posix() for path in (folder / "media").iterdir()}
    assert shown == {address for address in page.addresses if address.startswith("media/")}


def test_the_page_shows_old_and_new_and_says_what_is_missing(folder: Path) -> None:
    page = Page(folder / "index.html")
    assert "Old video" in page.text
    assert "its file is missing or cannot be read" in page.text
    assert page.text.count("hold the same pixels") == 1  # as the synthetic runs do
    html = (folder / "index.html").read_text("utf-8")
    assert re.search(r'<tr class="differs"><th scope="row">torch', html)
    assert not re.search(r'<tr class="differs"><th scope="row">python', html)


def test_a_pair_with_the_same_pixels_is_told_by_itself_where_others_differ(
    case: Case, tmp_path: Path
) -> None:
    clips = {
        key: replace(clip, digest=f"other {key}") if key[1] != "i11" else clip
        for key, clip in case.old.clips.items()
    }
    text = Page(out(tmp_path, replace(case, old=replace(case.old, clips=clips)))).text
    assert text.count("hold the same pixels: the scoring changed, not the model.") == text.count(
        "i11"
    )


def test_without_an_old_run_only_the_new_videos_are_shown(case: Case, tmp_path: Path) -> None:
    page = Page(out(tmp_path, case, old=False))
    assert "Only the new videos are here" in page.text
    assert "Old video" not in page.text
    assert "New video" in page.text


def test_why_there_is_no_old_video(case: Case) -> None:
    key = ("videobooth", "i0")
    assert moved.old_clip(case.run, case.old, key).status == "done"
    other = replace(case.old, suite=replace(case.old.suite, digest="d2" * 32))
    assert "is of suite tiny" in moved.old_clip(case.run, other, key).reason
    assert (
        moved.old_clip(case.run, replace(case.old, models=()), key).reason
        == "the old run has no videobooth"
    )
    assert (
        moved.old_clip(case.run, replace(case.old, clips={}), key).reason
        == "the old run has no such item"
    )
    failed = replace(case.old, clips={key: Clip("failed", "no memory")})
    assert moved.old_clip(case.run, failed, key).reason == "no memory"


def test_an_old_run_that_was_not_recorded_is_told(case: Case, tmp_path: Path) -> None:
    text = "it is not the run that was recorded"
    assert text not in Page(out(tmp_path, case)).text
    assert text in Page(out(tmp_path, replace(case, old=case.run))).text


def test_a_long_page_is_cut_and_says_so(case: Case, tmp_path: Path) -> None:
    page = Page(out(tmp_path, many(case, 400), old=False))
    assert page.text.count("New video") == moved.MOST_CARDS
    assert "100 further rows: see gate.json." in page.text
    assert f"{400 * 5 - moved.MOST_CARDS} more of other items" in page.text


def verdict(model: str, kind: Kind, change: float = 0.0, *, counts: bool = True) -> Verdict:
    return Verdict(
        model,
        "dino",
        kind,
        "",
        0.5,
        0.5 + change,
        Estimate(change, None, None, 9, 9),
        tolerance=0.01,
        counts=counts,
    )


def test_headlines_and_order(case: Case) -> None:
    def told(*kinds: Kind) -> str:
        return headline(Outcome(tuple(verdict("m", kind) for kind in kinds)))

    assert told(Kind.SAME) == "same"
    assert told(Kind.BETTER, Kind.SAME) == "same or better"
    assert (
        told(Kind.SAME, Kind.NOT_COMPARABLE, Kind.NOT_MEASURED) == "not measured and not comparable"
    )
    assert told(Kind.SLOWER, Kind.NOT_MEASURED) == "slower"
    assert told() == "nothing compared"
    rows = [
        verdict("a", Kind.SAME),
        verdict("b", Kind.DRIFTED, counts=False),
        verdict("c", Kind.NOT_MEASURED),
        verdict("d", Kind.SLOWER),
    ]
    assert [row.model for row in rows_of(Outcome(tuple(rows)), case.recording)] == [
        "d",
        "c",
        "a",
        "b",
    ]


def test_axes_share_one_scale(case: Case) -> None:
    rows = rows_of(
        Outcome(
            (
                verdict("a", Kind.DRIFTED, -1.0),
                verdict("b", Kind.DRIFTED, 0.04),
                verdict("c", Kind.SAME),
            )
        ),
        case.recording,
    )
    axes = {model: axis for (model, _), axis in axes_of(rows).items()}
    assert (axes["a"].mark, axes["a"].beyond) == (0.0, True)
    assert (axes["b"].mark, axes["b"].beyond) == (75.0, False)
    assert axes["c"].mark == 50.0
    assert {axis.tolerance for axis in axes.values()} == {6.25}


def test_small_numbers_are_not_rounded_away() -> None:
    assert [fine(value) for value in (0.0, 0.25, 0.000273, 1e-6)] == [
        "0.000",
        "0.250",
        "0.0003",
        "0.000001",
    ]
    assert [exact(value) for value in (0.0025, 0.01, 1.5, 2.0)] == ["0.0025", "0.01", "1.5", "2"]
    assert [signed(value) for value in (0.01, -0.01, -1e-9)] == [
        "+0.0100",
        "\N{MINUS SIGN}0.0100",
        "0.0000",
    ]
