"""The folder of a profile: page, drawings, and what it will not overwrite."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from tests.profiling.made import good_rows, record, row, swept
from vbbench.errors import UsageError
from vbbench.profiling.finite import finite, worst
from vbbench.profiling.record import Check, Gap, Record
from vbbench.profiling.record_json import read_record
from vbbench.profiling.targets import TARGETS, system_notes
from vbbench.profiling.words import aside, check_cells, columns, digits, percent
from vbbench.report.profile.drawing import standing_alone, within_a_page
from vbbench.report.profile.page import claim_folder, claimed_folder, write_profile
from vbbench.report.profile.pictures import draw

HOSTILE = "<script>alert(1)</script>&\"'"
MOST_BYTES = 60_000


def swept_record() -> Record:
    rows = [
        swept(f"1024 x 40, {frames} frames", name, factor * frames, frames=frames)
        for frames in (2, 4, 8, 16)
        for name, factor in (("released", 3.0), ("plain", 2.9), ("concat", 1.02), ("merge", 1.0))
    ]
    return record([*rows, *good_rows()])


def test_a_folder_holds_everything(tmp_path: Path) -> None:
    page = write_profile(swept_record(), tmp_path / "p")
    assert {path.name for path in page.parent.iterdir()} == {
        "index.html",
        "profile.json",
        "sweeps-float32.svg",
        "roofline-float32.svg",
    }
    assert read_record(page.parent / "profile.json") == swept_record()
    before = {path.name: path.read_bytes() for path in page.parent.iterdir()}
    write_profile(swept_record(), tmp_path / "p")
    assert {path.name: path.read_bytes() for path in page.parent.iterdir()} == before
    write_profile(record([]), tmp_path / "p")
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "profile.json"}


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    html = write_profile(swept_record(), tmp_path / "p").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!#|data:|profile\.json)[^"]*"', html)
    assert html.count("<svg") == 2
    names = re.findall(r'\bid="([^"]+)"', html)
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]+)"', html)) | set(
        re.findall(r"url\(#([^)]+)\)", html)
    ) <= set(names)


def test_what_a_page_is_told_is_escaped(tmp_path: Path) -> None:
    rows = [row(HOSTILE, HOSTILE, 1.0)]
    made = replace(
        record(rows),
        title=HOSTILE,
        how=(HOSTILE,),
        command=HOSTILE,
        environment={HOSTILE: HOSTILE},
        gaps=(Gap(*[HOSTILE] * 5),),
    )
    html = write_profile(made, tmp_path / "p").read_text("utf-8")
    assert "alert(1)</script>" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 8


@pytest.mark.parametrize("picture", draw(swept_record()), ids=lambda picture: picture.name)
def test_drawings_are_small_and_take_the_pages_colour(picture) -> None:
    alone = standing_alone(picture.svg)
    assert len(alone.encode()) < MOST_BYTES
    ElementTree.fromstring(alone)
    assert "prefers-color-scheme: dark" in alone
    assert "currentColor" in alone
    assert "#010203" not in alone
    assert "merge" in re.findall(r">([^<>]+)</text>", alone)
    assert within_a_page(picture.svg, "here").startswith("<svg")


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UsageError, match="holds something else"):
        write_profile(record(), tmp_path / "mine")
    (tmp_path / "mine" / "profile.json").write_text('{"format": "else"}')
    with pytest.raises(UsageError, match="holds something else"):
        claim_folder(tmp_path / "mine")
    with pytest.raises(UsageError, match="is a file"):
        claim_folder(tmp_path / "mine" / "thesis.txt")
    (tmp_path / "empty").mkdir()
    claim_folder(tmp_path / "empty")
    claim_folder(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").is_dir()


def test_a_folder_that_cannot_be_written_is_told_and_none_is_left_of_a_failure(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        claim_folder(Path("/proc/no-profile"))
    for name in ("a", "a/b"):
        with pytest.raises(KeyError), claimed_folder(tmp_path / name):
            raise KeyError
        assert not (tmp_path / "a").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyError), claimed_folder(tmp_path / "there"):
        raise KeyError
    assert (tmp_path / "there").is_dir()


def test_numbers_that_are_none_are_missed_and_written_as_none(tmp_path: Path) -> None:
    rows = [
        replace(
            row,
            error=math.nan,
            facts={**row.facts, "difference": math.inf, "kinds": {"a": math.nan}},
        )
        for row in good_rows()
    ]
    made = finite(replace(record(rows), rows=(*rows, replace(rows[0], median_seconds=math.nan))))
    assert made.exit_code == 1
    page = write_profile(replace(record(rows), rows=tuple(rows)), tmp_path / "p").read_text("utf-8")
    assert "missed: the numbers are not finite" in page
    assert ">not finite</td>" in page
    read = read_record(tmp_path / "p" / "profile.json")
    assert read.exit_code == 1
    assert (read.rows[0].error, read.rows[0].facts["difference"], read.rows[0].facts["kinds"]) == (
        None,
        None,
        {"a": None},
    )
    assert len(made.rows) == len(rows)
    assert made.gaps[-1].reason == "its time is no finite number"
    assert finite(made) == made


@pytest.mark.parametrize("values", [(math.nan, 1.0), (1.0, math.nan), (1.0, math.nan, 2.0)])
def test_the_worst_of_numbers_is_nan_in_any_order(values: tuple[float, ...]) -> None:
    assert math.isnan(worst(values))
    assert worst([1.0, 3.0, 2.0]) == 3.0


def test_notes_and_targets_left_out_are_told(tmp_path: Path) -> None:
    rows = [
        replace(row, facts={**row.facts, "system_share": 0.5 if row.variant == "released" else 0.2})
        for row in good_rows()
    ]
    (note, *_) = system_notes(TARGETS, rows)
    assert note.startswith("1024 x 40, 16 frames: of released's time 50 % went to the system")
    assert note.endswith("without that it would be 1.88 x.")  # 3.0 * 0.5 / (1.0 * 0.8)
    assert system_notes(TARGETS, good_rows()) == ()
    made = replace(record(rows), notes=(note,))
    assert "50 % went to the system" in write_profile(made, tmp_path / "p").read_text("utf-8")
    (line,) = aside(made)
    assert line.startswith(
        "3 targets left out (it is for an H100 or H200, and this run was on a CPU): 1024 x 40: faster"
    )


def test_numbers() -> None:
    assert [digits(number) for number in (0.0412, 4.123, 41.23, 412.3, 4123.4, 0)] == [
        "0.0412",
        "4.12",
        "41.2",
        "412",
        "4\u00a0123",
        "0",
    ]
    assert [percent(share) for share in (0.034, 0.34, 1.2)] == ["3.4 %", "34 %", "120 %"]


def test_a_verdict_says_when_noise_could_turn_it() -> None:
    check = Check(
        "fast",
        1.05,
        True,
        "x",
        measured=1.0499,
        reason="",
        source="",
        counts=True,
        uncertainty=0.01,
    )
    assert check_cells(check) == (
        "fast",
        "at least 1.05 x",
        "1.0499 ± 0.010 x",
        "missed, by less than the noise",
    )
    assert check_cells(replace(check, measured=1.2))[3] == "met"
    assert check_cells(replace(check, measured=None, reason="it rains"))[2:] == (
        "-",
        "not measured: it rains",
    )
    assert (
        check_cells(replace(check, measured=None, reason="it rains", counts=False))[3]
        == "does not count: it rains"
    )


def test_ratios_and_columns() -> None:
    made = record()
    found = {column.head: column for column in columns(made, made.rows)}
    assert [found["x released"].text(row) for row in made.rows[:3]] == ["1.00", "2.73", "3.00"]
    assert "moved MB" not in found  # nobody counted
    assert len(columns(made, made.rows, every=True)) > len(found)
